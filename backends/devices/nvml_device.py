"""One NVIDIA GPU, or one MIG slice, read through NVML into a `Device`. Must not know how the library is opened.

Any call may fail for one driver, GPU or user and not for another; what cannot be learnt is None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from backends.devices.gpu_table import bandwidth_by_name, nvidia_shares_memory
from backends.devices.pci import plain_pci_id
from backends.devices.records import BandwidthSource, Device, DeviceUser, MemoryInfo

T = TypeVar("T")

UNNAMED = "NVIDIA GPU"
DRIVER_MODELS = ("WDDM", "TCC", "MCDM")


@dataclass(frozen=True, slots=True)
class Session:
    """The module pynvml after its init, and what holds for every GPU here. `memory` is the computer's own."""

    nvml: Any
    driver: str | None
    cuda_version: str | None
    memory: MemoryInfo


@dataclass(frozen=True, slots=True)
class _Sizes:
    total_bytes: int | None = None
    used_bytes: int | None = None
    reserved_bytes: int | None = None
    free_bytes: int | None = None


def read_name(session: Session, handle: Any) -> str:
    """Raises NVMLError where the GPU is lost."""
    return _ask_or_lost(session.nvml, session.nvml.nvmlDeviceGetName, handle) or UNNAMED


def read_device(session: Session, handle: Any, name: str) -> Device:
    """Everything NVML tells of it. Raises NVMLError where the GPU is lost: it is not one without memory."""
    nvml = session.nvml
    sizes, shared = _memory(session, handle, name)
    bandwidth, source = _bandwidth(nvml, handle, name, sizes.total_bytes, shared)
    return Device(
        name=name,
        kind="gpu",
        uuid=ask(nvml, nvml.nvmlDeviceGetUUID, handle),
        pci_id=_pci_id(nvml, handle),
        total_bytes=sizes.total_bytes,
        used_bytes=sizes.used_bytes,
        reserved_bytes=sizes.reserved_bytes,
        free_bytes=sizes.free_bytes,
        memory="shared" if shared else "own",
        bandwidth_gb_s=bandwidth,
        bandwidth_source=source,
        driver=session.driver,
        cuda_version=session.cuda_version,
        driver_model=_driver_model(nvml, handle),
        compute_capability=_compute_capability(nvml, handle),
        reads_power=_answers(nvml, nvml.nvmlDeviceGetPowerUsage, handle),
        counts_energy=_answers(nvml, nvml.nvmlDeviceGetTotalEnergyConsumption, handle),
        in_use_by=_users(nvml, handle),
    )


def _memory(session: Session, handle: Any, name: str) -> tuple[_Sizes, bool]:
    """Sizes, and whether they are the computer's own.

    Shared only where the chip is known to have no memory: GB10 and Jetsons then answer NotSupported, N1X a number that
    is too small. Any other GPU that does not answer stays one of unknown size: a lost one must not pass for RAM.
    """
    nvml = session.nvml
    try:
        sizes = _own_memory(nvml, handle)
    except nvml.NVMLError_NotSupported:
        sizes = _Sizes()
    except nvml.NVMLError as error:
        if is_lost(nvml, error) or isinstance(error, nvml.NVMLError_Unknown):
            raise
        return _Sizes(), False
    if not nvidia_shares_memory(name):
        return sizes, False
    ram = session.memory
    return _Sizes(ram.total_bytes, ram.total_bytes - ram.free_bytes, None, ram.free_bytes), True


def _own_memory(nvml: Any, handle: Any) -> _Sizes:
    """Version 2 tells what the driver reserves apart. Old drivers lack it, and some on WSL fail in it."""
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle, nvml.nvmlMemory_v2)
        reserved = int(memory.reserved)
    except nvml.NVMLError as error:
        if is_lost(nvml, error):
            raise
        memory, reserved = nvml.nvmlDeviceGetMemoryInfo(handle), None
    if not memory.total:
        return _Sizes()
    return _Sizes(int(memory.total), int(memory.used), reserved, int(memory.free))


