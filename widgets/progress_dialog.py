"""Work that takes a while, with how far it is and a way to stop it. Must not know what the work is."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from widgets import parts
from widgets.busy_bar import BusyBar
from widgets.dialog import Dialog
from widgets.progress_rule import ProgressRule


class ProgressDialog(Dialog):
    """`cancelled` comes when the person stops the work; `end` closes it because the work has ended."""

    cancelled = Signal()

    def __init__(self, title: str, says: str, *, stop_tip: str, parent: QWidget | None = None) -> None:
        super().__init__(title, parent=parent)
        self._ended = False
        self._says = parts.label(says, wrap=True)
        self._busy = BusyBar(title)
        self._rule = ProgressRule()
        self._rule.setAccessibleName(title)
        for part in (self._says, self._busy, self._rule):
            self.body.addWidget(part)
        self._rule.hide()
        self._stop = self.add_cancel(stop_tip, text="Stop")
        self.rejected.connect(self._rejected)

    def show_progress(self, share: float | None, words: str) -> None:
        """`share` from 0 to 1; None while nobody knows how much there is."""
        self._busy.setVisible(share is None)
        self._rule.setVisible(share is not None)
        self._rule.show_progress(share or 0.0)
        if words and self._says.text() != words:
            self._says.setText(words)

    def text(self) -> str:
        return self._says.text()

    def end(self) -> None:
        self._ended = True
        self.accept()

    def _rejected(self) -> None:
        if not self._ended:
            self.cancelled.emit()
