"""Writes blocks into a QTextDocument, changing only what differs from what is there. Must not know Markdown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from PySide6.QtGui import (
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextFrameFormat,
    QTextListFormat,
    QTextTable,
)

from widgets.answer_formats import LIST_ID, MAX_COLUMNS, WIDTHS, Formats
from widgets.answer_inline import Run
from widgets.answer_values import Block, Item, Kind, Row, Width

LIST_ITEMS = 16
"""Qt lays a whole list out again for each new item, so a longer one goes on in a new list object."""
MAX_TABLES = 150
"""Qt visits every table on each change (15 us each); segments beyond this are shown as their source."""
_BULLETS = (QTextListFormat.Style.ListDisc, QTextListFormat.Style.ListCircle, QTextListFormat.Style.ListSquare)

CodeSink = Callable[[Block, int], None]
"""Told of each final line of code, with its block number."""


@dataclass(frozen=True, slots=True)
class _Painted:
    """A block in the document that may still change, and what to restore when it goes."""

    block: Block
    cut: int
    """Where the document ended before it."""
    spare: bool
    before: Block | None
    number: int
    """The number of its (first) text block."""


class AnswerWriter:
    """Keeps the document equal to the blocks it was given."""

    def __init__(self, document: QTextDocument, formats: Formats, on_code: CodeSink) -> None:
        self._document = document
        self._formats = formats
        self._on_code = on_code
        self._open: list[_Painted] = []
        self._last: Block | None = None
        # The document's first block is there before anything is written, and Qt puts one behind every table.
        self._spare = True
        self._tables = 0

    def write(self, final: tuple[Block, ...], rest: tuple[Block, ...]) -> None:
        """`final` replaces what was open and stays; `rest` stands behind it until the next call."""
        settled = self._bounded(final, self._tables)
        kept, tables = len(settled), self._tables + _tables(settled)
        blocks = settled + self._bounded(rest, tables)
        cursor = QTextCursor(self._document)
        cursor.beginEditBlock()
        same = 0
        while same < min(len(self._open), len(blocks)) and self._open[same].block == blocks[same]:
            same += 1
        if same < min(len(self._open), len(blocks)):
            self._undo(cursor, same + 1)
            if self._extend(cursor, self._open[same], blocks[same]):
                same += 1
        self._undo(cursor, same)
        for block in blocks[same:]:
            self._append(cursor, block)
        for painted in self._open[:kept]:
            if painted.block.kind is Kind.CODE:
                self._on_code(painted.block, painted.number)
        del self._open[:kept]
        self._tables = tables
        cursor.endEditBlock()

    def fit_tables(self) -> None:
        """The width changed: share it out among the columns again."""
        for frame in self._document.rootFrame().childFrames():
            if isinstance(frame, QTextTable):
                form = frame.format()
                pairs = [pair.split(":") for pair in form.stringProperty(WIDTHS).split()]
                widths = [Width(int(least), int(wanted)) for least, wanted in pairs]
                self._formats.fit_columns(form, widths, self._room_px())
                frame.setFormat(form)

    def _room_px(self) -> float:
        return max(1.0, self._document.textWidth() - 2 * self._formats.style.margin_px)

    def _bounded(self, blocks: tuple[Block, ...], tables: int) -> list[Block]:
        """The blocks, but the source of a table where Qt would have too much of it; `tables` are there already."""
        result: list[Block] = []
        for block in blocks:
            if block.kind is not Kind.TABLE or (tables < MAX_TABLES and len(block.aligns) <= MAX_COLUMNS):
                tables += block.kind is Kind.TABLE
                result.append(block)
            else:
                result += _source_lines(block)
        return result

    def _undo(self, cursor: QTextCursor, keep: int) -> None:
        if keep >= len(self._open):
            return
        first = self._open[keep]
        cursor.setPosition(first.cut)
        form, plain = cursor.blockFormat(), cursor.blockCharFormat()
        cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()
        # Where the block before is empty, Qt gives it the format of what was removed.
        if first.before is None:
            form, plain = QTextBlockFormat(), QTextCharFormat()  # nothing is left
        elif first.spare:
            form = self._formats.spare()
        cursor.setBlockFormat(form)
        cursor.setBlockCharFormat(plain)
        self._spare, self._last = first.spare, first.before
        del self._open[keep:]

    def _append(self, cursor: QTextCursor, block: Block) -> None:
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cut, spare, before = cursor.position(), self._spare, self._last
        number = self._append_table(cursor, block) if block.kind is Kind.TABLE else self._append_text(cursor, block)
        self._open.append(_Painted(block, cut, spare, before, number))
        self._last = block

    def _append_text(self, cursor: QTextCursor, block: Block) -> int:
        form, plain = self._formats.block(self._last, block), self._formats.plain(block)
        if self._last is None:
            cursor.setBlockFormat(form)
            cursor.setBlockCharFormat(plain)
            self._make_room_above(block)
        else:
            # Not in the block behind a table: Qt ignores the top margin there.
            cursor.insertBlock(form, plain)
        self._spare = False
        if block.item is not None:
            self._join_list(cursor, block, block.item)
        for run in block.runs:
            cursor.insertText(run.text, self._formats.run(block, run))
        return cursor.blockNumber()

    def _make_room_above(self, block: Block) -> None:
        """Qt ignores the top margin of a document's first block, and code has a strip above it."""
        frame = self._document.rootFrame()
        form = QTextFrameFormat(frame.frameFormat())
        margin = self._formats.style.margin_px
        form.setTopMargin(margin + (self._formats.code_head_px(block) if block.kind is Kind.CODE else 0))
        frame.setFrameFormat(form)

    def _join_list(self, cursor: QTextCursor, block: Block, item: Item) -> None:
        near = cursor.block().previous()
        for _ in range(4 * LIST_ITEMS):
            if not near.isValid() or near.blockFormat().intProperty(LIST_ID) == item.list_id:
                break
            near = near.previous()
        group = near.textList() if near.isValid() else None
        if group is not None and near.blockFormat().intProperty(LIST_ID) == item.list_id and group.count() < LIST_ITEMS:
            group.add(cursor.block())
            return
        form = QTextListFormat()
        depth = block.path.count("l")
        form.setIndent(depth)
        if item.number is None:
            form.setStyle(_BULLETS[min(depth, 3) - 1])
        else:
            form.setStyle(QTextListFormat.Style.ListDecimal)
            form.setStart(item.number)
            form.setNumberSuffix(item.delimiter)
        cursor.createList(form)

    def _append_table(self, cursor: QTextCursor, block: Block) -> int:
        rows = (*((block.header,) if block.header else ()), *block.rows)
        if self._spare:
            cursor.setBlockFormat(self._formats.spare())
        form = self._formats.table(self._last, block)
        self._formats.fit_columns(form, block.widths, self._room_px())
        table = cursor.insertTable(len(rows), len(block.aligns), form)
        for index, row in enumerate(rows):
            self._fill_row(table, block, index, row)
        number = table.cellAt(0, 0).firstCursorPosition().blockNumber()
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.setBlockFormat(self._formats.spare())
        self._spare = True
        return number

    def _fill_row(self, table: QTextTable, block: Block, index: int, row: Row) -> None:
        head = bool(block.header) and index == 0
        place = 1 if head else 2 if block.header and index == 1 else 3 if index or block.continues else 0
        for column, (cell, align) in enumerate(zip(row, block.aligns, strict=True)):
            corner = table.cellAt(index, column)
            if head:
                corner.setFormat(self._formats.head_cell())
            cursor = corner.firstCursorPosition()
            cursor.setBlockFormat(self._formats.cell(block, align, place if column == 0 else 0))
            for run in cell:
                cursor.insertText(run.text, self._formats.run(block, run, head=head))

    def _extend(self, cursor: QTextCursor, old: _Painted, new: Block) -> bool:
        """Turn an open block into `new` in place, if only its end differs."""
        if not _same_frame(old.block, new):
            return False
        if new.kind is Kind.TABLE:
            return self._extend_table(cursor, old, new)
        number = old.number
        if new.text != old.block.text or new.runs != old.block.runs:
            cursor.movePosition(QTextCursor.MoveOperation.End)
            self._replace_end(cursor, old.block.runs, new)
        self._open[-1] = _Painted(new, old.cut, old.spare, old.before, number)
        self._last = new
        return True

    def _replace_end(self, cursor: QTextCursor, old: tuple[Run, ...], new: Block) -> None:
        same = 0
        while same < min(len(old), len(new.runs)) and old[same] == new.runs[same]:
            same += 1
        offset = 0
        if same < min(len(old), len(new.runs)) and new.runs[same].text.startswith(old[same].text):
            a, b = old[same], new.runs[same]
            offset = len(a.text) if (a.mark, a.href) == (b.mark, b.href) else 0
        gone = "".join(run.text for run in old[same:])[offset:]
        if gone:
            move = QTextCursor.MoveMode.KeepAnchor
            cursor.setPosition(cursor.position() - utf16_length(gone), move)
            cursor.removeSelectedText()
        for index, run in enumerate(new.runs[same:]):
            cursor.insertText(run.text[offset if index == 0 else 0 :], self._formats.run(new, run))

    def _extend_table(self, cursor: QTextCursor, old: _Painted, new: Block) -> bool:
        known = len(old.block.rows)
        if new.rows[:known] != old.block.rows or new.header != old.block.header:
            return False
        table = QTextCursor(self._document.findBlockByNumber(old.number)).currentTable()
        if new.widths != old.block.widths:
            form = table.format()
            self._formats.fit_columns(form, new.widths, self._room_px())
            table.setFormat(form)
        head = 1 if new.header else 0
        table.appendRows(len(new.rows) - known)
        for index in range(known, len(new.rows)):
            self._fill_row(table, new, index + head, new.rows[index])
        self._open[-1] = _Painted(new, old.cut, old.spare, old.before, old.number)
        self._last = new
        return True


def utf16_length(text: str) -> int:
    """The length of `text` as Qt counts it."""
    return len(text) + sum(char > "\uffff" for char in text)


def _tables(blocks: list[Block]) -> int:
    return sum(block.kind is Kind.TABLE for block in blocks)


def _source_lines(table: Block) -> list[Block]:
    rows = (*((table.header,) if table.header else ()), *table.rows)
    texts = [" | ".join("".join(run.text for run in cell) for cell in row) for row in rows]
    return [
        Block(
            Kind.CODE,
            table.path,
            (Run(text),) if text else (),
            loose=table.loose and not index,
            continues=bool(index),
            fence="|",
        )
        for index, text in enumerate(texts)
    ]


def _same_frame(old: Block, new: Block) -> bool:
    """Whether the two differ in their text or rows only."""
    return replace(old, runs=(), header=(), rows=(), widths=()) == replace(new, runs=(), header=(), rows=(), widths=())
