"""The MIG slices of an NVIDIA GPU, each a device of its own in place of the whole. Must not know which one is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from backends.devices.nvml_device import Session, ask, read_device, read_name
from backends.devices.records import Device

MEMORY_PARTS = 8


def read_slices(session: Session, handle: Any, whole: Device) -> tuple[Device, ...] | None:
    """The slices of `whole`, perhaps none; None where it is not divided. Raises NVMLError where the GPU is lost."""
    nvml = session.nvml
    mode = ask(nvml, nvml.nvmlDeviceGetMigMode, handle)
    if not mode or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
        return None
    return tuple(_read_each(session, handle, whole))


def _read_each(session: Session, handle: Any, whole: Device) -> Iterator[Device]:
    nvml = session.nvml
    for index in range(ask(nvml, nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        slice_handle = ask(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index)
        if slice_handle is None:  # slots may be empty
            continue
        name = read_name(session, slice_handle)
        if "MIG" not in name:
            name = f"{whole.name} MIG slice {index}"
        yield _as_slice(read_device(session, slice_handle, name), whole)


def _as_slice(device: Device, whole: Device) -> Device:
    """Power is metered for the whole GPU only, and so is not said of a slice."""
    bandwidth = _share(device, whole)
    return replace(
        device,
        pci_id=whole.pci_id,
        compute_capability=whole.compute_capability,
        driver_model=whole.driver_model,
        bandwidth_gb_s=bandwidth,
        bandwidth_source=None if bandwidth is None else whole.bandwidth_source,
        reads_power=False,
        counts_energy=False,
        slice_of=whole.uuid,
    )


def _share(device: Device, whole: Device) -> float | None:
    """A slice owns whole eighths of the memory and, with them, of the bandwidth."""
    if not (device.total_bytes and whole.total_bytes and whole.bandwidth_gb_s):
        return None
    eighths = max(1, round(device.total_bytes / whole.total_bytes * MEMORY_PARTS))
    return whole.bandwidth_gb_s * eighths / MEMORY_PARTS
