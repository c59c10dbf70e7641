"""A check box with words that wrap. Must not know what is agreed to."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QCheckBox, QSizePolicy, QVBoxLayout

from widgets import parts, theme

BOX = 18


class CheckLine(QCheckBox):
    """Painted in the app's colours, since the platform's own box is hard to see on dark grounds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.setAccessibleName(text)
        self._words = parts.label(text, wrap=True)
        self._words.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._inside = QVBoxLayout(self)
        self._inside.setContentsMargins(BOX + theme.GAP, theme.HAIR, theme.HAIR, theme.HAIR)
        self._inside.addWidget(self._words)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def set_words(self, text: str) -> None:
        self.setAccessibleName(text)
        self._words.setText(text)

    def hitButton(self, pos: QPoint) -> bool:
        return self.rect().contains(pos)

    def sizeHint(self) -> QSize:
        return self._inside.totalSizeHint()

    def minimumSizeHint(self) -> QSize:
        return self._inside.totalMinimumSize()

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        return self._inside.totalHeightForWidth(width)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        on = self.isChecked()
        top = theme.HAIR + (self._words.fontMetrics().height() - BOX) / 2
        box = QRectF(2, top, BOX, BOX)
        painter.setPen(QPen(theme.color("accent" if on else "outline"), 1.5))
        painter.setBrush(theme.color("accent" if on else "surface"))
        painter.drawRoundedRect(box.adjusted(1, 1, -1, -1), 3, 3)
        if on:
            pen = QPen(theme.color("on_accent"), 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap)
            painter.setPen(pen)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            tick = (QPointF(5, 9.5), QPointF(8, 12.5), QPointF(13.5, 6))
            painter.drawPolyline(QPolygonF([box.topLeft() + point for point in tick]))
        if self.hasFocus():
            painter.setPen(QPen(theme.color("accent" if not on else "text"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(box.adjusted(-1, -1, 1, 1), 4, 4)
