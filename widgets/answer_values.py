"""The values an answer is painted from: blocks in reading order, flat. Must not know Markdown or Qt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from widgets.answer_inline import Run


class Kind(Enum):
    """What a block is."""

    PARAGRAPH = "paragraph"
    HEADING = "heading"
    CODE = "code"
    RULE = "rule"
    TABLE = "table"


class Align(Enum):
    """How a table column is aligned."""

    START = ""
    LEFT = "left"
    CENTER = "center"
    RIGHT = "right"


@dataclass(frozen=True, slots=True)
class Item:
    """The list item that a block opens. `done` is set for task items only."""

    list_id: int
    number: int | None
    """None for a bullet."""
    delimiter: str = ""
    """What follows the number, "." or ")"."""
    done: bool | None = None


@dataclass(frozen=True, slots=True)
class Width:
    """What a table column needs, in characters: its longest word must fit, its longest text should."""

    least: int
    wanted: int


Cell = tuple[Run, ...]
Row = tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """One block of an answer. A fence is one block per line, a long table one block per segment."""

    kind: Kind
    path: str = ""
    """The containers around it, outermost first: "q" for a quote, "l" for a list item."""
    runs: tuple[Run, ...] = ()
    level: int = 0
    """1 to 6 for a heading."""
    item: Item | None = None
    """Set when the block is the first of a list item."""
    loose: bool = False
    """An empty line stands before it in the source."""
    continues: bool = False
    """It goes on where the block before it was cut: next line of a fence, rest of a long paragraph or table."""
    fence: str = ""
    """The characters that opened the fence; empty for indented code."""
    language: str = ""
    header: Row = ()
    rows: tuple[Row, ...] = ()
    aligns: tuple[Align, ...] = ()
    widths: tuple[Width, ...] = ()
    """What the columns need."""

    @property
    def text(self) -> str:
        """Its text without marks; a table's is empty."""
        return "".join(run.text for run in self.runs)
