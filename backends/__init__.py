"""Everything that can be slow or fail: models, network, disk, devices. Must never know Qt."""
