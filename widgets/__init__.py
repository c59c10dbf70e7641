"""Qt widgets that paint values and report wishes as signals. Must never know engines, network or disk."""