def _bandwidth(
    nvml: Any, handle: Any, name: str, total_bytes: int | None, shared: bool
) -> tuple[float | None, BandwidthSource | None]:
    """Bus width in bits x memory clock in MHz x 2 transfers per clock, in GB/s: 384 bit at 9751 MHz is 936 GB/s.

    Shared memory is not of the kind that this holds for, so there the table comes first.
    """
    width_bits = ask(nvml, nvml.nvmlDeviceGetMemoryBusWidth, handle)
    clock_mhz = ask(nvml, nvml.nvmlDeviceGetMaxClockInfo, handle, nvml.NVML_CLOCK_MEM)
    told = width_bits * clock_mhz * 2 / 8 / 1000 if width_bits and clock_mhz and not shared else None
    if told is not None:
        return told, "driver"
    known = bandwidth_by_name(name, total_bytes)
    return known, None if known is None else "table"


def _pci_id(nvml: Any, handle: Any) -> str | None:
    info = ask(nvml, nvml.nvmlDeviceGetPciInfo, handle)
    raw = None if info is None else info.busId
    return plain_pci_id(raw.decode("ascii", "replace") if isinstance(raw, bytes) else raw)


def _driver_model(nvml: Any, handle: Any) -> str | None:
    """Which driver model Windows runs this GPU under; other systems have none."""
    models = ask(nvml, nvml.nvmlDeviceGetDriverModel, handle)
    return DRIVER_MODELS[models[0]] if models and 0 <= models[0] < len(DRIVER_MODELS) else None


def _compute_capability(nvml: Any, handle: Any) -> str | None:
    version = ask(nvml, nvml.nvmlDeviceGetCudaComputeCapability, handle)
    return None if version is None else f"{version[0]}.{version[1]}"


def _users(nvml: Any, handle: Any) -> tuple[DeviceUser, ...]:
    """Processes that hold memory, largest first; one that computes and draws is listed once."""
    found: dict[int, int | None] = {}
    for call in (nvml.nvmlDeviceGetComputeRunningProcesses, nvml.nvmlDeviceGetGraphicsRunningProcesses):
        for process in ask(nvml, call, handle) or ():
            found[process.pid] = process.usedGpuMemory or found.get(process.pid)
    users = [DeviceUser(pid, _process_name(nvml, pid), size) for pid, size in found.items()]
    return tuple(sorted(users, key=lambda user: -(user.used_bytes or 0)))


def _process_name(nvml: Any, pid: int) -> str | None:
    """From the driver: in a container the pid is another machine's, as far as we can see."""
    raw = ask(nvml, nvml.nvmlSystemGetProcessName, pid)
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    return text.replace("\\", "/").rsplit("/", 1)[-1] or None if text else None


def ask(nvml: Any, call: Callable[..., T], *arguments: Any) -> T | None:
    """The answer, or None where this driver, GPU or user does not get one."""
    try:
        return call(*arguments)
    except (nvml.NVMLError, nvml.NVMLLibraryMismatchError, UnicodeDecodeError):
        return None


def is_lost(nvml: Any, error: Exception) -> bool:
    """Whether the GPU itself has gone, so that no other call will answer either."""
    return isinstance(error, (nvml.NVMLError_GpuIsLost, nvml.NVMLError_ResetRequired))


def _answers(nvml: Any, call: Callable[..., Any], *arguments: Any) -> bool | None:
    """Whether this reading is there; None where it was refused for another reason."""
    try:
        call(*arguments)
    except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound):
        return False
    except nvml.NVMLError:
        return None
    return True


def _ask_or_lost(nvml: Any, call: Callable[..., T], *arguments: Any) -> T | None:
    try:
        return call(*arguments)
    except UnicodeDecodeError:
        return None
    except nvml.NVMLError as error:
        if is_lost(nvml, error):
            raise
        return None
