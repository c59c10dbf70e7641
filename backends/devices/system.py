"""The processor and the memory of this machine. Must not know GPUs."""

from __future__ import annotations

import platform
from pathlib import Path

import psutil

from backends.devices.records import CpuInfo, MemoryInfo

CPUINFO = Path("/proc/cpuinfo")
NAME_KEYS = ("model name", "Model", "Hardware", "cpu model")


def read_cpu() -> CpuInfo:
    return CpuInfo(_cpu_name(), psutil.cpu_count(logical=False), psutil.cpu_count())


def read_memory() -> MemoryInfo:
    memory = psutil.virtual_memory()
    swap = psutil.swap_memory()
    return MemoryInfo(memory.total, memory.available, swap.total, swap.free)


def _cpu_name() -> str:
    return name_in(_cpuinfo()) or platform.processor() or platform.machine() or "unknown processor"


def name_in(cpuinfo: str) -> str | None:
    """The processor's name in the text of /proc/cpuinfo; ARM boards call it by another key, or not at all."""
    pairs = [line.partition(":") for line in cpuinfo.splitlines()]
    names = {key.strip(): " ".join(value.split()) for key, _, value in reversed(pairs) if value.strip()}
    return next((names[key] for key in NAME_KEYS if key in names), None)


def _cpuinfo() -> str:
    try:
        return CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
