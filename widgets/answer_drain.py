"""Paints a view's queue where its owner does not, and sees that two views do not paint in one turn. Knows no text.

A turn of the event loop that paints one view stays under 8 ms. Timers of two views that are due together would run in
one turn, so whoever ran last says when, and the others come back a little later.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QObject, Qt, QTimer

DRAIN_MS = 8
REST_MS = 3
"""At least so long after any view's work: the turn that it was done in is over then."""


class Drain(QObject):
    """Calls `flush` again and again until it returns False, one view of the application at a time."""

    _last_s = 0.0
    """When any view ended some work, by the performance counter."""
    _last_was_drain = False

    def __init__(self, parent: QObject, flush: Callable[[], bool]) -> None:
        super().__init__(parent)
        self._flush = flush
        self._timer = QTimer(self, singleShot=True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._work)
        self._working = False

    def start(self) -> None:
        self._timer.start(DRAIN_MS)

    def stop(self) -> None:
        self._timer.stop()

    @property
    def active(self) -> bool:
        return self._timer.isActive()

    def has_just_run(self) -> bool:
        """Whether a view was painted by its timer in this very turn: then this one's owner comes again anyway."""
        return Drain._last_was_drain and not self._working and _rested_ms() < REST_MS

    def ran(self, *, busy: bool) -> None:
        """Some work is done. Where more waits, and the view drains already, it goes on between its owner's calls."""
        Drain._last_s, Drain._last_was_drain = time.perf_counter(), self._working
        if not busy:
            self._timer.stop()
        elif self._timer.isActive() or self._working:
            self._timer.start(DRAIN_MS)

    def _work(self) -> None:
        if _rested_ms() < REST_MS:
            self._timer.start(REST_MS)
            return
        self._working = True
        try:
            self._flush()
        finally:
            self._working = False


def _rested_ms() -> float:
    return (time.perf_counter() - Drain._last_s) * 1e3
