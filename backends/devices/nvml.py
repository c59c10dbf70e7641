"""NVIDIA GPUs through NVML, the driver's own library. Never raises: what it cannot learn is None and a sentence.

Must not know llama.cpp. NVML numbers devices by PCI bus, CUDA by speed, so devices are told apart by uuid.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from backends.devices.records import Device, DeviceUser
from backends.errors import Problem
from backends.threads import start_aside

T = TypeVar("T")

TIMEOUT_S = 3.0
NVIDIA_VENDOR, DISPLAY_CLASS = "0x10de", "0x03"
PCI_DEVICES = Path("/sys/bus/pci/devices")

_one_at_a_time = threading.Lock()
_last_call: Future[Survey] | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """What NVML said: GPUs in its own order, and one sentence for everything that it did not say."""

    devices: tuple[Device, ...] = ()
    problems: tuple[Problem, ...] = ()


def read_nvidia(timeout_s: float = TIMEOUT_S) -> Survey:
    """Every NVIDIA GPU; about 20 ms, at most `timeout_s`. A driver that hangs is asked again only once it answered."""
    global _last_call
    with _one_at_a_time:
        if _last_call is None or _last_call.done():
            _last_call = start_aside(_survey)
            try:
                return _last_call.result(timeout_s)
            except TimeoutError:
                pass
            except Exception as error:  # noqa: BLE001 - a broken driver is a sentence, never the end of the program
                return Survey(problems=(_problem("other", "its GPUs", type(error).__name__),))
    return Survey(problems=(_problem("timeout"),))


def _survey() -> Survey:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Survey(problems=_why_not(pynvml, error))
    try:
        return _all_devices(pynvml)
    except pynvml.NVMLError as error:
        return Survey(problems=_why_not(pynvml, error))
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _all_devices(nvml: Any) -> Survey:
    devices: list[Device] = []
    problems: list[Problem] = []
    driver = _ask(nvml, nvml.nvmlSystemGetDriverVersion)
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            device = _one_device(nvml, nvml.nvmlDeviceGetHandleByIndex(index), driver)
        except nvml.NVMLError as error:
            problems += _why_not(nvml, error, f"GPU {index}")
            continue
        devices.append(device)
        if device.total_bytes is None:
            problems.append(_problem("no_memory_size", device.name))
    return Survey(tuple(devices), tuple(problems))


def _one_device(nvml: Any, handle: Any, driver: str | None) -> Device:
    name = nvml.nvmlDeviceGetName(handle)
    memory = _memory(nvml, handle)
    return Device(
        name=name,
        kind="gpu",
        uuid=_ask(nvml, nvml.nvmlDeviceGetUUID, handle),
        total_bytes=None if memory is None else int(memory.total),
        used_bytes=None if memory is None else int(memory.used),
        free_bytes=None if memory is None else int(memory.free),
        bandwidth_gb_s=_bandwidth(nvml, handle),
        driver=driver,
        in_use_by=_users(nvml, handle),
    )


def _memory(nvml: Any, handle: Any) -> Any:
    """Version 2 does not count as used what the driver reserves. Old drivers lack it, and some on WSL fail in it."""
    memory = _ask(nvml, nvml.nvmlDeviceGetMemoryInfo, handle, nvml.nvmlMemory_v2)
    if memory is None:
        memory = _ask_or_lost(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    return memory


def _bandwidth(nvml: Any, handle: Any) -> float | None:
    """Bus width in bits x memory clock in MHz x 2 transfers per clock, in GB/s: 384 bit at 9751 MHz is 936 GB/s."""
    width_bits = _ask(nvml, nvml.nvmlDeviceGetMemoryBusWidth, handle)
    clock_mhz = _ask(nvml, nvml.nvmlDeviceGetMaxClockInfo, handle, nvml.NVML_CLOCK_MEM)
    return width_bits * clock_mhz * 2 / 8 / 1000 if width_bits and clock_mhz else None


def _users(nvml: Any, handle: Any) -> tuple[DeviceUser, ...]:
    """Processes that hold memory, largest first; one that computes and draws is listed once."""
    found: dict[int, int | None] = {}
    for call in (nvml.nvmlDeviceGetComputeRunningProcesses, nvml.nvmlDeviceGetGraphicsRunningProcesses):
        for process in _ask(nvml, call, handle) or ():
            found[process.pid] = process.usedGpuMemory or found.get(process.pid)
    users = [DeviceUser(pid, _process_name(nvml, pid), size) for pid, size in found.items()]
    return tuple(sorted(users, key=lambda user: -(user.used_bytes or 0)))


def _process_name(nvml: Any, pid: int) -> str | None:
    """From the driver: in a container the pid is another machine's, as far as we can see."""
    raw = _ask(nvml, nvml.nvmlSystemGetProcessName, pid)
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    return text.replace("\\", "/").rsplit("/", 1)[-1] or None if text else None


