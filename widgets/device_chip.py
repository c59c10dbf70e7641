"""The chip that says what the machine has free, with a card of all devices. Must not know how they are read."""

from __future__ import annotations

from collections.abc import Sequence

from widgets import format as fmt
from widgets import icons, parts, theme
from widgets.popover import Popover
from widgets.values import DeviceLine


def chip_text(devices: Sequence[DeviceLine]) -> str:
    """`RTX 4090, 21.3 of 24.0 GiB free`, or the CPU's free memory where there is no GPU."""
    if not devices:
        return "Looking at this machine…"
    gpus = [device for device in devices if device.kind == "gpu"]
    first = gpus[0] if gpus else devices[0]
    more = f" +{len(gpus) - 1}" if len(gpus) > 1 else ""
    if first.kind == "cpu":
        return f"CPU, {_free(first)}"
    return f"{first.name}{more}, {_free(first)}"


def _free(device: DeviceLine) -> str:
    if device.free_bytes is None:
        return "memory unknown"
    if device.total_bytes is None or device.kind == "cpu":
        return f"{fmt.byte_size(device.free_bytes)} free"
    free, free_unit = fmt.byte_size(device.free_bytes).split(" ")
    total, total_unit = fmt.byte_size(device.total_bytes).split(" ")
    return f"{free if free_unit == total_unit else f'{free} {free_unit}'} of {total} {total_unit} free"


class DeviceChip(parts.Chip):
    """Click for every device with its memory."""

    def __init__(self) -> None:
        super().__init__()
        self._devices: tuple[DeviceLine, ...] = ()
        self._popover: Popover | None = None
        self.clicked.connect(self._open)
        self.show_devices(())

    def show_devices(self, devices: Sequence[DeviceLine]) -> None:
        self._devices = tuple(devices)
        text = chip_text(self._devices)
        self.setText(text)
        self.setAccessibleName(f"Devices: {text}")
        parts.set_tip(self, f"{text}\nWhat this machine can run models on")
        icons.dress(self, "cpu", "muted")

    def _open(self) -> None:
        if self._popover is not None:
            self._popover.deleteLater()
        self._popover = popover = Popover("Devices", self)
        popover.body.addWidget(parts.label("This machine", "heading"))
        for device in self._devices:
            popover.body.addSpacing(theme.HAIR)
            popover.body.addWidget(parts.label(device.name, "strong", wrap=True))
            popover.body.addWidget(parts.label(_memory(device), wrap=True))
            if device.detail:
                popover.body.addWidget(parts.label(device.detail, "caption", "muted", wrap=True))
        if not self._devices:
            popover.body.addWidget(parts.label("Still looking.", tone="muted"))
        popover.open_below(self)


def _memory(device: DeviceLine) -> str:
    kind = "GPU memory" if device.kind == "gpu" else "Memory"
    if device.total_bytes is None:
        return f"{kind}: {_free(device)}"
    return f"{kind}: {fmt.byte_size(device.free_bytes)} free of {fmt.byte_size(device.total_bytes)}"
