"""Lays syntax colours over the code lines of a document, a little at a time; knows no Markdown.

Colours lie over the text as QSyntaxHighlighter's do: the text itself, its copies and its structure stay as they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from PySide6.QtGui import QTextCursor, QTextDocument, QTextLayout

from widgets.answer_formats import Formats
from widgets.answer_render import utf16_length
from widgets.answer_values import Block
from widgets.code_highlight import LexerShelf, LineLexer, Span

LINES_AT_ONCE = 24
LINES_BEHIND = 96


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    language: str
    text: str
    first: bool


class CodeColours:
    """Colours lines in the order in which they were added."""

    def __init__(self, document: QTextDocument, formats: Formats, shelf: LexerShelf) -> None:
        self._document = document
        self._formats = formats
        self._shelf = shelf
        self._waiting: deque[_Line] = deque()
        self._lexer: LineLexer | None = None
        self._numbers: list[int] = []
        """The block number of each line of the code being read; its index is the line's index there."""
        self._shown: dict[int, list[Span]] = {}

    @property
    def busy(self) -> bool:
        """Whether lines wait for their colours."""
        return bool(self._waiting)

    def add(self, block: Block, number: int) -> None:
        """A final line of code, in text block `number`."""
        if self._shelf.known(block.language):
            self._shelf.get(block.language)
            self._waiting.append(_Line(number, block.language, block.text, not block.continues))

    def close(self) -> None:
        """No more lines come; `work` on until it is no longer busy."""
        self._waiting.append(_Line(-1, "", "", True))

    @property
    def behind(self) -> bool:
        """Whether more text should wait: a late colour makes Qt move everything below it."""
        return len(self._waiting) > LINES_BEHIND

    def work(self) -> bool:
        """Colour a few lines of what waits. False when there is nothing to do, or the lexer is still being loaded."""
        if not self._waiting or (self._waiting[0].first and not self._begin(self._waiting[0])):
            return False
        lines = [self._waiting.popleft()]
        while self._waiting and not self._waiting[0].first and len(lines) < LINES_AT_ONCE:
            lines.append(self._waiting.popleft())
        if self._lexer is not None:
            self._numbers += [line.number for line in lines]
            self._colour(self._lexer.feed([line.text for line in lines]))
        return True

    def _begin(self, line: _Line) -> bool:
        """End the code before and get ready for this one. False while its lexer is not there."""
        if self._lexer is not None:
            self._colour(self._lexer.finish())
            self._lexer = None
        if self._shelf.known(line.language):
            lexer = self._shelf.get(line.language)
            if lexer is None:
                return False
            self._lexer = LineLexer(lexer)
        self._numbers.clear()
        self._shown.clear()
        return True

    def _colour(self, lines: Iterable[tuple[int, list[Span]]]) -> None:
        found = dict(lines)
        changed = [index for index, spans in found.items() if self._shown.get(index, []) != spans]
        if changed:
            cursor = QTextCursor(self._document)
            cursor.beginEditBlock()
            for index in changed:
                self._colour_line(self._numbers[index], found[index])
            cursor.endEditBlock()
        self._shown = found

    def _colour_line(self, number: int, spans: list[Span]) -> None:
        block = self._document.findBlockByNumber(number)
        text = block.text()
        wide = any(char > "\uffff" for char in text)
        ranges = []
        for start, length, group in spans:
            form = self._formats.syntax(group)
            if form is None:
                continue
            ranged = QTextLayout.FormatRange()
            ranged.start = utf16_length(text[:start]) if wide else start
            ranged.length = utf16_length(text[start : start + length]) if wide else length
            ranged.format = form
            ranges.append(ranged)
        block.layout().setFormats(ranges)
        self._document.markContentsDirty(block.position(), block.length())
