"""What one line of Markdown can begin: quotes, items, headings, fences, rules, table rows. Must not keep state."""

from __future__ import annotations

import re
from dataclasses import dataclass

from widgets.answer_values import Align

TAB = 4
CODE_INDENT = 4

_FENCE = re.compile(r"(`{3,})([^`]*)$|(~{3,})(.*)$")
_HEADING = re.compile(r"(#{1,6})(?:[ \t]+|$)")
_HEADING_END = re.compile(r"(?:^|[ \t]+)#+[ \t]*$")
_RULE = re.compile(r"(?:(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|(?:-[ \t]*){3,})$")
_SETEXT = re.compile(r"(=+|-+)[ \t]*$")
_BULLET = re.compile(r"([*+-])(?=[ \t]|$)")
_NUMBER = re.compile(r"(\d{1,9})([.)])(?=[ \t]|$)")
_DELIMITER_ROW = re.compile(r"(?:[|:][-|:\s]|-[-|:])[-|:\s]*$")
_DELIMITER_CELL = re.compile(r":?-+:?$")
_TASK = re.compile(r"\[([ xX])\](?=\s)[ \t]*")
_UNDECIDED = re.compile(r"(?:\s*>)*\s*(?:(?:\d{1,9}[.)]|[-+*])\s+)*(?:[-+*=_#`~:\s]*|\d{1,9}[.)]\s*|\[[ xX]?\]?|\|.*)$")


class Cursor:
    """A place in one line that knows its column, as tabs reach to the next multiple of four."""

    __slots__ = ("at", "blank", "column", "indent", "line", "next", "tab_left")

    def __init__(self, line: str) -> None:
        self.line = line
        self.at = 0
        self.column = 0
        self.tab_left = 0
        self.look()

    def look(self) -> None:
        """Find the next character that is no blank."""
        at, column = self.at, self.column
        while at < len(self.line) and self.line[at] in " \t":
            column += 1 if self.line[at] == " " else TAB - column % TAB
            at += 1
        self.next = at
        self.indent = column - self.column
        self.blank = at == len(self.line)

    def skip_columns(self, count: int) -> None:
        """Step over up to `count` columns of blanks; half a tab may stay."""
        while count > 0 and self.at < len(self.line) and self.line[self.at] in " \t":
            width = 1 if self.line[self.at] == " " else TAB - self.column % TAB
            step = min(width, count)
            self.column += step
            count -= step
            if step == width:
                self.at += 1
        self.look()

    def skip_to_text(self, chars: int = 0) -> None:
        """Step over all blanks and then `chars` characters."""
        self.column += self.indent + chars
        self.at = self.next + chars
        self.look()

    def rest(self) -> str:
        """The text from here, with the rest of a half used tab as spaces."""
        if self.at < len(self.line) and self.line[self.at] == "\t" and self.column % TAB:
            return " " * (TAB - self.column % TAB) + self.line[self.at + 1 :]
        return self.line[self.at :]

    def text(self) -> str:
        """The text from the next character that is no blank."""
        return self.line[self.next :]


@dataclass(frozen=True, slots=True)
class Fence:
    """A line that opens fenced code."""

    marker: str
    indent: int
    language: str


@dataclass(frozen=True, slots=True)
class Marker:
    """A line that opens a list item; `content_column` counts from where the item's parent begins."""

    kind: str
    number: int | None
    content_column: int
    empty: bool


def fence_opened(cursor: Cursor) -> Fence | None:
    """The fence that this line opens."""
    match = _FENCE.match(cursor.text())
    if not match:
        return None
    info = (match[2] if match[1] else match[4]).split()
    language = info[0].strip("{}.").lower() if info else ""
    return Fence(match[1] or match[3], cursor.indent, language[:40])


def fence_closed(cursor: Cursor, marker: str) -> bool:
    """Whether this line closes a fence that `marker` opened."""
    text = cursor.text().rstrip(" \t")
    return cursor.indent < CODE_INDENT and len(text) >= len(marker) and not text.strip(marker[0])


def heading(cursor: Cursor) -> tuple[int, str] | None:
    """Level and text of the heading that this line is."""
    match = _HEADING.match(cursor.text())
    if not match:
        return None
    return len(match[1]), _HEADING_END.sub("", cursor.text()[match.end() :])


def is_rule(cursor: Cursor) -> bool:
    """Whether this line is a thematic break."""
    return bool(_RULE.match(cursor.text()))


def setext_level(cursor: Cursor) -> int:
    """1 or 2 when this line underlines the paragraph above it, else 0."""
    match = _SETEXT.match(cursor.text())
    return 0 if not match else 1 if match[1][0] == "=" else 2


def take_item(cursor: Cursor, *, in_paragraph: bool) -> Marker | None:
    """The item that this line opens; the cursor then stands at its content."""
    text = cursor.text()
    match = _BULLET.match(text) or _NUMBER.match(text)
    if not match:
        return None
    number = int(match[1]) if match[1].isdigit() else None
    empty = not text[match.end() :].strip(" \t")
    if in_paragraph and (empty or number not in (None, 1)):
        return None
    indent, width = cursor.indent, match.end()
    cursor.skip_to_text(width)
    if empty or cursor.indent > CODE_INDENT:
        gap = 1
        cursor.skip_columns(1)
    else:
        gap = cursor.indent
        cursor.skip_columns(gap)
    return Marker(match[match.lastindex or 1], number, indent + width + gap, empty)


def take_task(text: str) -> tuple[str, bool | None]:
    """The text of an item without its check box, and whether that is ticked; None where there is no box."""
    match = _TASK.match(text)
    return (text[match.end() :], match[1] != " ") if match else (text, None)


def delimiter_row(line: str) -> tuple[Align, ...] | None:
    """The columns' alignments when `line` is the row under a table's header."""
    if not _DELIMITER_ROW.match(line):
        return None
    cells = [cell.strip() for cell in line.split("|")]
    cells = cells[1 if not cells[0] else 0 : len(cells) - 1 if len(cells) > 1 and not cells[-1] else len(cells)]
    if not cells or not all(_DELIMITER_CELL.match(cell) for cell in cells):
        return None
    names = {(True, True): Align.CENTER, (True, False): Align.LEFT, (False, True): Align.RIGHT}
    return tuple(names.get((cell[0] == ":", cell[-1] == ":"), Align.START) for cell in cells)


def split_row(line: str) -> list[str]:
    """The cells of a table row; `\\|` is a bar inside a cell."""
    cells = [cell.replace("\0", "|") for cell in line.strip().replace("\\|", "\0").split("|")]
    if cells and not cells[0]:
        cells = cells[1:]
    if cells and not cells[-1]:
        cells = cells[:-1]
    return [cell.strip() for cell in cells]


def undecided(line: str) -> bool:
    """Whether an unfinished line could still become something other than what it looks like now."""
    return len(line) < 80 and bool(_UNDECIDED.match(line))
