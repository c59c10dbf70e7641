"""Devices, processors and memory as values; sizes in bytes, None where a driver does not say. Must not know drivers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backends.errors import Problem

BandwidthSource = Literal["driver", "table", "measured", "given"]
MemoryKind = Literal["own", "shared"]


@dataclass(frozen=True, slots=True)
class DeviceUser:
    """A process that holds memory of a device; drivers keep names and sizes from some callers."""

    pid: int
    name: str | None
    used_bytes: int | None


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, one MIG slice of a GPU, or the CPU with the machine's memory.

    `free_bytes` is what is free now; used and free need not add up to total, since a driver keeps `reserved_bytes` for
    itself. `bandwidth_gb_s` is that of its memory, in 10^9 bytes per second. Memory is `shared` where CPU and GPU use
    the same chips (GB10, Jetson, Apple); sizes are then the machine's own. `slice_of` is the uuid of the GPU that a MIG
    slice belongs to. `backend` is how llama.cpp calls it (`CUDA0`), None where its build does not see this device.
    """

    name: str
    kind: Literal["gpu", "cpu"]
    uuid: str | None = None
    pci_id: str | None = None
    total_bytes: int | None = None
    used_bytes: int | None = None
    reserved_bytes: int | None = None
    free_bytes: int | None = None
    memory: MemoryKind = "own"
    bandwidth_gb_s: float | None = None
    bandwidth_source: BandwidthSource | None = None
    driver: str | None = None
    cuda_version: str | None = None
    driver_model: str | None = None
    compute_capability: str | None = None
    reads_power: bool | None = None
    counts_energy: bool | None = None
    slice_of: str | None = None
    backend: str | None = None
    in_use_by: tuple[DeviceUser, ...] = ()


@dataclass(frozen=True, slots=True)
class CpuInfo:
    """`vector_extensions` are those llama.cpp has code for, widest first, as `AVX512` or `AVX2`."""

    name: str
    physical_cores: int | None
    logical_cores: int | None
    vector_extensions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryInfo:
    """The machine's memory; `free_bytes` is what a program can have now without swapping."""

    total_bytes: int
    free_bytes: int
    swap_total_bytes: int
    swap_free_bytes: int


@dataclass(frozen=True, slots=True)
class Machine:
    """What models can run on: the GPUs in the driver's order (slices in place of a sliced GPU), and the CPU's memory.

    `simulated` is a machine that somebody means to buy. `problems` say what keeps a device from being used, each with
    the one thing that fixes it; the sizes of such a device are still listed. `engine_known`: llama.cpp was asked which
    GPUs it can use; where it was not, a GPU without `backend` may be of use all the same.
    """

    gpus: tuple[Device, ...]
    cpu: Device
    cpu_info: CpuInfo
    simulated: bool = False
    problems: tuple[Problem, ...] = ()
    engine_known: bool = False
