"""Settings that another window or a command wrote: looked for at times. Must not read the file itself, nor paint."""

from __future__ import annotations

import asyncio

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from app.engine_thread import EngineThread
from backends.workbench import Workbench
from widgets.main_window import MainWindow

LOOK_MS = 2000


class SettingsWatch(QObject):
    """Looks every two seconds and when the person comes back to this window; `changed` carries the settings' names.

    Also while the window is minimized: an answer that streams there must end when local only is switched on elsewhere.
    """

    changed = Signal(object)
    _news = Signal(object)

    def __init__(self, window: MainWindow, engine: EngineThread, bench: Workbench) -> None:
        super().__init__(window)
        self._engine = engine
        self._bench = bench
        self._looking = False
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)
        window.activated.connect(self.look)
        # Told on whichever thread found it; everything that shows it lives on this one.
        self._news.connect(self.changed, Qt.ConnectionType.QueuedConnection)
        bench.live.taken_over = self._news.emit

    def begin(self) -> None:
        """The engine thread runs."""
        self._timer.start()

    def end(self) -> None:
        """Before the close, which may find more that nobody will see."""
        self._timer.stop()
        self._bench.live.taken_over = _unheard

    @Slot()
    def look(self) -> None:
        """Off the GUI thread; what is found is told as what any other save or run finds."""
        if not self._looking:
            self._looking = True
            self._engine.ask(asyncio.to_thread(self._bench.live.look), _ignore, ended=self._looked)

    def _looked(self) -> None:
        self._looking = False


def _ignore(_none: None) -> None:
    """What was taken over is told by `changed`."""


def _unheard(_changed: frozenset[str]) -> None:
    """The window is closing."""
