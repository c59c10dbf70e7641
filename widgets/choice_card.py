"""A choice of one among a few, each with a title and a few words, as cards. Must not know what is chosen."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QLabel, QLayout, QRadioButton, QSizePolicy, QVBoxLayout, QWidget

from widgets import parts, theme

DOT = 16


class ChoiceCard(QRadioButton):
    """A radio button as wide as its column. Cards of one parent exclude each other; arrow keys move between them."""

    def __init__(self, title: str, *, spoken: str = "") -> None:
        """`spoken` is what a screen reader says where the title alone is not enough."""
        super().__init__()
        self.setAccessibleName(spoken or title)
        self._title = parts.label(title, "strong", wrap=True)
        self._head = parts.row(self._title)
        self._head.setStretch(0, 1)
        self._words = QVBoxLayout(self)
        self._words.setContentsMargins(theme.GAP + DOT + theme.GAP, theme.GAP, theme.GAP, theme.GAP)
        self._words.setSpacing(theme.HAIR)
        self._words.addLayout(self._head)
        for made in (self._title,):
            made.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.toggled.connect(self.update)

    def add_line(self, text: str, role: theme.Role = "body", tone: str = "") -> QLabel:
        made = parts.label(text, role, tone, wrap=True)
        made.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._words.addWidget(made)
        return made

    def add_mark(self, mark: QWidget) -> None:
        """A badge at the end of the title's line."""
        mark.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._head.addWidget(mark, 0, Qt.AlignmentFlag.AlignTop)

    def title(self) -> str:
        return self._title.text()

    def hitButton(self, pos: QPoint) -> bool:
        return self.rect().contains(pos)

    def sizeHint(self) -> QSize:
        return self._words.totalSizeHint()

    def minimumSizeHint(self) -> QSize:
        return self._words.totalMinimumSize()

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        return self._words.totalHeightForWidth(width)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        on = self.isChecked()
        edge = theme.color("accent" if on else "outline" if self.underMouse() else "line")
        painter.setPen(QPen(edge, 2 if self.hasFocus() and on else 1))
        painter.setBrush(theme.color("surface"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), theme.RADIUS, theme.RADIUS)
        middle = self._title.geometry().top() + min(self._title.height(), self._title.fontMetrics().height()) / 2
        dot = QRectF(theme.GAP, middle - DOT / 2, DOT, DOT)
        painter.setPen(QPen(theme.color("accent" if on else "outline"), 1.5))
        painter.drawEllipse(dot.adjusted(1, 1, -1, -1))
        if on:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("accent"))
            painter.drawEllipse(dot.adjusted(4.5, 4.5, -4.5, -4.5))
        if self.hasFocus() and not on:
            painter.setPen(QPen(theme.color("accent"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), theme.RADIUS, theme.RADIUS)


def clear(layout: QLayout) -> None:
    """Take every widget out of a column or grid, for showing others."""
    while layout.count():
        item = layout.takeAt(0)
        widget = item.widget() if item is not None else None
        if widget is not None:
            widget.hide()
            widget.deleteLater()
