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
SYSTEM_ROOTS = ("/usr", "/usr/local", "/opt/homebrew")


@dataclass(frozen=True, slots=True)
class Facts:
    """What this machine offers for building and for running."""

    system: str
    """As `platform.system()` says: Linux, Darwin or Windows."""
    machine: str = "x86_64"
    nvcc: str | None = None
    cublas: bool = False
    """Whether cuBLAS can be built against; a toolkit may be there without it."""
    nvidia_driver: bool = False
    cuda_architectures: str | None = None
    """What CUDAARCHS asks for, as CMake writes it: `86;89`."""
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
    return _choice(wanted, facts, f"as GPU={wanted} asks.{_warning(wanted, facts)}")


def _automatic(facts: Facts) -> Choice:
    if facts.system == "Darwin":
        if facts.machine == "arm64":
            return _choice("metal", facts, "the Mac's GPU. Nothing would be faster here.")
        return _choice("cpu", facts, "Metal is slow on Intel Macs; GPU=metal tries it all the same.")
    if facts.nvidia_driver and not _lack("cuda", facts):
        return _choice("cuda", facts, "nvcc and an NVIDIA driver are here. Nothing would be faster here.")
    vulkan_lack = _lack("vulkan", facts)
    if facts.gpu_node and not vulkan_lack:
        hint = (
            "With an NVIDIA GPU, the CUDA toolkit would be faster."
            if facts.nvidia_driver
            else "Nothing would be faster here."
        )
        return _choice("vulkan", facts, f"a GPU, glslc and Vulkan's headers are here. {hint}")
    return _choice("cpu", facts, _what_would_be_faster(facts, vulkan_lack))


def _what_would_be_faster(facts: Facts, vulkan_lack: str) -> str:
    if facts.nvidia_driver:
        return f"an NVIDIA GPU is here. To use it: {_lack('cuda', facts)}."
    if facts.nvcc:
        return (
            "nvcc is here, but no NVIDIA driver: install the driver to use the GPU, or force the build with GPU=cuda."
        )
    if facts.gpu_node:
        return f"to use a GPU through Vulkan: {vulkan_lack}."
    return "no GPU was found. An NVIDIA GPU with the CUDA toolkit, or any GPU through Vulkan, would be faster."


def _choice(backend: str, facts: Facts, reason: str) -> Choice:
    # llama-cpp-python forces Metal on, on every Mac; llama.cmake takes it off again where it is not wanted.
    option = {"cuda": "GGML_CUDA", "vulkan": "GGML_VULKAN", "metal": "NEARFAR_METAL"}.get(backend)
    defines = {option: "ON"} if option else {}
    if backend == "cuda" and (facts.cuda_architectures or not facts.nvidia_driver):
        # ggml builds for the GPU that is here unless told otherwise. It ignores CUDAARCHS and fails without a GPU.
        defines["CMAKE_CUDA_ARCHITECTURES"] = facts.cuda_architectures or "all-major"
    return Choice(backend, tuple(defines.items()), f"llama.cpp for {_NAMES[backend]}: {reason}")


def _lack(backend: str, facts: Facts) -> str:
    """What is missing to build this backend, as the end of a sentence; empty where nothing is."""
    if backend == "cuda" and not (facts.nvcc and facts.cublas):
        return f"install the CUDA toolkit ({'cuBLAS' if facts.nvcc else 'nvcc'} was not found)"
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
    roots = [Path(root) for root in (os.environ.get("VULKAN_SDK"), *SYSTEM_ROOTS) if root]
    return Facts(
        system=platform.system(),
        machine=platform.machine(),
        nvcc=_nvcc(),
        cublas=_cublas(),
        nvidia_driver=_nvidia_driver(),
        cuda_architectures=os.environ.get("CUDAARCHS"),
        glslc=shutil.which("glslc"),
        vulkan_headers=_vulkan_headers(roots),
        spirv_headers=any(True for root in roots for _ in _spirv_configs(root)),
        gpu_node=WINDOWS or any(Path("/dev/dri").glob("renderD*")),
    )


def _nvcc() -> str | None:
    folders = [os.environ["PATH"], os.path.join(os.environ.get("CUDA_PATH", ""), "bin"), "/usr/local/cuda/bin"]
    return shutil.which("nvcc", path=os.pathsep.join(folders))


def _cublas() -> bool:
    roots = [Path(root) for root in (os.environ.get("CUDA_PATH"), "/usr") if root]
    roots += Path("/usr/local").glob("cuda*")
    places = ("include", "targets/*/include")
    return any(True for root in roots for place in places for _ in root.glob(f"{place}/cublas_v2.h"))


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


def toolchain(backend: str, facts: Facts) -> list[str]:
    """What a build for a GPU depends on beside its settings: its compiler's version and, for CUDA, the GPUs here."""
    questions: list[list[str]] = []
    if backend == "cuda" and facts.nvcc:
        questions = [[facts.nvcc, "--version"], ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]]
    if backend == "vulkan" and facts.glslc:
        questions = [[facts.glslc, "--version"]]
    return [answer for argv in questions if (answer := _output(argv))]


def _output(argv: list[str]) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
