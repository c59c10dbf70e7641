"""This machine on the Models page: a bar per device, and what keeps one from being used. Must not know probes.

Up to three GPUs have a panel each; more are drawn small, so that a large machine does not fill the page.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QSizePolicy, QVBoxLayout, QWidget

from widgets import format as fmt
from widgets import parts, theme
from widgets.device_bar import DevicePanel, short_bytes
from widgets.fix_notice import FixNotice
from widgets.model_values import DeviceBar, MachineView
from widgets.model_words import device_names

LARGE_PANELS = 4
NOTICES = 2
PANEL_WIDTH, SMALL_WIDTH = 380, 190


def drawn(devices: Sequence[DeviceBar]) -> list[DeviceBar]:
    """The devices that get a bar: memory that GPU and CPU share is drawn once, as the GPU's."""
    shared_gpu = any(device.shared and device.kind == "gpu" for device in devices)
    return [device for device in devices if not (shared_gpu and device.shared and device.kind == "cpu")]


class MachineCard(QFrame):
    """`fix_copied` carries a command that the person copied from a problem's fix."""

    fix_copied = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("card", "surface")
        self.setAccessibleName("This machine")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self._shown: tuple[MachineView, str] | None = None
        self._panels: list[DevicePanel] = []
        self._compact = False
        self._columns = 0
        self._heading = parts.label("Looking at this machine…", "strong")
        self._summary = parts.label(role="caption", tone="muted", wrap=True)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(theme.WIDE)
        self._grid.setVerticalSpacing(theme.GAP)
        self._notices: list[FixNotice] = []
        self._below = parts.column(gap=theme.TIGHT)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.ROOM, theme.GAP, theme.ROOM, theme.GAP)
        layout.setSpacing(theme.TIGHT)
        layout.addWidget(self._heading)
        layout.addLayout(self._grid)
        layout.addWidget(self._summary)
        layout.addLayout(self._below)
        self._summary.hide()
        for _ in range(NOTICES):
            self._add_notice()

    def show_machine(self, machine: MachineView, wanted_by: str) -> None:
        """`wanted_by` is whose memory the middle part of each bar is, as “selected model”."""
        if (machine, wanted_by) == self._shown:
            return
        self._shown = (machine, wanted_by)
        devices = drawn(machine.devices)
        compact = len(devices) > LARGE_PANELS
        if compact != self._compact or len(devices) != len(self._panels):
            self._rebuild(len(devices), compact)
        for panel, device, name in zip(self._panels, devices, self._names(devices), strict=True):
            panel.show_device(device, name, wanted_by)
        self._say(devices, wanted_by)
        self._show_problems(machine)
        self._place()

    def _names(self, devices: Sequence[DeviceBar]) -> list[str]:
        names = device_names([device.name for device in devices])
        made = []
        for at, (device, name) in enumerate(zip(devices, names, strict=True), 1):
            if device.kind == "cpu":
                made.append("Main memory" if self._compact else f"Main memory, {name}")
            elif self._compact:
                made.append(f"GPU {at}")
            else:
                made.append(f"{name}, memory shared by GPU and processor" if device.shared else name)
        return made

    def _say(self, devices: Sequence[DeviceBar], wanted_by: str) -> None:
        gpus = [device for device in devices if device.kind == "gpu"]
        self._heading.setVisible(self._compact or not devices)
        self._summary.setVisible(self._compact)
        if not devices:
            self._heading.setText("Looking at this machine…")
        if not self._compact:
            return
        names = {device.name for device in gpus}
        self._heading.setText(f"{len(gpus)} × {names.pop()}" if len(names) == 1 else f"{len(gpus)} GPUs")
        free = sum(device.free_bytes or 0 for device in gpus)
        total = sum(device.total_bytes or 0 for device in gpus)
        wanted = sum(device.wanted_bytes for device in gpus)
        said = f"GPU memory together: {fmt.part_of(free, total)} free"
        if wanted:
            said += f", {fmt.byte_size(wanted)} for the {wanted_by}"
        short = sum(short_bytes(device) > 0 for device in gpus)
        if short:
            said += f"; too little on {fmt.plural(short, 'GPU')}"
        self._summary.setText(f"{said}.")

    def _show_problems(self, machine: MachineView) -> None:
        while len(self._notices) < len(machine.problems):
            self._add_notice()
        for at, notice in enumerate(self._notices):
            notice.show_problem(machine.problems[at] if at < len(machine.problems) else None)

    def _add_notice(self) -> None:
        notice = FixNotice()
        notice.copied.connect(self.fix_copied)
        self._notices.append(notice)
        self._below.addWidget(notice)

    def _rebuild(self, count: int, compact: bool) -> None:
        for panel in self._panels:
            self._grid.removeWidget(panel)
            panel.hide()
            panel.deleteLater()
        self._compact, self._columns = compact, 0
        self._panels = [DevicePanel(compact=compact) for _ in range(count)]

    def _place(self) -> None:
        """As many columns as there is room for."""
        room = max(1, self.width() // (SMALL_WIDTH if self._compact else PANEL_WIDTH))
        columns = max(1, min(room, len(self._panels), 5 if self._compact else 2))
        if columns == self._columns:
            return
        for column in range(self._grid.columnCount()):
            self._grid.setColumnStretch(column, 1 if column < columns else 0)
        for at, panel in enumerate(self._panels):
            self._grid.addWidget(panel, at // columns, at % columns)
            self._grid.setColumnStretch(at % columns, 1)
        self._columns = columns

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place()

    def panels(self) -> list[QWidget]:
        """The device panels in order, for tests and for screen readers' order."""
        return list(self._panels)
