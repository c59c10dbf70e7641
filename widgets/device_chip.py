"""The chip that says what the machine has free, with a card of all devices. Must not know how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLabel

from widgets import format as fmt
from widgets import icons, parts, theme
from widgets.popover import Popover

if TYPE_CHECKING:
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
    """Click for every device with its memory. `watched` says that the figures are in sight, or no longer."""

    watched = Signal(bool)

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
        if self._popover is not None and self._popover.isVisible():
            self._fill(self._popover)

    def _open(self) -> None:
        if self._popover is not None:
            self._popover.deleteLater()
        self._popover = popover = Popover("Devices", self)
        popover.closed.connect(lambda: self.watched.emit(False))
        self._fill(popover)
        popover.open_below(self)
        self.watched.emit(True)

    def _fill(self, popover: Popover) -> None:
        """All the lines anew; while it is open, only where there are other lines than before."""
        lines = _lines(self._devices)
        shown = [label for at in range(popover.body.count()) if (label := _label_at(popover, at)) is not None]
        if [label.property("role") for label in shown] == [role for _text, role, _tone in lines]:
            for label, (text, _role, _tone) in zip(shown, lines, strict=True):
                if label.text() != text:
                    label.setText(text)
            return
        while popover.body.count():
            item = popover.body.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.deleteLater()
        for text, role, tone in lines:
            if role == "strong":
                popover.body.addSpacing(theme.HAIR)
            popover.body.addWidget(parts.label(text, role, tone, wrap=True))
        popover.adjustSize()


def _lines(devices: Sequence[DeviceLine]) -> list[tuple[str, theme.Role, str]]:
    """What the card says, from top to bottom: text, role and tone."""
    made: list[tuple[str, theme.Role, str]] = [("This machine", "heading", "")]
    for device in devices:
        made += [(device.name, "strong", ""), (_memory(device), "body", "")]
        if device.detail:
            made.append((device.detail, "caption", "muted"))
    return made if devices else [*made, ("Still looking.", "body", "muted")]


def _label_at(popover: Popover, at: int) -> QLabel | None:
    item = popover.body.itemAt(at)
    widget = item.widget() if item is not None else None
    return widget if isinstance(widget, QLabel) else None


def _memory(device: DeviceLine) -> str:
    kind = "GPU memory" if device.kind == "gpu" else "Memory"
    if device.total_bytes is None:
        return f"{kind}: {_free(device)}"
    return f"{kind}: {fmt.byte_size(device.free_bytes)} free of {fmt.byte_size(device.total_bytes)}"
