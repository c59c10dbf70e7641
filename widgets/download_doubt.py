"""Asks before a download that will not run here, or that the disk cannot hold. Must not know how either is found."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from widgets import parts
from widgets.dialog import Dialog


class DownloadDoubt(Dialog):
    """`confirmed` where the person wants it all the same; each of `doubts` is a sentence."""

    confirmed = Signal()

    def __init__(self, title: str, doubts: tuple[str, ...], parent: QWidget | None = None) -> None:
        super().__init__(f"Download {title} all the same?", parent=parent)
        for doubt in doubts:
            self.say(doubt)
        sure = parts.button("Download anyway", "Go on; it can be paused and removed at any time")
        sure.clicked.connect(self._sure)
        self.add_button(sure, left=True)
        self.add_cancel("Download nothing (Esc)", default=True)

    def _sure(self) -> None:
        self.accept()
        self.confirmed.emit()
