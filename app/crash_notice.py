"""Brings the sentence about an unexpected error from any thread to the window. Must not know what went wrong."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Qt, Signal

from backends.errors import Problem


class CrashNotice(QObject):
    """`tell` may be called on any thread; `show` is called on the GUI thread, once it is back in its event loop."""

    _told = Signal(object)

    def __init__(self, show: Callable[[Problem], None], parent: QObject) -> None:
        super().__init__(parent)
        self._show = show
        self._told.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def tell(self, problem: Problem) -> None:
        self._told.emit(problem)

    def _deliver(self, problem: Problem) -> None:
        self._show(problem)
