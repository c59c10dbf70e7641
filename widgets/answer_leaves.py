"""The open end of an answer: a paragraph, code or table that more text may still join; immutable. Must not know Qt."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from widgets.answer_inline import Run
from widgets.answer_markers import CODE_INDENT, Cursor, split_row
from widgets.answer_values import Align, Block, Kind, Row, Width

SETTLE_CHARS = 600
"""An open paragraph longer than this settles its beginning, as inline parsing costs about 0.5 ms per 1000 chars."""
CUT_LIMITS = (600, 590, 575, 550, 500, 450, 400, 300, 200)
"""Where it settles, the space before each of these is tried in turn: the end may stand inside a mark."""
FORCE_CHARS = 4 * SETTLE_CHARS
"""From here it settles even where a mark is still open."""
BLOCK_CHARS = 12_000
"""Qt lays a block out again on each change, 0.12 ms per 1000 chars, so a longer paragraph goes on in a new block."""
SEGMENT_ROWS = 12
"""Qt lays a table out again on each change (0.2 ms per row), so a longer one goes on in a new table."""
MAX_WORD_CHARS, MAX_COLUMN_CHARS = 24, 40
"""What a column may ask for."""

Inline = Callable[[str], tuple[Run, ...]]

_SPACE = re.compile(r"(?<=[^\s\\]) (?=\S)")
_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=\S)")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Text that runs on. `settled` can no longer change; `head` is the last line if a table may begin with it."""

    text: str = ""
    settled: tuple[Run, ...] = ()
    settled_chars: int = 0
    head: str = ""
    loose: bool = False
    done: bool | None = None
    begun: bool = False
    """Blocks of it have been emitted."""

    def with_line(self, line: str, *, lazy: bool) -> Paragraph:
        """One more line; a `lazy` one cannot be a table's head."""
        head = line if "|" in line and not lazy else ""
        return replace(self, text=f"{self.text}\n{line}" if self.text or self.settled else line, head=head)

    def with_piece(self, piece: str) -> Paragraph:
        """The line goes on."""
        return replace(self, text=self.text + piece, head="")

    def before_head(self) -> Paragraph:
        """Without its last line."""
        return replace(self, text=self.text[: len(self.text) - len(self.head)].removesuffix("\n"), head="")

    def without_table_head(self) -> Paragraph:
        """Without a last line that looks like a table's head."""
        return self.before_head() if self.head.startswith("|") else self

    def shortened(self, inline: Inline, is_closed: Callable[[str], bool]) -> Paragraph:
        """Settle pieces of text while it is too long and a place to cut is found."""
        leaf = self
        while len(leaf.text) - len(leaf.head) > SETTLE_CHARS:
            cuts = [cut for limit in CUT_LIMITS if (cut := leaf._last(_SPACE, limit))]
            if leaf._nearly_full and (end := leaf._last(_SENTENCE_END, SETTLE_CHARS)):
                cuts.insert(0, end)  # where a new block disturbs least
            chosen = next((cut for cut in cuts if is_closed(leaf.text[:cut])), 0)
            if not chosen and len(leaf.text) - len(leaf.head) > FORCE_CHARS:
                chosen = cuts[0] if cuts else SETTLE_CHARS
            if not chosen:
                break
            runs = inline(leaf.text[:chosen])
            space = (Run(" "),) if leaf.text[chosen] == " " else ()
            leaf = replace(
                leaf,
                settled=leaf.settled + runs + space,
                settled_chars=leaf.settled_chars + chosen,
                text=leaf.text[chosen + len(space) :],
            )
        return leaf

    def _last(self, pattern: re.Pattern[str], limit: int) -> int:
        found = 0
        for match in pattern.finditer(self.text, 0, limit):
            found = match.start()
        return found

    @property
    def _nearly_full(self) -> bool:
        return self.settled_chars > BLOCK_CHARS - 3 * SETTLE_CHARS

    @property
    def overlong(self) -> bool:
        """Whether the settled part fills a block, or nearly so and ends with a sentence."""
        ends = "".join(run.text for run in self.settled[-2:]).rstrip().endswith((".", "!", "?"))
        return self.settled_chars > BLOCK_CHARS or (self._nearly_full and ends)

    def settled_part(self) -> Paragraph:
        """What can be emitted now."""
        return replace(self, text="", head="")

    def after_settled_part(self) -> Paragraph:
        """What stays open then."""
        return replace(self, settled=(), settled_chars=0, begun=True, loose=False, done=None)


@dataclass(frozen=True, slots=True)
class Code:
    """Fenced or (without `fence`) indented code; its lines are emitted as they come."""

    fence: str
    indent: int
    language: str
    loose: bool = False
    begun: bool = False
    blanks: tuple[str, ...] = ()
    """Empty lines that belong to indented code only if code follows."""

    def takes(self, cursor: Cursor) -> str | None:
        """What the line adds to the code, or None where it ends indented code. Not for a line that closes a fence."""
        if not self.fence and not cursor.blank and cursor.indent < CODE_INDENT:
            return None
        cursor.skip_columns(self.indent)
        return cursor.rest()

    def line(self, text: str) -> Block:
        """The next line as a block."""
        runs = (Run(text),) if text else ()
        return Block(
            Kind.CODE,
            runs=runs,
            loose=self.loose and not self.begun,
            continues=self.begun,
            fence=self.fence,
            language=self.language,
        )

    def piece(self, text: str) -> Block:
        """The next piece of an overlong line."""
        return replace(self, begun=True).line(text)

    def with_blank(self, text: str) -> Code:
        """One more empty line, kept back."""
        return replace(self, blanks=(*self.blanks, text))


@dataclass(frozen=True, slots=True)
class Table:
    """A table that may grow. A segment of it is emitted when SEGMENT_ROWS are together."""

    aligns: tuple[Align, ...]
    header: Row
    rows: tuple[Row, ...] = ()
    loose: bool = False
    done: bool | None = None
    widths: tuple[Width, ...] = ()
    """Column widths of the segments before, so that columns line up."""
    continues: bool = False

    def with_row(self, line: str, inline: Inline) -> Table:
        """One more row."""
        return replace(self, rows=(*self.rows, cells(line, len(self.aligns), inline)))

    @property
    def full(self) -> bool:
        """Whether the segment is complete."""
        return len(self.rows) >= SEGMENT_ROWS

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self.rows and self.continues

    def next_segment(self) -> Table:
        """The empty segment that follows."""
        return replace(self, header=(), rows=(), continues=True, loose=False, done=None, widths=self._widths())

    def block(self) -> Block:
        """The segment as a block."""
        return Block(
            Kind.TABLE,
            loose=self.loose,
            continues=self.continues,
            header=self.header,
            rows=self.rows,
            aligns=self.aligns,
            widths=self._widths(),
        )

    def _widths(self) -> tuple[Width, ...]:
        if self.widths:
            return self.widths
        rows = (self.header, *self.rows)
        texts = (["".join(run.text for run in row[column]) for row in rows] for column in range(len(self.aligns)))
        return tuple(_width(column) for column in texts)


def cells(line: str, columns: int, inline: Inline) -> Row:
    """The cells of a table row, as many as the table has columns."""
    texts = split_row(line)[:columns]
    return tuple(inline(text) for text in texts) + ((),) * (columns - len(texts))


def _width(texts: list[str]) -> Width:
    least = max((len(word) for text in texts for word in text.split()), default=1)
    return Width(min(MAX_WORD_CHARS, least), min(MAX_COLUMN_CHARS, max(1, *map(len, texts), least)))


Leaf = Paragraph | Code | Table
