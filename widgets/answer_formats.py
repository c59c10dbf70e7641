"""Text formats made from an AnswerStyle: fonts, line heights, gaps and indents. Must not touch a document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

from PySide6.QtCore import Qt
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QFontDatabase,
    QFontMetricsF,
    QGuiApplication,
    QTextBlockFormat,
    QTextCharFormat,
    QTextFormat,
    QTextLength,
    QTextTableCellFormat,
    QTextTableFormat,
)

from widgets.answer_inline import Mark, Run
from widgets.answer_style import GRID_PX, AnswerStyle
from widgets.answer_values import Align, Block, Kind, Width

QUOTE_PX = 16
LIST_PX = 24
CODE_PAD_PX = 12
CODE_HEAD_PX = 28
"""Height of the strip above a fence that names its language."""
CELL_PAD_PX = 8
MAX_COLUMNS = 16
"""Wider tables are shown as their source."""

PATH = QTextFormat.Property.UserProperty.value + 1
"""The block's containers, as Block.path."""
CODE = PATH + 1
"""1 for the first line of a code block, 2 for the others."""
LIST_ID = PATH + 2
TABLE_ROW = PATH + 3
"""In the first cell of a row: 1 for a head, 2 for the first row below one, 3 for the others."""

WIDTHS = PATH + 4
"""What a table's columns need, to share its width out again when that changes."""

_HEADING_SCALE = (1.5, 1.28, 1.12, 1.0, 1.0, 1.0)
_HEADING_GAP = (28, 24, 20, 16, 16, 16)
_ALIGNMENT = {Align.CENTER: Qt.AlignmentFlag.AlignHCenter, Align.RIGHT: Qt.AlignmentFlag.AlignRight}


def indent_px(path: str) -> int:
    """How far a block with these containers is moved to the right."""
    return sum(QUOTE_PX if container == "q" else LIST_PX for container in path)


def gap_px(before: Block | None, block: Block) -> int:
    """The empty space above `block`, without the padding of code boxes."""
    if before is None or block.continues:
        return 0
    if block.kind is Kind.HEADING:
        return _HEADING_GAP[block.level - 1] if before.kind is not Kind.HEADING else 12
    if before.kind is Kind.HEADING:
        return 8
    if Kind.RULE in (before.kind, block.kind):
        return 16
    if block.item and not block.loose and "l" in before.path:
        return 4
    if block.item:
        return 8
    return 12


