"""What NVML's failures mean, in words for a person, each with one fix. Must not know the library that fails."""

from __future__ import annotations

from collections.abc import Iterable

from backends.errors import Problem

# What a driver that is well says too: it is not there, or it has something to say of one GPU that it does list.
HARMLESS = frozenset({"nvidia_no_library", "nvidia_no_memory_size", "nvidia_many_slices", "nvidia_no_slice"})
_UNTIL_THEN = "until then models run on the CPU."
_WORDS = {
    "timeout": ("The NVIDIA driver did not answer.", f"Restart the computer if it stays so; {_UNTIL_THEN}"),
    "no_library": (
        "This machine has an NVIDIA GPU, but its driver is not installed, or cannot be seen from here.",
        f"Install the NVIDIA driver; {_UNTIL_THEN}",
    ),
    "driver_not_loaded": (
        "The NVIDIA driver is installed but not loaded.",
        f"Restart the computer, and install the driver again if that does not help; {_UNTIL_THEN}",
    ),
    "version_mismatch": (
        "The NVIDIA driver was updated and the old one is still loaded.",
        f"Restart the computer; {_UNTIL_THEN}",
    ),
    "no_permission": (
        "This user may not use the NVIDIA driver.",
        f"Give the user access to /dev/nvidia*, or ask whoever runs this machine; {_UNTIL_THEN}",
    ),
    "gpu_lost": (
        "{} has stopped answering.",
        "Restart the computer, and check the GPU's power and slot if it happens again.",
    ),
    "no_memory_size": (
        "{} does not say how much memory it has.",
        "Go by the computer's free memory when you choose a model.",
    ),
    "many_slices": (
        "{} is divided into {} slices (MIG), and one program can use only one of them.",
        "Start Nearfar with CUDA_VISIBLE_DEVICES set to the uuid of the slice that it should use.",
    ),
    "no_slice": (
        "{} is to be divided into slices (MIG), but has none that this user may use.",
        "Ask whoever runs this machine for a slice, or to switch MIG off; models run without this GPU till then.",
    ),
    "other": ("The NVIDIA driver could not be asked about {}: {}.", f"Update the driver; {_UNTIL_THEN}"),
}


def nvml_problem(code: str, *parts: object) -> Problem:
    """The problem `nvidia_<code>`; `parts` fill its sentence."""
    what, fix = _WORDS[code]
    return Problem(code=f"nvidia_{code}", what=what.format(*parts), safe="", fix=fix)


def driver_fails(problems: Iterable[Problem]) -> bool:
    """Whether a GPU that NVML does not list may be lost, hung or shut off, whatever llama.cpp saw before."""
    return any(each.code.startswith("nvidia_") and each.code not in HARMLESS for each in problems)
