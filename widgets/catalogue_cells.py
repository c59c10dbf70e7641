"""Paints the cells of the catalogue: plain text, an icon with each verdict, a star at the recommended row.

Must not know where rows come from; text from repos is painted as it is, never as rich text.
"""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QRect, Qt
from PySide6.QtGui import QFontMetrics, QIcon, QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from widgets import icons, theme
from widgets.model_table import ROW, Column
from widgets.model_values import ModelRow
from widgets.model_words import fits, verdict_mark

_Index = QModelIndex | QPersistentModelIndex
PAD = 6
_RIGHT = (Column.SIZE, Column.NEEDS, Column.SPEED)
_RANK_ICON = {1: "star", 2: "lightning", 3: "medal"}


class CatalogueCells(QStyledItemDelegate):
    """One delegate for all columns; icons are kept, since making one costs more than painting the row."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._icons: dict[tuple[str, str], QIcon] = {}

    def forget_icons(self) -> None:
        """After the palette changed or the icon fonts arrived."""
        self._icons.clear()

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        row: ModelRow = index.data(ROW)
        rect = QRect(option.rect)
        state = option.state
        painter.save()
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, theme.color("accent_soft"))
        painter.setPen(theme.color("line"))
        painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        inner = rect.adjusted(PAD, 0, -PAD, -1)
        mark = self._mark(row, index.column())
        if mark is not None:
            spot = QRect(inner.left(), inner.center().y() - 7, 14, 14)
            self._icon(*mark).paint(painter, spot)
            inner.setLeft(spot.right() + theme.HAIR + 2)
        font = theme.font("strong" if index.column() == Column.MODEL and row.rank == 1 else "body")
        painter.setFont(font)
        painter.setPen(theme.color(self._ink(row, index.column())))
        side = Qt.AlignmentFlag.AlignRight if index.column() in _RIGHT else Qt.AlignmentFlag.AlignLeft
        text = "–" if index.column() == Column.STATE and row.state in ("available", "not_runnable") else index.data()
        shown = QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, inner.width())
        painter.drawText(inner, side | Qt.AlignmentFlag.AlignVCenter, shown)
        painter.restore()

    @staticmethod
    def _mark(row: ModelRow, column: int) -> tuple[str, str] | None:
        if column == Column.VERDICT:
            return verdict_mark(row)
        if column == Column.MODEL and row.rank is not None:
            return _RANK_ICON[row.rank], "accent"
        return None

    @staticmethod
    def _ink(row: ModelRow, column: int) -> str:
        if not fits(row):
            return "muted"
        quiet = column == Column.STATE and row.state == "available"
        return "muted" if quiet else "text"

    def _icon(self, name: str, tone: str) -> QIcon:
        kept = self._icons.get((name, tone))
        if kept is None:
            kept = icons.icon(name, tone)
            if not kept.availableSizes():  # a blank has one: the icon fonts are not here yet
                self._icons[(name, tone)] = kept
        return kept
