"""What an answer view draws under its text: code boxes, quote bars, table hairlines; only where it is seen.

Qt could do it with frames and borders, at 4 to 9 ms per repaint of a visible table and 15 us per frame and change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPalette, QTextBlock, QTextDocument, QTextFormat

from widgets.answer_formats import (
    CELL_PAD_PX,
    CODE,
    CODE_HEAD_PX,
    CODE_PAD_PX,
    LIST_PX,
    MAX_COLUMNS,
    PATH,
    QUOTE_PX,
    TABLE_ROW,
    Formats,
    indent_px,
)
from widgets.answer_style import AnswerStyle

RADIUS_PX = 6
BAR_PX = 3


def dressed(palette: QPalette, style: AnswerStyle) -> QPalette:
    """The palette with the style's ground, text and selection."""
    result = QPalette(palette)
    role = QPalette.ColorRole
    result.setColor(role.Base, style.background)
    result.setColor(role.Text, style.text)
    result.setColor(role.Highlight, style.selection)
    result.setColor(role.HighlightedText, style.selection_text)
    return result


@dataclass(frozen=True, slots=True)
class _Line:
    """A visible text block: where it is, and the formats that matter here."""

    block: QTextBlock
    top: float
    bottom: float
    path: str
    code: int
    row: int


def block_at(document: QTextDocument, y: float, blocks: int) -> QTextBlock:
    """The last of the first `blocks` text blocks that begins at or above `y`, or the first one.

    Qt's hitTest walks over all blocks, 2 ms at 128k tokens. Blocks, and rows of a table, stand below each other, so
    halving finds it as well.
    """
    layout = document.documentLayout()
    low, high = 0, blocks
    while high - low > 1:
        middle = (low + high) // 2
        if layout.blockBoundingRect(document.findBlockByNumber(middle)).top() <= y:
            low = middle
        else:
            high = middle
    return document.findBlockByNumber(low)


def paint_ground(painter: QPainter, document: QTextDocument, formats: Formats, seen: QRectF, blocks: int) -> None:
    """Draw what stands under the text inside `seen`, in document coordinates; `blocks` text blocks are laid out."""
    lines = list(_lines(document, seen, blocks))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    right = document.textWidth() - formats.style.margin_px
    before: _Line | None = None
    box: QRectF | None = None
    for line in lines:
        if line.code == 1 or (line.code and box is None):
            _draw_box(painter, formats, box)
            box = _box_top(formats, line, right)
        elif not line.code:
            _draw_box(painter, formats, box)
            box = None
        if box is not None:
            box.setBottom(line.bottom + CODE_PAD_PX)
        if "q" in line.path:
            _draw_bars(painter, formats, before, line)
        if line.row >= 2:
            _draw_hairline(painter, formats, line, right)
        before = line
    if lines and box is not None and _goes_on(lines[-1]):
        box.setBottom(seen.bottom() + 2 * RADIUS_PX)
    _draw_box(painter, formats, box)
    _draw_labels(painter, formats, lines, right)


def _lines(document: QTextDocument, seen: QRectF, blocks: int) -> Iterator[_Line]:
    layout = document.documentLayout()
    block = block_at(document, seen.top(), blocks)
    # The block above may end in a box that reaches into view; in a table the row's first cell is left of the hit.
    for _ in range(MAX_COLUMNS + 1):
        if block.position() > 0:
            block = block.previous()
    while block.isValid():
        area = layout.blockBoundingRect(block)
        form = block.blockFormat()
        if area.top() - CODE_HEAD_PX - CODE_PAD_PX > seen.bottom() and not form.property(TABLE_ROW):
            return
        text = block.layout()
        last = text.lineAt(text.lineCount() - 1) if text.lineCount() else None
        bottom = area.top() + last.y() + last.height() if last is not None else area.bottom()
        yield _Line(
            block,
            area.top(),
            bottom,
            str(form.property(PATH) or ""),
            form.intProperty(CODE),
            form.intProperty(TABLE_ROW),
        )
        block = block.next()


def _box_top(formats: Formats, line: _Line, right: float) -> QRectF:
    left = formats.style.margin_px + indent_px(line.path)
    # A box that begins above what is seen gets its rounded corners out of sight.
    head = code_head_px(line.block) if line.code == 1 else 2 * RADIUS_PX + line.bottom - line.top
    return QRectF(left, line.top - head, right - left, line.bottom - line.top + head)


def code_head_px(block: QTextBlock) -> int:
    """The height of the strip above the first line of a code box."""
    return CODE_HEAD_PX if block.blockFormat().hasProperty(QTextFormat.Property.BlockCodeLanguage) else CODE_PAD_PX - 4


def _goes_on(line: _Line) -> bool:
    following = line.block.next()
    return bool(line.code) and following.isValid() and following.blockFormat().intProperty(CODE) == 2


def _draw_box(painter: QPainter, formats: Formats, box: QRectF | None) -> None:
    if box is None:
        return
    painter.setPen(QColor(formats.style.code_border))
    painter.setBrush(QColor(formats.style.code_background))
    painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), RADIUS_PX, RADIUS_PX)


def _draw_labels(painter: QPainter, formats: Formats, lines: list[_Line], right: float) -> None:
    painter.setPen(QColor(formats.style.muted))
    painter.setFont(formats.label)
    for line in lines:
        language = line.block.blockFormat().stringProperty(QTextFormat.Property.BlockCodeLanguage)
        if line.code == 1 and language:
            left = formats.style.margin_px + indent_px(line.path) + CODE_PAD_PX
            area = QRectF(left, line.top - CODE_HEAD_PX, right - left - CODE_PAD_PX, CODE_HEAD_PX)
            painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, language)


def _draw_bars(painter: QPainter, formats: Formats, before: _Line | None, line: _Line) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(formats.style.quote_bar))
    left = float(formats.style.margin_px)
    for index, container in enumerate(line.path):
        if container == "q":
            joined = before is not None and before.path[: index + 1] == line.path[: index + 1]
            top = before.bottom if joined and before is not None else line.top
            bar = QRectF(left, top, BAR_PX, line.bottom - top + 2)
            painter.drawRoundedRect(bar, BAR_PX / 2, BAR_PX / 2)
        left += QUOTE_PX if container == "q" else LIST_PX


def _draw_hairline(painter: QPainter, formats: Formats, line: _Line, right: float) -> None:
    left = formats.style.margin_px + indent_px(line.path)
    painter.setPen(QColor(formats.style.table_header_rule if line.row == 2 else formats.style.table_rule))
    y = round(line.top - CELL_PAD_PX) + 0.5
    painter.drawLine(QPointF(left, y), QPointF(right, y))
