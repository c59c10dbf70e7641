"""Something that takes a while, with a dialog that says how far it is and can stop it. Must not know what it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import TypeVar

from PySide6.QtCore import QObject, QTimer, Signal

from app.engine_thread import EngineThread
from widgets import format as fmt
from widgets.main_window import MainWindow
from widgets.progress_dialog import ProgressDialog

T = TypeVar("T")
POLL_MS = 200
PATIENCE_MS = 400  # what ends sooner shows no dialog


class Work(QObject):
    """Something with a progress dialog, which comes only where it takes a while. `says` may change meanwhile."""

    ended = Signal()

    def __init__(self, window: MainWindow, engine: EngineThread, title: str, says: str, stop_tip: str) -> None:
        super().__init__(window)
        self.stop = threading.Event()
        self.says = says
        self._engine = engine
        self._done_bytes = self._total_bytes = 0
        self._dialog = ProgressDialog(title, says, stop_tip=stop_tip, parent=window)
        self._dialog.cancelled.connect(self.stop.set)
        self._poll = QTimer(self)
        self._poll.setInterval(POLL_MS)
        self._poll.timeout.connect(self._say)
        QTimer.singleShot(PATIENCE_MS, self, self._come)

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        """From any thread."""
        self._done_bytes, self._total_bytes = done_bytes, total_bytes

    def run(
        self, work: Coroutine[object, object, T], then: Callable[[T], None], failed: Callable[[BaseException], None]
    ) -> None:
        def done(result: T) -> None:
            self._end()
            then(result)

        def not_done(error: BaseException) -> None:
            self._end()
            failed(error)

        self._poll.start()
        self._engine.ask(work, done, not_done)

    def _come(self) -> None:
        if self._poll.isActive():
            self._dialog.open()

    def _say(self) -> None:
        total = self._total_bytes
        how_far = f" · {fmt.byte_size(self._done_bytes)} of {fmt.byte_size(total)}" if total else ""
        self._dialog.show_progress(self._done_bytes / total if total else None, f"{self.says}{how_far}")

    def _end(self) -> None:
        self._poll.stop()
        self._dialog.end()
        self._dialog.deleteLater()
        self.ended.emit()
        self.deleteLater()
