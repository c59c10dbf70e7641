"""The processor and the memory of this machine. Must not know GPUs."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

import psutil

from backends.devices.records import CpuInfo, MemoryInfo

CPUINFO = Path("/proc/cpuinfo")
NAME_KEYS = ("model name", "Model", "Hardware", "cpu model")
SYSCTL = "/usr/sbin/sysctl"
SYSCTL_S = 2.0

# What llama.cpp has code for, widest first: its name there, in /proc/cpuinfo, and in macOS under hw.optional.
EXTENSIONS = (
    ("AMX", "amx_int8", ""),
    ("AVX512_BF16", "avx512_bf16", ""),
    ("AVX512_VNNI", "avx512_vnni", "avx512vnni"),
    ("AVX512", "avx512f", "avx512f"),
    ("AVX_VNNI", "avx_vnni", ""),
    ("AVX2", "avx2", "avx2_0"),
    ("FMA", "fma", "fma"),
    ("F16C", "f16c", "f16c"),
    ("AVX", "avx", "avx1_0"),
    ("SSE4.2", "sse4_2", "sse4_2"),
    ("SVE", "sve", ""),
    ("I8MM", "i8mm", "arm.FEAT_I8MM"),
    ("DOTPROD", "asimddp", "arm.FEAT_DotProd"),
    ("NEON", "asimd", "neon"),
)


@cache
def read_cpu() -> CpuInfo:
    """Read once: it does not change, and Linux takes milliseconds per core to write its list."""
    name, extensions = _describe()
    return CpuInfo(
        name=name or platform.processor() or platform.machine() or "unknown processor",
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=psutil.cpu_count(),
        vector_extensions=extensions,
    )


def read_memory() -> MemoryInfo:
    memory = psutil.virtual_memory()
    swap = psutil.swap_memory()
    return MemoryInfo(memory.total, memory.available, swap.total, swap.free)


def _describe() -> tuple[str | None, tuple[str, ...]]:
    """Name and vector extensions; no extension is named where the system does not list them (Windows)."""
    if sys.platform == "win32":
        return _windows_name(), ()
    if sys.platform == "darwin":
        values = sysctl_values(_sysctl("machdep.cpu.brand_string", "hw.optional"))
        return values.get("machdep.cpu.brand_string"), extensions_in_sysctl(values)
    text = _cpuinfo()
    return name_in(text), extensions_in(text)


def name_in(cpuinfo: str) -> str | None:
    """The processor's name in the text of /proc/cpuinfo; ARM boards call it by another key, or not at all."""
    names = _first_values(cpuinfo)
    return next((names[key] for key in NAME_KEYS if key in names), None)


def extensions_in(cpuinfo: str) -> tuple[str, ...]:
    """Of EXTENSIONS, those that the first processor in the text of /proc/cpuinfo has."""
    values = _first_values(cpuinfo)
    flags = set((values.get("flags") or values.get("Features") or "").split())
    return tuple(name for name, flag, _ in EXTENSIONS if flag in flags)


def extensions_in_sysctl(values: dict[str, str]) -> tuple[str, ...]:
    """Of EXTENSIONS, those that macOS says this processor has."""
    return tuple(name for name, _, key in EXTENSIONS if key and values.get(f"hw.optional.{key}") == "1")


def sysctl_values(text: str) -> dict[str, str]:
    """The lines `name: value` that sysctl prints."""
    pairs = (line.partition(": ") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs if value.strip()}


def _first_values(cpuinfo: str) -> dict[str, str]:
    pairs = [line.partition(":") for line in cpuinfo.splitlines()]
    return {key.strip(): " ".join(value.split()) for key, _, value in reversed(pairs) if value.strip()}


def _cpuinfo() -> str:
    try:
        return CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _sysctl(*names: str) -> str:
    try:
        done = subprocess.run([SYSCTL, *names], capture_output=True, text=True, timeout=SYSCTL_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _windows_name() -> str | None:
    if sys.platform != "win32":
        return None
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
            return " ".join(str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).split()) or None
    except OSError:
        return None
