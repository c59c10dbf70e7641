"""Paints the cells of the catalogue: plain text, an icon with each verdict, a star at the recommended row.

Must not know where rows come from; text from repos is painted as it is, never as rich text. It is called some hundred
times per move of the slider, so whatever can be kept between two paintings is kept.
"""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPen, QPixmap
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from widgets import icons, theme
from widgets.model_table import CELL, Cell, Column

_Index = QModelIndex | QPersistentModelIndex
PAD = 6
MARK = 14
MOST_KEPT = 4000
_RIGHT = (Column.SIZE, Column.NEEDS, Column.SPEED)
_LEFT_MIDDLE = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT_MIDDLE = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class CatalogueCells(QStyledItemDelegate):
    """One delegate for all columns."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._marks: dict[tuple[str, str, float], QPixmap] = {}
        self._pens: dict[str, QPen] = {}
        self._fonts: dict[bool, tuple[QFont, QFontMetrics]] = {}
        self._elided: dict[tuple[str, bool, int], str] = {}

    def forget(self) -> None:
        """After the palette or the font changed, or the icon fonts arrived."""
        for kept in (self._marks, self._pens, self._fonts, self._elided):
            kept.clear()

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        cell: Cell = index.data(CELL)
        rect: QRect = option.rect
        left, width = rect.left() + PAD, rect.width() - 2 * PAD
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, theme.color("accent_soft"))
        painter.setPen(self._pen("line"))
        painter.drawLine(rect.left(), rect.bottom(), rect.right(), rect.bottom())
        if cell.mark is not None:
            self._paint_mark(painter, cell.mark, left, rect.center().y() - MARK // 2)
            left, width = left + MARK + theme.HAIR + 1, width - MARK - theme.HAIR - 1
        font, metrics = self._font(cell.strong)
        painter.setFont(font)
        painter.setPen(self._pen(cell.ink))
        side = _RIGHT_MIDDLE if index.column() in _RIGHT else _LEFT_MIDDLE
        painter.drawText(QRect(left, rect.top(), width, rect.height() - 1), side, self._cut(cell, width, metrics))

    def _cut(self, cell: Cell, width: int, metrics: QFontMetrics) -> str:
        key = (cell.text, cell.strong, width)
        kept = self._elided.get(key)
        if kept is None:
            if len(self._elided) > MOST_KEPT:
                self._elided.clear()
            kept = self._elided[key] = metrics.elidedText(cell.text, Qt.TextElideMode.ElideRight, width)
        return kept

    def _pen(self, name: str) -> QPen:
        kept = self._pens.get(name)
        if kept is None:
            kept = self._pens[name] = QPen(theme.color(name))
        return kept

    def _font(self, strong: bool) -> tuple[QFont, QFontMetrics]:
        kept = self._fonts.get(strong)
        if kept is None:
            font = theme.font("strong" if strong else "body")
            kept = self._fonts[strong] = font, QFontMetrics(font)
        return kept

    def _paint_mark(self, painter: QPainter, mark: tuple[str, str], x: int, y: int) -> None:
        ratio = painter.device().devicePixelRatioF()
        kept = self._marks.get((*mark, ratio))
        if kept is None:
            made = icons.icon(*mark)
            kept = made.pixmap(QSize(MARK, MARK), ratio)
            if not made.availableSizes():  # a blank has one: the icon fonts are not here yet
                self._marks[(*mark, ratio)] = kept
        painter.drawPixmap(x, y, kept)
