"""A hairline that turns into a progress bar while something has a length. Must not know what is in progress."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QProgressBar, QSizePolicy

from widgets import theme

HEIGHT = 4
STEPS = 1000


class ProgressRule(QProgressBar):
    """A QProgressBar for screen readers, a quiet line for the eye."""

    def __init__(self) -> None:
        super().__init__()
        self._shown = False
        self.setRange(0, STEPS)
        self.setTextVisible(False)
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Progress")

    def show_progress(self, fraction: float | None) -> None:
        """0 to 1, or None for the plain line."""
        self._shown = fraction is not None
        self.setValue(round((fraction or 0.0) * STEPS))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color("line"))
        painter.drawRect(QRectF(0, HEIGHT - 1, self.width(), 1))
        if self._shown:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setBrush(theme.color("line"))
            painter.drawRoundedRect(QRectF(0, 0, self.width(), HEIGHT), 2, 2)
            painter.setBrush(theme.color("accent"))
            painter.drawRoundedRect(QRectF(0, 0, self.width() * self.value() / STEPS, HEIGHT), 2, 2)
