"""GPUs as the operating system's own bus lists them, driver or not; only Linux tells. Must not know drivers."""

from __future__ import annotations

import re
from pathlib import Path

PCI_DEVICES = Path("/sys/bus/pci/devices")
VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
DISPLAY_CLASS = "0x03"
INTEL_BUILT_IN = "0000:00:02.0"  # where every Intel processor has its own graphics; too slow to be worth a build
PCI_ID = re.compile(r"(?:([0-9a-f]{1,8}):)?([0-9a-f]{2}):([0-9a-f]{2})(?:\.([0-7]))?(?:-v\d+)?", re.IGNORECASE)


def display_vendors(devices: Path = PCI_DEVICES) -> tuple[str, ...]:
    """The makers of this machine's GPUs, as `NVIDIA`, `AMD` or `Intel`, each once; without a processor's own Intel."""
    try:
        found = {_vendor(each) for each in sorted(devices.iterdir())}
    except OSError:
        return ()
    return tuple(name for name in VENDORS.values() if name in found)


def plain_pci_id(text: str | None) -> str | None:
    """One spelling of a PCI bus id, `0000:c1:00.0`, for NVML's `00000000:C1:00.0` and ggml's; None if it is none."""
    found = PCI_ID.fullmatch((text or "").strip())
    if found is None:
        return None
    domain, bus, device, function = found.groups(default="0")
    return f"{int(domain, 16):04x}:{bus}:{device}.{function}".lower()


def _vendor(device: Path) -> str | None:
    if device.name == INTEL_BUILT_IN:
        return None
    try:
        if not (device / "class").read_text(encoding="ascii").startswith(DISPLAY_CLASS):
            return None
        return VENDORS.get((device / "vendor").read_text(encoding="ascii").strip())
    except OSError:  # a device that goes away while we look
        return None