def _ask(nvml: Any, call: Callable[..., T], *arguments: Any) -> T | None:
    """The answer, or None where this driver, GPU or user does not get one."""
    try:
        return call(*arguments)
    except (nvml.NVMLError, nvml.NVMLLibraryMismatchError, UnicodeDecodeError):
        return None


def _ask_or_lost(nvml: Any, call: Callable[..., T], *arguments: Any) -> T | None:
    """As `_ask`, but a GPU that has gone is said so and is not listed with sizes unknown."""
    try:
        return call(*arguments)
    except (nvml.NVMLError_GpuIsLost, nvml.NVMLError_ResetRequired, nvml.NVMLError_Unknown):
        raise
    except nvml.NVMLError:
        return None


_WORDS = {
    "timeout": (
        "The NVIDIA driver did not answer.",
        "Restart the computer if it stays so; until then models run on the CPU.",
    ),
    "no_library": (
        "This machine has an NVIDIA GPU, but its driver is not installed, or cannot be seen from here.",
        "Install the NVIDIA driver; until then models run on the CPU.",
    ),
    "driver_not_loaded": (
        "The NVIDIA driver is installed but not loaded.",
        "Restart the computer; if that does not help, install the driver again.",
    ),
    "version_mismatch": (
        "The NVIDIA driver was updated and the old one is still loaded.",
        "Restart the computer.",
    ),
    "no_permission": (
        "This user may not use the NVIDIA driver.",
        "Give the user access to /dev/nvidia*, or ask whoever runs this machine.",
    ),
    "gpu_lost": (
        "{} has stopped answering.",
        "Restart the computer; check its power and slot if it happens again.",
    ),
    "no_memory_size": (
        "{} does not say how much memory it has; it may share the computer's.",
        "Go by the computer's free memory when you choose a model.",
    ),
    "other": (
        "The NVIDIA driver could not be asked about {}: {}.",
        "Update the driver if this GPU should be used.",
    ),
}


def _problem(code: str, *parts: str) -> Problem:
    what, fix = _WORDS[code]
    return Problem(code=f"nvidia_{code}", what=what.format(*parts), safe="", fix=fix)


def _why_not(nvml: Any, error: Exception, which: str = "its GPUs") -> tuple[Problem, ...]:
    """In words. A machine without any NVIDIA GPU is no problem at all."""
    codes = {
        nvml.NVML_ERROR_DRIVER_NOT_LOADED: "driver_not_loaded",
        nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "version_mismatch",
        nvml.NVML_ERROR_NO_PERMISSION: "no_permission",
        nvml.NVML_ERROR_TIMEOUT: "timeout",
    }
    value = getattr(error, "value", None)
    if value == nvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        return (_problem("no_library"),) if has_nvidia_card() else ()
    if value in (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_RESET_REQUIRED):
        return (_problem("gpu_lost", which),)
    return (_problem(codes[value]),) if value in codes else (_problem("other", which, str(error)),)


def has_nvidia_card(devices: Path = PCI_DEVICES) -> bool:
    """True where the system itself sees an NVIDIA display device, driver or not; only Linux is asked."""
    try:
        return any(_is_nvidia_display(each) for each in devices.iterdir())
    except OSError:
        return False


def _is_nvidia_display(device: Path) -> bool:
    vendor = (device / "vendor").read_text(encoding="ascii").strip()
    return vendor == NVIDIA_VENDOR and (device / "class").read_text(encoding="ascii").startswith(DISPLAY_CLASS)
