"""GPUs that are here and that this build of llama.cpp cannot use, each with the command that fixes it. Pure.

Must not look at the machine: which GPUs there are, and what llama.cpp is built for, is told to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from backends.devices.records import Device
from backends.errors import Problem
from backends.local.facts import WorkerFacts

GPU_BACKENDS = ("CUDA", "ROCm", "MUSA", "Metal", "SYCL", "Vulkan")
FIXES = {
    "cuda": "Run `make run GPU=cuda` once; it builds llama.cpp for the GPU and needs NVIDIA's CUDA toolkit.",
    "metal": "Run `make run GPU=metal` once; it builds llama.cpp for the Mac's GPU.",
    "vulkan": "Run `make run GPU=vulkan` once; it builds llama.cpp for the GPU and needs glslc and Vulkan's headers.",
}
BUILD_FOR = {"NVIDIA": "cuda", "Apple": "metal", "AMD": "vulkan", "Intel": "vulkan"}


def unused_gpus(gpus: Sequence[Device], facts: WorkerFacts | None, vendors: Sequence[str]) -> tuple[Problem, ...]:
    """At most one problem. `vendors` made the GPUs that the system sees, driver or not; `facts` None claims nothing."""
    if facts is None:
        return ()
    built = backend_names(facts)
    unseen = [gpu for gpu in gpus if gpu.backend is None and not _slice_of_a_seen(gpu, gpus)]
    if unseen:
        return (_unseen_nvidia(_names(unseen), built),)
    silent = [vendor for vendor in vendors if vendor != "NVIDIA"]  # of those NVML knows better
    return (_unseen_other(silent[0], built),) if silent and not gpus else ()


def backend_names(facts: WorkerFacts) -> tuple[str, ...]:
    """What llama.cpp is built for, by the names that people use."""
    return tuple("Metal" if name == "MTL" else name for name in facts.backends)


def _slice_of_a_seen(gpu: Device, gpus: Sequence[Device]) -> bool:
    """One program sees one slice of a GPU only."""
    return gpu.slice_of is not None and any(each.backend and each.slice_of == gpu.slice_of for each in gpus)


def _unseen_nvidia(names: str, built: tuple[str, ...]) -> Problem:
    if "CUDA" in built:
        fix = "Update the NVIDIA driver, and take CUDA_VISIBLE_DEVICES out of the environment if it is set there."
        return Problem("gpu_unseen", f"llama.cpp is built for CUDA, but does not see {names}.", "", fix)
    return Problem("cpu_build", _not_used(names, built), "", FIXES["cuda"])


def _unseen_other(vendor: str, built: tuple[str, ...]) -> Problem:
    build = BUILD_FOR[vendor]
    if build.capitalize() in built:
        what = f"llama.cpp is built for {build.capitalize()}, but does not see this machine's {vendor} GPU."
        return Problem("gpu_unseen", what, "", "Install or update the GPU's driver.")
    return Problem("cpu_build", _not_used(f"this machine's {vendor} GPU", built), "", FIXES[build])


def _not_used(names: str, built: tuple[str, ...]) -> str:
    has = [name for name in built if name in GPU_BACKENDS]
    return f"llama.cpp is built for {' and '.join(has) or 'the CPU'} here, so models do not use {names}."


def _names(gpus: Sequence[Device]) -> str:
    """Slices by the GPU that they are of, which counts once."""
    whole = {gpu.slice_of or index: gpu.name.partition(" MIG")[0] for index, gpu in enumerate(gpus)}
    counted = [f"{count} x {name}" if count > 1 else name for name, count in Counter(whole.values()).items()]
    return " and ".join(filter(None, (", ".join(counted[:-1]), counted[-1])))
