"""Machines and models for tests of fit, in GiB. Must not read the real machine."""

from __future__ import annotations

from backends.devices.records import CpuInfo, Device, Machine, MemoryKind
from backends.models.records import ModelFacts, Shape
from backends.models.weights import facts_by_rule

GIB = 2**30
MIB = 2**20


def gpu(
    name: str,
    free_gib: float,
    gb_s: float | None = 1000.0,
    *,
    total_gib: float | None = None,
    pci_id: str | None = None,
    slice_of: str | None = None,
    memory: MemoryKind = "own",
    backend: str | None = None,
) -> Device:
    return Device(
        name=name,
        kind="gpu",
        pci_id=pci_id,
        total_bytes=round((total_gib or free_gib) * GIB),
        free_bytes=round(free_gib * GIB),
        memory=memory,
        bandwidth_gb_s=gb_s,
        slice_of=slice_of,
        backend=backend,
    )


def machine(ram_gib: float, *gpus: Device, free_gib: float | None = None) -> Machine:
    cpu = Device(
        name="CPU",
        kind="cpu",
        total_bytes=round(ram_gib * GIB),
        free_bytes=round((ram_gib * 0.8 if free_gib is None else free_gib) * GIB),
        bandwidth_gb_s=50.0,
        backend="CPU",
    )
    return Machine(gpus=gpus, cpu=cpu, cpu_info=CpuInfo("CPU", 8, 16))


def model(shape: Shape, quant: str = "Q4_K_M") -> ModelFacts:
    return facts_by_rule("Llama", quant, shape)
