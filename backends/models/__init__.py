"""Which models there are, which are on this disk, and how they get there. Must not know windows, nor load weights."""
