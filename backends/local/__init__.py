"""llama.cpp in a child process, and the parent side that talks to it. Must never know Qt."""
