"""A plain text editor as tall as its text, between two limits. Must not know what is typed into it."""

from __future__ import annotations

from math import ceil

from PySide6.QtCore import SIGNAL, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent, QShowEvent, QWheelEvent
from PySide6.QtWidgets import QPlainTextEdit, QSizePolicy

from widgets import theme

ENTERED = SIGNAL("entered()")


class GrowingEdit(QPlainTextEdit):
    """Grows line by line from `min_lines` to `max_lines`, then scrolls. Tab moves on; it is never typed.

    `entered` comes at Enter; Shift+Enter begins a new line. While nobody listens, Enter is typed too.
    """

    entered = Signal()

    def __init__(self, name: str, *, min_lines: int, max_lines: int) -> None:
        super().__init__()
        self._min_lines, self._max_lines = min_lines, max_lines
        self.setAccessibleName(name)
        self.setTabChangesFocus(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.document().documentLayout().documentSizeChanged.connect(self._fit)

    def sizeHint(self) -> QSize:
        return QSize(240, self._height(self._min_lines))

    def minimumSizeHint(self) -> QSize:
        return QSize(80, self._height(self._min_lines))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._fit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        is_enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        new_line = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if is_enter and not new_line and self.receivers(ENTERED):
            self.entered.emit()
        else:
            super().keyPressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.verticalScrollBar().maximum() > 0:
            super().wheelEvent(event)
        else:
            event.ignore()

    def _fit(self) -> None:
        # QPlainTextDocumentLayout reports its height in lines, wrapped lines included.
        lines = ceil(self.document().documentLayout().documentSize().height())
        height = self._height(min(max(lines, self._min_lines), self._max_lines))
        if height != self.height():
            self.setFixedHeight(height)
        overflow = lines > self._max_lines
        wanted = Qt.ScrollBarPolicy.ScrollBarAsNeeded if overflow else Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        if wanted != self.verticalScrollBarPolicy():
            self.setVerticalScrollBarPolicy(wanted)

    def _height(self, lines: int) -> int:
        margins = 2 * self.document().documentMargin() + 2 * theme.HAIR + 4
        return ceil(lines * self.fontMetrics().lineSpacing() + margins)
