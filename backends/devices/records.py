"""Devices, processors and memory as values; sizes in bytes, None where a driver does not say. Must not know drivers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class DeviceUser:
    """A process that holds memory of a device; drivers keep names and sizes from some callers."""

    pid: int
    name: str | None
    used_bytes: int | None


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, or the CPU with the machine's memory. `bandwidth_gb_s` is its memory's, in 10^9 bytes per second.

    `free_bytes` is what is free now; used and free need not add up to total, since a driver reserves some for itself.
    """

    name: str
    kind: Literal["gpu", "cpu"]
    uuid: str | None = None
    total_bytes: int | None = None
    used_bytes: int | None = None
    free_bytes: int | None = None
    bandwidth_gb_s: float | None = None
    driver: str | None = None
    in_use_by: tuple[DeviceUser, ...] = ()


@dataclass(frozen=True, slots=True)
class CpuInfo:
    name: str
    physical_cores: int | None
    logical_cores: int | None


@dataclass(frozen=True, slots=True)
class MemoryInfo:
    """The machine's memory; `free_bytes` is what a program can have now without swapping."""

    total_bytes: int
    free_bytes: int
    swap_total_bytes: int
    swap_free_bytes: int
