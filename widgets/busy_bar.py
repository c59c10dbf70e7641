"""A quiet line that moves while something of unknown length goes on. Must not know what that is."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt, QTimer
from PySide6.QtGui import QHideEvent, QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QProgressBar

from widgets import theme

HEIGHT = 4
EVERY_MS = 40
ROUND_MS = 1600
SHARE = 0.3  # of the line that is lit


class BusyBar(QProgressBar):
    """A QProgressBar for screen readers; it moves only while it is in sight."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setRange(0, 0)
        self.setTextVisible(False)
        self.setFixedHeight(HEIGHT)
        self.setAccessibleName(name)
        self._at_ms = ROUND_MS // 3
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self._move)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._timer.start()

    def hideEvent(self, event: QHideEvent) -> None:
        self._timer.stop()
        super().hideEvent(event)

    def _move(self) -> None:
        self._at_ms = (self._at_ms + EVERY_MS) % ROUND_MS
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color("line"))
        painter.drawRoundedRect(QRectF(0, 0, self.width(), HEIGHT), 2, 2)
        painter.setBrush(theme.color("accent"))
        left = (self._at_ms / ROUND_MS) * (1 + SHARE) - SHARE
        lit = QRectF(left * self.width(), 0, SHARE * self.width(), HEIGHT).intersected(QRectF(self.rect()))
        painter.drawRoundedRect(lit, 2, 2)
