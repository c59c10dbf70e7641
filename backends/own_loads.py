"""What our own workers hold of a machine's memory, and the machine without it. Must not start, stop or ask a worker.

An idle model of ours is closed before any other is loaded, so its memory is as good as free, and nobody need close it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import psutil

from backends.devices.records import Device, Machine
from backends.fit.records import Fit


@dataclass(frozen=True, slots=True)
class OwnLoad:
    """A worker of ours. `idle`: no run uses it. `held_bytes` by device, see `identity`; none before it has loaded."""

    ref: str
    pid: int
    idle: bool
    held_bytes: Mapping[object, int] = field(default_factory=dict)


def identity(device: Device) -> object:
    """Two equal cards differ by uuid, or by what llama.cpp calls them; a simulated one has but a name."""
    return device.uuid or device.pci_id or (device.kind, device.name, device.backend)


def held_by(pid: int, fit: Fit | None, real_bytes: int | None) -> dict[object, int]:
    """What a load holds by device: of the GPUs as planned, in all as much as was measured; of the machine's memory what
    the worker has for itself. Pages of the model's file count as free already."""
    held: dict[object, int] = {}
    if fit is not None:
        planned = sum(part.total_bytes for part in fit.gpus)
        scale = real_bytes / planned if real_bytes is not None and planned else 1.0
        held = {identity(part.device): round(part.total_bytes * scale) for part in fit.gpus}
        held[identity(fit.host.device)] = private_bytes(pid)
    return held


def private_bytes(pid: int) -> int:
    """What a process holds for itself alone, in bytes; 0 where that cannot be told."""
    try:
        seen = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0
    shared = getattr(seen, "shared", None)  # only Linux tells it apart
    return 0 if shared is None else max(0, int(seen.rss) - int(shared))


def held_on(device: Device, loads: Iterable[OwnLoad]) -> int:
    """What our loads hold of a device; the driver's own figure for a worker where it gives one."""
    told = {user.pid: user.used_bytes for user in device.in_use_by}
    held = 0
    for load in loads:
        if not load.held_bytes:
            continue
        measured = told.get(load.pid)
        held += measured if measured is not None else load.held_bytes.get(identity(device), 0)
    return held


def without_own_users(machine: Machine, loads: Sequence[OwnLoad]) -> Machine:
    """Our workers are not among those who hold memory of a device."""
    pids = {load.pid for load in loads}
    return replace(machine, gpus=tuple(_without(each, pids) for each in machine.gpus), cpu=_without(machine.cpu, pids))


def _without(device: Device, pids: Collection[int]) -> Device:
    if not any(user.pid in pids for user in device.in_use_by):
        return device
    return replace(device, in_use_by=tuple(user for user in device.in_use_by if user.pid not in pids))


def as_released(machine: Machine, loads: Sequence[OwnLoad]) -> Machine:
    """The machine as the next load finds it: what idle models of ours hold is free, and they are nobody's users."""
    idle = [load for load in loads if load.idle]

    def released(device: Device) -> Device:
        held = held_on(device, idle)
        if not held or device.free_bytes is None:
            return device
        most = device.free_bytes + held if device.total_bytes is None else device.total_bytes
        return replace(device, free_bytes=min(most, device.free_bytes + held))

    freed = replace(machine, gpus=tuple(released(each) for each in machine.gpus), cpu=released(machine.cpu))
    return without_own_users(freed, loads)
