"""One list of GPUs out of what NVML and llama.cpp's backends each see. Pure: must not ask any driver.

A GPU that has a CUDA and a Vulkan backend is one device, and two equal GPUs are two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from backends.devices.gpu_table import bandwidth_by_name, plain_name, same_gpu
from backends.devices.pci import plain_pci_id
from backends.devices.records import Device, MemoryInfo
from backends.local.facts import WorkerDevice

GPU_KINDS = ("gpu", "igpu")
DRAWN_BY_CPU = ("llvmpipe", "softpipe", "swiftshader", "microsoftbasicrender")


def merged_gpus(
    told: Sequence[Device], listed: Sequence[WorkerDevice], memory: MemoryInfo, *, driver_fails: bool = False
) -> tuple[Device, ...]:
    """NVML's GPUs in its order, each with the name that llama.cpp has for it, then those that only llama.cpp lists.

    A GPU within the processor is left out where there is another one: llama.cpp does not use it then. Where NVIDIA's
    `driver_fails`, so is an NVIDIA GPU that NVML does not list: llama.cpp may have seen it before it was lost.
    """
    gpus = list(told)
    built_in: list[int] = []
    taken: dict[str, set[int]] = {}
    for each in listed:
        if each.kind not in GPU_KINDS or plain_name(each.description).startswith(DRAWN_BY_CPU):
            continue
        mine = taken.setdefault(re.sub(r"\d+$", "", each.name), set())
        index = _find(gpus, each, mine)
        if index is None:
            if driver_fails and _is_nvidia(each):
                continue
            index = len(gpus)
            gpus.append(_from_llama_cpp(each, memory))
            built_in += [index] * (each.kind == "igpu")
        mine.add(index)
        gpus[index] = _named(gpus[index], each)
    others_used = any(gpu.backend is not None for index, gpu in enumerate(gpus) if index not in built_in)
    return tuple(gpu for index, gpu in enumerate(gpus) if not others_used or index not in built_in)


def _find(gpus: Sequence[Device], each: WorkerDevice, taken: set[int]) -> int | None:
    """By PCI bus id where both sides know it. Else the next of that name that this backend has not listed before."""
    pci_id = plain_pci_id(each.pci_id)
    here = [index for index, gpu in enumerate(gpus) if pci_id is not None and gpu.pci_id == pci_id]
    if here:
        # Slices share the id of their GPU; the name then tells which it is.
        return min(here, key=lambda index: (index in taken, not same_gpu(gpus[index].name, _title(each))))
    for index, gpu in enumerate(gpus):
        comparable = pci_id is None or gpu.pci_id is None
        if comparable and index not in taken and same_gpu(gpu.name, _title(each)):
            return index
    return None


def _named(gpu: Device, each: WorkerDevice) -> Device:
    if gpu.backend is not None:  # llama.cpp takes the first of several backends
        return gpu
    gpu = replace(gpu, backend=each.name)
    if gpu.total_bytes is not None or not each.total_bytes:
        return gpu
    total, free = each.total_bytes, each.free_bytes
    if free is None:
        return replace(gpu, total_bytes=total)
    return replace(gpu, total_bytes=total, free_bytes=min(free, total), used_bytes=max(0, total - free))


def _is_nvidia(each: WorkerDevice) -> bool:
    return each.name.startswith("CUDA") or "nvidia" in _title(each).casefold()


def _from_llama_cpp(each: WorkerDevice, memory: MemoryInfo) -> Device:
    """Shared memory is at most what the system lends the GPU, and at most what the computer has free."""
    shared = each.kind == "igpu" or each.description.startswith("Apple")
    total_bytes = each.total_bytes
    free_bytes = None if each.free_bytes is None else min(each.free_bytes, total_bytes)
    if shared:
        total_bytes = min(total_bytes or memory.total_bytes, memory.total_bytes)
        if free_bytes is not None:
            free_bytes = min(free_bytes or memory.free_bytes, memory.free_bytes, total_bytes)
    known = bandwidth_by_name(_title(each), memory.total_bytes if shared else total_bytes)
    return Device(
        name=_title(each),
        kind="gpu",
        pci_id=plain_pci_id(each.pci_id),
        total_bytes=total_bytes or None,
        used_bytes=total_bytes - free_bytes if total_bytes and free_bytes is not None else None,
        free_bytes=free_bytes if total_bytes else None,
        memory="shared" if shared else "own",
        bandwidth_gb_s=known,
        bandwidth_source=None if known is None else "table",
    )


def _title(each: WorkerDevice) -> str:
    return each.description or each.name
