"""Past comparisons, kept in one SQLite file by one writer. Must never know Qt, engines or the network."""
