"""What a model needs on a machine, how fast it will be, and which one to take. Must not know windows or downloads."""
