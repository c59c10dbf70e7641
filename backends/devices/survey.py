"""Every device of this machine in one list: GPUs first, then the CPU. Must not know what will run on them."""

from __future__ import annotations

from backends.devices.machine import read_machine
from backends.devices.records import Device


def devices() -> tuple[Device, ...]:
    """GPUs, then the CPU with the machine's memory. Blocks for some 20 ms, and for 3 s where a driver hangs."""
    machine = read_machine()
    return (*machine.gpus, machine.cpu)
