"""NVIDIA GPUs through NVML, the driver's own library. Never raises: what it cannot learn is None and a sentence.

Must not know llama.cpp. NVML numbers devices by PCI bus, CUDA by speed, so devices are told apart by uuid.
"""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from backends.devices.mig import read_slices
from backends.devices.nvml_device import Session, ask, is_lost, read_device, read_name
from backends.devices.nvml_words import nvml_problem
from backends.devices.pci import display_vendors
from backends.devices.records import Device
from backends.devices.system import read_memory
from backends.errors import Problem
from backends.threads import start_aside

TIMEOUT_S = 3.0
FRESH_S = 5.0

_one_at_a_time = threading.Lock()
_last_call: Future[tuple[Survey, float]] | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """What NVML said: GPUs in its own order, and one sentence for everything that it did not say."""

    devices: tuple[Device, ...] = ()
    problems: tuple[Problem, ...] = ()


def read_nvidia(timeout_s: float = TIMEOUT_S) -> Survey:
    """Every NVIDIA GPU; about 20 ms, at most `timeout_s`.

    Whoever asks while another waits gets the same answer. A driver that hangs costs one thread. One that is only slow
    (it wakes each GPU first) answers a later call.
    """
    global _last_call
    with _one_at_a_time:
        if _last_call is None or _is_old(_last_call):
            _last_call = start_aside(_dated_survey)
        call = _last_call
    try:
        survey, _ = call.result(timeout_s)
    except TimeoutError:
        return Survey(problems=(nvml_problem("timeout"),))
    except Exception as error:  # noqa: BLE001 - a broken driver is a sentence, never the end of the program
        survey = Survey(problems=(nvml_problem("other", "its GPUs", type(error).__name__),))
    with _one_at_a_time:
        if _last_call is call:
            _last_call = None
    return survey


def _is_old(call: Future[tuple[Survey, float]]) -> bool:
    """Whether it came too late for whoever asked, and too long ago for whoever asks now."""
    return call.done() and (call.exception() is not None or time.monotonic() - call.result()[1] > FRESH_S)


def _dated_survey() -> tuple[Survey, float]:
    return _survey(), time.monotonic()


def _survey() -> Survey:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Survey(problems=_why_not(pynvml, error))
    try:
        return _all_devices(_session(pynvml))
    except pynvml.NVMLError as error:
        return Survey(problems=_why_not(pynvml, error))
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _session(nvml: Any) -> Session:
    version = ask(nvml, nvml.nvmlSystemGetCudaDriverVersion)
    return Session(
        nvml=nvml,
        driver=ask(nvml, nvml.nvmlSystemGetDriverVersion),
        cuda_version=f"{version // 1000}.{version % 1000 // 10}" if version else None,
        memory=read_memory(),
    )


def _all_devices(session: Session) -> Survey:
    nvml = session.nvml
    devices: list[Device] = []
    problems: list[Problem] = []
    for index in range(nvml.nvmlDeviceGetCount()):
        which = f"GPU {index}"
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            name = read_name(session, handle)
            which = f"GPU {index} ({name})"  # there may be several of that name
            survey = _one_gpu(session, handle, name)
        except nvml.NVMLError as error:
            problems += _why_not(nvml, error, which)
            continue
        devices += survey.devices
        problems += survey.problems
    return Survey(tuple(devices), tuple(problems))


def _one_gpu(session: Session, handle: Any, name: str) -> Survey:
    """The GPU, or its slices in its place."""
    device = read_device(session, handle, name)
    slices = read_slices(session, handle, device)
    if slices is None:
        unsized = device.total_bytes is None
        return Survey((device,), (nvml_problem("no_memory_size", name),) if unsized else ())
    if not slices:
        return Survey((), (nvml_problem("no_slice", name),))
    return Survey(slices, (nvml_problem("many_slices", name, len(slices)),) if len(slices) > 1 else ())


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
        return (nvml_problem("no_library"),) if "NVIDIA" in display_vendors() else ()
    if is_lost(nvml, error):
        return (nvml_problem("gpu_lost", which),)
    return (nvml_problem(codes[value]),) if value in codes else (nvml_problem("other", which, str(error)),)
