"""Paints one comparison in the History list. Must not know the page nor where comparisons are stored."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from widgets import icons, theme
from widgets.values import EndStatus, HistoryLine

LINE = Qt.ItemDataRole.UserRole + 1
_MARK: dict[EndStatus, tuple[str, str]] = {
    "finished": ("check-circle", "here"),
    "incomplete": ("warning", "caution"),
    "failed": ("warning-circle", "danger"),
    "cancelled": ("stop-circle", "muted"),
    "interrupted": ("warning", "caution"),
}
_Index = QModelIndex | QPersistentModelIndex


class HistoryRowDelegate(QStyledItemDelegate):
    """The prompt and the time on one line; targets and how they ended below."""

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        lines = QFontMetrics(theme.font("strong")).height() + QFontMetrics(theme.font("caption")).height()
        return QSize(0, lines + 2 * theme.GAP)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        line, when = index.data(LINE)
        rect = QRect(option.rect)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._ground(painter, rect, option.state)
        inner = rect.adjusted(theme.GAP, theme.GAP - 2, -theme.GAP, -theme.GAP + 2)
        caption, strong = theme.font("caption"), theme.font("strong")
        when_width = QFontMetrics(caption).horizontalAdvance(when)
        first = QRect(inner.left(), inner.top(), inner.width(), QFontMetrics(strong).height())
        self._text(painter, first.adjusted(0, 0, -when_width - theme.ROOM, 0), index.data(), "strong", "text")
        painter.setFont(caption)
        painter.setPen(theme.color("muted"))
        painter.drawText(first, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, when)
        self._below(
            painter, QRect(inner.left(), first.bottom() + 3, inner.width(), inner.bottom() - first.bottom()), line
        )
        painter.restore()

    def _below(self, painter: QPainter, rect: QRect, line: HistoryLine) -> None:
        name, tone = _MARK[line.status]
        mark = QRect(rect.left(), rect.center().y() - 6, 14, 14)
        icons.icon(name, tone).paint(painter, mark)
        words = f"{line.summary}  ·  {'  ·  '.join(line.targets)}"
        self._text(painter, rect.adjusted(14 + theme.TIGHT, 0, 0, 0), words, "caption", "muted")

    @staticmethod
    def _ground(painter: QPainter, rect: QRect, state: QStyle.StateFlag) -> None:
        chosen = bool(state & QStyle.StateFlag.State_Selected)
        under = bool(state & QStyle.StateFlag.State_MouseOver)
        if chosen or under:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("accent_soft" if chosen else "sunken"))
            painter.drawRoundedRect(rect.adjusted(1, 1, -1, -1), 6, 6)
        painter.setPen(theme.color("line"))
        painter.drawLine(rect.left() + theme.GAP, rect.bottom(), rect.right() - theme.GAP, rect.bottom())
        if state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(theme.color("accent"))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(rect.adjusted(1, 1, -2, -2), 6, 6)

    @staticmethod
    def _text(painter: QPainter, rect: QRect, text: str, role: theme.Role, tone: str) -> None:
        font = theme.font(role)
        painter.setFont(font)
        painter.setPen(theme.color(tone))
        shown = QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, rect.width())
        painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)
