"""A small curve of tokens per second over time. Must not know runs or events."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from widgets import format as fmt
from widgets import theme

HEIGHT = 24
TIP = "Tokens per second over the run, from the first token on. The line starts at 0."


class Sparkline(QWidget):
    """Draws the values it is given over its whole width; the scale starts at 0 so that shapes are not exaggerated."""

    def __init__(self) -> None:
        super().__init__()
        self._values: tuple[float, ...] = ()
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(TIP)
        self.setAccessibleName("Speed over time")

    def sizeHint(self) -> QSize:
        return QSize(120, HEIGHT)

    def values(self) -> tuple[float, ...]:
        return self._values

    def show_values(self, values: Sequence[float]) -> None:
        self._values = tuple(values)
        if len(self._values) > 1:
            low, high = fmt.number(min(self._values)), fmt.number(max(self._values))
            self.setAccessibleDescription(f"Between {low} and {high} tokens per second")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        bottom = self.height() - 1.5
        painter.setPen(QPen(theme.color("line"), 1))
        painter.drawLine(QPointF(0, bottom), QPointF(self.width(), bottom))
        if len(self._values) < 2:
            return
        line = self._points(bottom)
        ground = theme.color("accent")
        ground.setAlpha(38)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(ground)
        painter.drawPolygon(QPolygonF([QPointF(line[0].x(), bottom), *line, QPointF(line[-1].x(), bottom)]))
        pen = QPen(theme.color("accent"), 1.5)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)
        painter.drawPolyline(QPolygonF(line))

    def _points(self, bottom: float) -> list[QPointF]:
        top = max(max(self._values), 1e-9)
        step = (self.width() - 2) / (len(self._values) - 1)
        room = bottom - 3
        return [QPointF(1 + at * step, bottom - room * value / top) for at, value in enumerate(self._values)]
