"""Every device of this machine in one list: GPUs first, then the CPU. Must not know what will run on them."""

from __future__ import annotations

from backends.devices.nvml import read_nvidia
from backends.devices.records import Device
from backends.devices.system import read_cpu, read_memory


def devices() -> tuple[Device, ...]:
    """GPUs, then the CPU with the machine's memory. Blocks for some 20 ms, and for 3 s where a driver hangs."""
    return (*read_nvidia().devices, cpu_device())


def cpu_device() -> Device:
    """The CPU and the memory that models on it use."""
    memory = read_memory()
    return Device(
        name=read_cpu().name,
        kind="cpu",
        total_bytes=memory.total_bytes,
        used_bytes=memory.total_bytes - memory.free_bytes,
        free_bytes=memory.free_bytes,
    )
