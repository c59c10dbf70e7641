"""What this machine has: GPUs, CPU and memory. Must never know Qt."""
