"""Chooses the backend that llama.cpp is built with, and says why. It must not build or install anything.

`choose` is pure: `look` gathers what it needs, so that every rule can be tested on any machine.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from shell import WINDOWS, Stop

BACKENDS = ("auto", "cpu", "cuda", "vulkan", "metal")


@dataclass(frozen=True, slots=True)
class Facts:
    """What this machine offers for building and for running."""

    system: str
    """As `platform.system()` says: Linux, Darwin or Windows."""
    machine: str = "x86_64"
    nvcc: str | None = None
    nvidia_driver: bool = False
    glslc: str | None = None
    vulkan_headers: str = "none"
    """none, old (without VK_EXT_layer_settings, which ggml-vulkan needs) or good."""
    spirv_headers: bool = False
    gpu_node: bool = False
    """A GPU that is not NVIDIA's may be here: a render node on Linux, always on Windows."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A backend, the CMake settings that it adds, and one line about it."""

    backend: str
    defines: tuple[tuple[str, str], ...]
    reason: str


def choose(wanted: str, facts: Facts) -> Choice:
    """The backend for `wanted`, one of BACKENDS. Raises Stop where the wanted one cannot be built."""
    if wanted == "auto":
        return _automatic(facts)
    lack = _lack(wanted, facts)
    if lack:
        raise Stop(f"GPU={wanted} cannot be built here: {lack}. Nothing was changed. Put that right, or use GPU=auto.")
    return _choice(wanted, f"as GPU={wanted} asks.{_warning(wanted, facts)}")


def _automatic(facts: Facts) -> Choice:
    if facts.system == "Darwin":
        if facts.machine == "arm64":
            return _choice("metal", "the Mac's GPU. Nothing would be faster here.")
        return _choice("cpu", "Metal is slow on Intel Macs; GPU=metal tries it all the same.")
    if facts.nvcc and facts.nvidia_driver:
        return _choice("cuda", "nvcc and an NVIDIA driver are here. Nothing would be faster here.")
    vulkan_lack = _lack("vulkan", facts)
    if facts.gpu_node and not vulkan_lack:
        hint = (
            "With an NVIDIA GPU, the CUDA toolkit would be faster."
            if facts.nvidia_driver
            else "Nothing would be faster here."
        )
        return _choice("vulkan", f"a GPU, glslc and Vulkan's headers are here. {hint}")
    return _choice("cpu", _what_would_be_faster(facts, vulkan_lack))


def _what_would_be_faster(facts: Facts, vulkan_lack: str) -> str:
    if facts.nvidia_driver:
        return "an NVIDIA GPU is here, but not nvcc. Install the CUDA toolkit to use the GPU."
    if facts.nvcc:
        return (
            "nvcc is here, but no NVIDIA driver: install the driver to use the GPU, or force the build with GPU=cuda."
        )
    if facts.gpu_node:
        return f"to use a GPU through Vulkan: {vulkan_lack}."
    return "no GPU was found. An NVIDIA GPU with the CUDA toolkit, or any GPU through Vulkan, would be faster."


def _choice(backend: str, reason: str) -> Choice:
    # llama-cpp-python forces Metal on, on every Mac; llama.cmake takes it off again where it is not wanted.
    option = {"cuda": "GGML_CUDA", "vulkan": "GGML_VULKAN", "metal": "NEARFAR_METAL"}.get(backend)
    return Choice(backend, ((option, "ON"),) if option else (), f"llama.cpp for {_NAMES[backend]}: {reason}")


def _lack(backend: str, facts: Facts) -> str:
    """What is missing to build this backend, as the end of a sentence; empty where nothing is."""
    if backend == "cuda" and not facts.nvcc:
        return "nvcc was not found; install the CUDA toolkit"
    if backend == "metal" and facts.system != "Darwin":
        return "Metal is only on macOS"
    if backend != "vulkan":
        return ""
    lacks = [] if facts.glslc else ["install glslc"]
    if facts.vulkan_headers != "good":
        old = facts.vulkan_headers == "old"
        lacks.append(
            "install newer Vulkan headers, such as Debian 13 has (ggml needs VK_EXT_layer_settings)"
            if old
            else "install libvulkan-dev"
        )
    if not facts.spirv_headers:
        lacks.append("install spirv-headers")
    return " and ".join(lacks)


def _warning(backend: str, facts: Facts) -> str:
    if backend == "cuda" and not facts.nvidia_driver:
        return " No NVIDIA driver is here, so it will not load on this machine."
    return ""


_NAMES = {"cpu": "the CPU", "cuda": "CUDA", "vulkan": "Vulkan", "metal": "Metal"}


def look() -> Facts:
    """What this machine offers. Starts no program and loads no driver but NVIDIA's."""
    roots = [Path(root) for root in (os.environ.get("VULKAN_SDK"), "/usr", "/usr/local", "/opt/homebrew") if root]
    return Facts(
        system=platform.system(),
        machine=platform.machine(),
        nvcc=_nvcc(),
        nvidia_driver=_nvidia_driver(),
        glslc=shutil.which("glslc"),
        vulkan_headers=_vulkan_headers(roots),
        spirv_headers=any(True for root in roots for _ in _spirv_configs(root)),
        gpu_node=WINDOWS or any(Path("/dev/dri").glob("renderD*")),
    )


def _nvcc() -> str | None:
    folders = [os.environ["PATH"], os.path.join(os.environ.get("CUDA_PATH", ""), "bin"), "/usr/local/cuda/bin"]
    return shutil.which("nvcc", path=os.pathsep.join(folders))


def _nvidia_driver() -> bool:
    if Path("/dev/nvidiactl").exists():
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if WINDOWS else "libcuda.so.1")
    except OSError:
        return False
    return True


def _vulkan_headers(roots: Iterable[Path]) -> str:
    for root in roots:
        for folder in ("include", "Include"):
            header = root / folder / "vulkan" / "vulkan_core.h"
            if header.exists():
                new = "VK_EXT_layer_settings" in header.read_text(encoding="utf-8", errors="replace")
                return "good" if new else "old"
    return "none"


def _spirv_configs(root: Path) -> Iterable[Path]:
    for folder in ("share/cmake", "lib/cmake", "lib/x86_64-linux-gnu/cmake", "Lib/cmake"):
        yield from root.joinpath(folder).glob("SPIRV-Headers*/SPIRV-HeadersConfig.cmake")


def cuda_identity(nvcc: str | None) -> list[str]:
    """What a CUDA build depends on beside its settings: the compiler's version and the GPUs that are here."""
    if not nvcc:
        return []
    questions = ([nvcc, "--version"], ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"])
    return [answer for argv in questions if (answer := _output(argv))]


def _output(argv: list[str]) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
