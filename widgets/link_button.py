"""A link to a page of the web, as a button without a frame. Must not know how pages are opened."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QPushButton, QSizePolicy

from widgets import parts, theme


class LinkButton(QPushButton):
    """One line that ends in an ellipsis when there is no room; `followed` carries the address."""

    followed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("kind", "link")
        self._url = ""
        self.clicked.connect(lambda: self.followed.emit(self._url))
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)

    def show_link(self, text: str, url: str) -> None:
        self._url = url
        self.setText(text)
        self.setAccessibleName(text)
        self.setAccessibleDescription(f"Opens {url}")
        parts.set_tip(self, f"{text}\nOpens {url}")

    def sizeHint(self) -> QSize:
        metrics = self.fontMetrics()
        return QSize(metrics.horizontalAdvance(self.text()) + 2 * theme.HAIR, metrics.height() + theme.HAIR)

    def minimumSizeHint(self) -> QSize:
        return QSize(48, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        font = self.font()
        font.setUnderline(self.underMouse())
        painter.setFont(font)
        painter.setPen(theme.color("accent"))
        rect = self.rect()
        shown = painter.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, rect.width())
        painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)
        if self.hasFocus():
            painter.drawRoundedRect(rect.adjusted(0, 0, -1, -1), 3, 3)
