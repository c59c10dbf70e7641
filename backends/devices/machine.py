"""The machine as one value: GPUs from NVML and from llama.cpp, the CPU, and what keeps one of them from being used.

Must not know models, nor start a worker: what llama.cpp sees is told to it by whoever asked a worker.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from backends.devices.bandwidth import known_bandwidth
from backends.devices.merge import merged_gpus
from backends.devices.nvml import Survey, read_nvidia
from backends.devices.nvml_words import driver_fails
from backends.devices.pci import display_vendors
from backends.devices.records import CpuInfo, Device, Machine, MemoryInfo
from backends.devices.system import read_cpu, read_memory
from backends.devices.unused import unused_gpus
from backends.local.facts import WorkerFacts
from backends.paths import app_paths


def read_machine(facts: WorkerFacts | None = None, *, cache: Path | None = None) -> Machine:
    """Blocks for some 20 ms, and for 3 s where a driver hangs: call it in a thread.

    Without `facts` only NVML's GPUs are listed. `cache` is the folder that holds the CPU's measured bandwidth.
    """
    cpu, memory = read_cpu(), read_memory()
    measured = known_bandwidth(app_paths().cache if cache is None else cache, cpu, memory)
    return machine_from(read_nvidia(), facts, memory, cpu, measured, read_vendors())


def read_vendors() -> tuple[str, ...]:
    """The makers of the GPUs that the system sees, driver or not."""
    is_apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return ("Apple",) if is_apple else display_vendors()


def machine_from(
    nvidia: Survey,
    facts: WorkerFacts | None,
    memory: MemoryInfo,
    cpu: CpuInfo,
    cpu_bandwidth_gb_s: float | None = None,
    vendors: Sequence[str] = (),
) -> Machine:
    """Pure. `facts` None means that llama.cpp was not asked: no GPU then has a backend, and none is called unused."""
    listed = facts.devices if facts is not None else ()
    gpus = merged_gpus(nvidia.devices, listed, memory, driver_fails=driver_fails(nvidia.problems))
    return Machine(
        gpus=gpus,
        cpu=cpu_device(memory, cpu, cpu_bandwidth_gb_s),
        cpu_info=cpu,
        problems=(*nvidia.problems, *unused_gpus(gpus, facts, vendors)),
        engine_known=facts is not None,
    )


def lacks_free_sizes(machine: Machine) -> bool:
    """Whether llama.cpp alone can say how much is free on some GPU, and was asked too long ago."""
    return any(gpu.backend and gpu.total_bytes is not None and gpu.free_bytes is None for gpu in machine.gpus)


def cpu_device(memory: MemoryInfo, cpu: CpuInfo, bandwidth_gb_s: float | None = None) -> Device:
    """The CPU and the memory that models on it use."""
    return Device(
        name=cpu.name,
        kind="cpu",
        total_bytes=memory.total_bytes,
        used_bytes=memory.total_bytes - memory.free_bytes,
        free_bytes=memory.free_bytes,
        bandwidth_gb_s=bandwidth_gb_s,
        bandwidth_source=None if bandwidth_gb_s is None else "measured",
        backend="CPU",
    )
