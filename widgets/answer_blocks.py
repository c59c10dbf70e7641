"""Turns an answer that arrives in any pieces into final blocks and an open rest; knows no Qt.

The result depends on the text alone, never on how it was cut into deltas. A line that has been read is never read
again, so the cost of a delta does not grow with the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from widgets.answer_reader import LineReader
from widgets.answer_values import Block

MAX_LINE_CHARS = 1000
"""Longer lines are read in pieces, and are no table rows."""

_NEWLINE = re.compile(r"\r\n?")
# Qt keeps these for its own marks (frames, objects, block ends); lone surrogates cannot be painted at all.
_FORBIDDEN = re.compile("[\0\u2028\u2029\ufdd0-\ufdef\ufffc\ufffe\uffff\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Update:
    """What changed: `final` blocks follow those that were final before, `rest` stands after them until the next one."""

    final: tuple[Block, ...]
    rest: tuple[Block, ...]


class BlockMachine:
    """Takes an answer's text in any pieces and says what to show."""

    def __init__(self) -> None:
        self._reader = LineReader()
        self._line = ""
        self._in_line = False
        self._last_was_return = False

    def feed(self, text: str) -> Update:
        """More text came."""
        self._read(text)
        return self._update(settled=False)

    def finish(self) -> Update:
        """No more text will come: everything is final."""
        if self._line:
            self._end_line(self._line)
        self._line = ""
        self._reader.close()
        return self._update(settled=True)

    def _read(self, text: str) -> None:
        if not text:
            return
        if self._last_was_return and text[0] == "\n":
            text = text[1:]
        self._last_was_return = text.endswith("\r") if text else False
        *lines, partial = _FORBIDDEN.sub("\ufffd", _NEWLINE.sub("\n", text)).split("\n")
        for line in lines:
            self._end_line(self._line + line)
            self._line = ""
        self._line = self._pieces(self._line + partial)

    def _pieces(self, line: str) -> str:
        """Read an overlong line as far as it is clear; the cuts depend on the line alone."""
        while len(line) > MAX_LINE_CHARS:
            cut = line.rfind(" ", MAX_LINE_CHARS // 2, MAX_LINE_CHARS) + 1 or MAX_LINE_CHARS
            self._piece(line[:cut], whole=False)
            line = line[cut:]
            self._in_line = True
        return line

    def _piece(self, text: str, *, whole: bool) -> None:
        if self._in_line:
            self._reader.more_of_line(text)
        else:
            self._reader.line(text, whole=whole)

    def _end_line(self, line: str) -> None:
        self._piece(self._pieces(line), whole=True)
        self._in_line = False

    def _update(self, *, settled: bool) -> Update:
        final, self._reader.out = tuple(self._reader.out), []
        ahead = self._reader.fork()
        if self._line and (self._in_line or not self._reader.waits(self._line)):
            if self._in_line:
                ahead.more_of_line(self._line)
            else:
                ahead.line(self._line)
        return Update(final, (*ahead.out, *ahead.rest(settled=settled)))