class Formats:
    """The formats of one style, made once and shared."""

    def __init__(self, style: AnswerStyle) -> None:
        self.style = style
        fixed = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        self.body = _font(QGuiApplication.font(), style.body_family, style.body_size_pt)
        self.mono = _font(fixed, style.mono_family, style.mono_size_pt)
        self.label = _font(self.body, "", style.body_size_pt * 0.82)
        self.line_px = _on_grid(QFontMetricsF(self.body).height() * 1.36)
        self.code_line_px = _on_grid(QFontMetricsF(self.mono).height() * 1.2)
        self.char = cache(self._char)
        self.syntax = cache(self._syntax)

    def run(self, block: Block, run: Run, *, head: bool = False) -> QTextCharFormat:
        """The format of a run inside a block; `head` in a table's head."""
        return self.char(block.kind, block.level, "q" in block.path, head, run.mark, run.href)

    def plain(self, block: Block) -> QTextCharFormat:
        """The format of the block itself, which list markers take."""
        if block.item is not None:
            return self._marker(bullet=block.item.number is None)
        return self.char(block.kind, block.level, "q" in block.path, False, Mark.NONE, "")

    def block(self, before: Block | None, block: Block) -> QTextBlockFormat:
        """The block's own format."""
        result = QTextBlockFormat()
        lists = block.path.count("l")
        # Qt indents list items by themselves, and everything else by the block's indent.
        result.setIndent(0 if block.item else lists)
        quotes = block.path.count("q")
        left = quotes * QUOTE_PX
        top = gap_px(before, block)
        if before is not None and before.kind is Kind.CODE and not block.continues:
            top += CODE_PAD_PX
        if quotes:
            result.setProperty(QTextFormat.Property.BlockQuoteLevel, quotes)
        if block.path:
            result.setProperty(PATH, block.path)
        if block.kind is Kind.CODE:
            top += self._code_block(result, block)
            left += CODE_PAD_PX
        elif block.kind is Kind.HEADING:
            result.setHeadingLevel(block.level)
            height = QFontMetricsF(self.char(block.kind, block.level, False, False, Mark.NONE, "").font()).height()
            _line_height(result, max(self.line_px, _on_grid(height * 1.2)))
        elif block.kind is Kind.RULE:
            result.setProperty(
                QTextFormat.Property.BlockTrailingHorizontalRulerWidth,
                QTextLength(QTextLength.Type.PercentageLength, 100),
            )
            result.setBackground(QBrush(QColor(self.style.rule)))
            _line_height(result, GRID_PX)
        else:
            _line_height(result, self.line_px)
        if block.item is not None:
            result.setProperty(LIST_ID, block.item.list_id)
            if block.item.done is not None:
                marker = QTextBlockFormat.MarkerType
                result.setMarker(marker.Checked if block.item.done else marker.Unchecked)
        result.setLeftMargin(left)
        result.setTopMargin(top)
        return result

    def _code_block(self, result: QTextBlockFormat, block: Block) -> int:
        result.setRightMargin(CODE_PAD_PX)
        result.setProperty(CODE, 2 if block.continues else 1)
        if block.fence:
            result.setProperty(QTextFormat.Property.BlockCodeFence, block.fence[0])
        if block.language:
            result.setProperty(QTextFormat.Property.BlockCodeLanguage, block.language)
        _line_height(result, self.code_line_px)
        return 0 if block.continues else self.code_head_px(block)

    def code_head_px(self, block: Block) -> int:
        """The space inside a code box above its first line."""
        return CODE_HEAD_PX if block.language else CODE_PAD_PX - GRID_PX

    def spare(self) -> QTextBlockFormat:
        """For the block that Qt wants behind every table: as good as invisible."""
        result = QTextBlockFormat()
        result.setLineHeight(1, QTextBlockFormat.LineHeightTypes.FixedHeight.value)
        return result

    def table(self, before: Block | None, block: Block) -> QTextTableFormat:
        """The format of a table segment. Qt's own borders cost milliseconds per repaint; the view draws hairlines."""
        result = QTextTableFormat()
        result.setBorder(0)
        result.setCellPadding(CELL_PAD_PX)
        result.setCellSpacing(0)
        result.setHeaderRowCount(1 if block.header else 0)
        top = gap_px(before, block)
        if before is not None and before.kind is Kind.CODE:
            top += CODE_PAD_PX
        result.setTopMargin(top)
        result.setLeftMargin(indent_px(block.path))
        result.setWidth(QTextLength(QTextLength.Type.PercentageLength, 100))
        return result

    def fit_columns(self, table: QTextTableFormat, widths: Sequence[Width], room_px: float) -> None:
        """Share `room_px` among the columns: each its longest word first, then by what it would like."""
        room_px -= table.leftMargin()
        char_px = QFontMetricsF(self.body).averageCharWidth() * 1.12
        least = [width.least * char_px + 2 * CELL_PAD_PX + 4 for width in widths]
        wanted = [max(1.0, (width.wanted - width.least) * char_px) for width in widths]
        spare = max(0.0, room_px - sum(least))
        shares = [low + spare * want / sum(wanted) for low, want in zip(least, wanted, strict=True)]
        percent = QTextLength.Type.PercentageLength
        table.setColumnWidthConstraints([QTextLength(percent, 100 * share / sum(shares)) for share in shares])
        table.setProperty(WIDTHS, " ".join(f"{width.least}:{width.wanted}" for width in widths))

    def cell(self, block: Block, align: Align, row: int) -> QTextBlockFormat:
        """The format of a cell's text; `row` as TABLE_ROW, 0 for all but the first column."""
        result = QTextBlockFormat()
        result.setAlignment(_ALIGNMENT.get(align, Qt.AlignmentFlag.AlignLeft))
        _line_height(result, self.line_px - GRID_PX)
        if row:
            result.setProperty(TABLE_ROW, row)
        if block.path:
            result.setProperty(PATH, block.path)
        return result

    def head_cell(self) -> QTextTableCellFormat:
        """The format of a cell in a table's head."""
        result = QTextTableCellFormat()
        result.setBackground(QBrush(QColor(self.style.table_header)))
        return result

    def _char(self, kind: Kind, level: int, quoted: bool, head: bool, mark: Mark, href: str) -> QTextCharFormat:
        style = self.style
        result = QTextCharFormat()
        font = QFont(self.mono if kind is Kind.CODE or mark & Mark.CODE else self.body)
        if kind is Kind.HEADING:
            font.setPointSizeF(font.pointSizeF() * _HEADING_SCALE[level - 1])
        strong = kind is Kind.HEADING or head or mark & Mark.BOLD
        font.setWeight(QFont.Weight.DemiBold if strong else QFont.Weight.Normal)
        font.setItalic(bool(mark & Mark.ITALIC))
        font.setStrikeOut(bool(mark & Mark.STRIKE))
        result.setFont(font)
        colour = style.code_text if kind is Kind.CODE else style.quote_text if quoted else style.text
        if kind is Kind.HEADING and level == 6:
            colour = style.muted
        if mark & Mark.CODE:
            result.setBackground(QBrush(QColor(style.inline_code_background)))
            result.setFontFixedPitch(True)
        if href:
            result.setAnchor(True)
            result.setAnchorHref(href)
            result.setFontUnderline(True)
            colour = style.link
        result.setForeground(QBrush(QColor(colour)))
        return result

    def _marker(self, *, bullet: bool) -> QTextCharFormat:
        result = QTextCharFormat()
        font = QFont(self.body)
        if bullet:
            # Qt leaves the width of a space between a bullet and its text.
            font.setStretch(2 * QFont.Stretch.Unstretched)
        result.setFont(font)
        result.setForeground(QBrush(QColor(self.style.muted)))
        return result

    def _syntax(self, group: str) -> QTextCharFormat | None:
        colour = self.style.syntax.get(group)
        if colour is None:
            return None
        result = QTextCharFormat()
        result.setForeground(QBrush(QColor(colour)))
        if group == "comment":
            result.setFontItalic(True)
        return result


def _font(base: QFont, family: str, size_pt: float) -> QFont:
    font = QFont(base)
    if family:
        font.setFamilies([family, *font.families()])
    font.setPointSizeF(size_pt)
    return font


def _on_grid(height: float) -> int:
    return math.ceil(height / GRID_PX - 0.25) * GRID_PX


def _line_height(block: QTextBlockFormat, height: int) -> None:
    # A minimum, so that a taller fallback font (emoji, CJK) is never cut.
    block.setLineHeight(height, QTextBlockFormat.LineHeightTypes.MinimumHeight.value)
