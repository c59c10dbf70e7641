"""Imports what fills the window once it stands, in a thread, then fills it. Must not know what it is filled with."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable

from PySide6.QtCore import QObject, Qt, Signal, Slot
from PySide6.QtWidgets import QApplication

from widgets.main_window import MainWindow

MODULES = ("app.session", "backends.workbench", "app.crash", "app.crash_notice")
EXIT_NOT_OPENED = 1
Fill = Callable[[QApplication, MainWindow], object | None]


class Opening(QObject):
    """Begins when the window has been painted. Holds what `fill` gives; where that is None, the program ends with 1."""

    _imported = Signal()

    def __init__(self, qt: QApplication, window: MainWindow, fill: Fill) -> None:
        super().__init__()
        self._qt = qt
        self._window = window
        self._fill = fill
        self._closed = False
        self._filled: object | None = None
        self._thread = threading.Thread(target=self._import, name="opening", daemon=True)
        window.shown.connect(self._begin)
        window.closing.connect(self._close)
        self._imported.connect(self._go_on, Qt.ConnectionType.QueuedConnection)

    def end(self) -> None:
        """After the window is gone: wait for the thread, which would else import into an interpreter that ends."""
        if self._thread.ident is not None:
            self._thread.join()

    @Slot()
    def _begin(self) -> None:
        self._thread.start()

    @Slot()
    def _close(self) -> None:
        self._closed = True

    def _import(self) -> None:
        try:
            for name in MODULES:
                if self._closed:
                    return
                importlib.import_module(name)
        finally:  # what is broken is met again where the window is filled
            self._imported.emit()

    @Slot()
    def _go_on(self) -> None:
        if self._closed:
            return
        try:
            self._filled = self._fill(self._qt, self._window)
        finally:
            if self._filled is None:
                self._window.close()
                self._qt.exit(EXIT_NOT_OPENED)
