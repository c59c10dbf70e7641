"""Reads Markdown one line at a time into blocks, at a cost per line that never grows; knows no deltas and no Qt.

CommonMark's block structure can be decided line by line (its appendix "A parsing strategy"): a line may continue open
containers, open new ones, and then belongs to a leaf. What has been read is never read again.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, replace

from markdown_it.common.utils import normalizeReference

from widgets.answer_inline import Run, inline_runs, is_closed, mended
from widgets.answer_leaves import Code, Leaf, Paragraph, Table
from widgets.answer_markers import (
    CODE_INDENT,
    Cursor,
    Marker,
    delimiter_row,
    fence_closed,
    fence_opened,
    heading,
    is_rule,
    setext_level,
    split_row,
    take_item,
)
from widgets.answer_values import Align, Block, Item, Kind

MAX_DEPTH = 16
"""Quotes and items inside each other; deeper markers are text."""

_REFERENCE = re.compile(
    r"\[((?:[^\[\]\\]|\\.){1,200})\]:[ \t]+<?(\S+?)>?(?:[ \t]+(?:\"[^\"]*\"|'[^']*'|\([^)]*\)))?[ \t]*$"
)
_TASK = re.compile(r"\[([ xX])\](?=\s)")


@dataclass(frozen=True, slots=True)
class _Quote:
    """An open block quote."""


@dataclass(frozen=True, slots=True)
class _ListItem:
    """An open list item. `shown` once a block has carried its marker; `dead` when it only remembers its list."""

    list_id: int
    marker: Marker
    number: int | None
    loose: bool
    shown: bool = False
    dead: bool = False


Container = _Quote | _ListItem


class LineReader:
    """Reads lines; `out` collects blocks that are final. A fork reads on without touching the original."""

    def __init__(self) -> None:
        self.out: list[Block] = []
        self._open: list[Container] = []
        self._leaf: Leaf | None = None
        self._lists = 0
        self._after_blank = False
        self._references: dict[str, object] = {}

    def fork(self) -> LineReader:
        """A copy for looking ahead. Containers and leaves are immutable values, so a shallow copy is enough."""
        twin = copy.copy(self)
        twin.out = []
        twin._open = list(self._open)
        return twin

    @property
    def in_code(self) -> str:
        """The marker of the open fence, if text would go into one."""
        return self._leaf.fence if isinstance(self._leaf, Code) else ""

    @property
    def in_table(self) -> bool:
        """Whether a table is open."""
        return isinstance(self._leaf, Table)

    def rest(self, *, settled: bool) -> list[Block]:
        """What is open, as it looks now. Unless `settled`, a line that may become a table's head
        waits, and marks that are still open are taken as closed."""
        twin = self.fork()
        if not settled and isinstance(twin._leaf, Paragraph):
            leaf = twin._leaf.without_table_head()
            twin._leaf = replace(leaf, text=mended(leaf.text))
        twin.close()
        return twin.out

    def close(self) -> None:
        """The text ends here."""
        self._close_to(0)

    def line(self, text: str, *, whole: bool = True) -> None:
        """Read one line without its end; `whole` is False for the first piece of an overlong one."""
        cursor = Cursor(text)
        depth = self._matched(cursor)
        inside = depth == len(self._open)
        if inside and isinstance(self._leaf, Code) and self._code_line(self._leaf, cursor):
            return
        opened = self._starts(cursor, depth, whole=whole)
        if opened is None:
            return
        depth += opened
        if cursor.blank:
            self._blank(depth)
            self._after_blank = not opened
            return
        if isinstance(self._leaf, Paragraph):
            headless = not inside or not whole or cursor.indent >= CODE_INDENT
            self._set_paragraph(self._leaf.with_line(cursor.text(), lazy=headless))
        elif isinstance(self._leaf, Table) and inside and whole and cursor.indent < CODE_INDENT:
            self._table_row(self._leaf, cursor.text())
        else:
            self._close_to(depth)
            self._begin_paragraph(cursor.text(), whole=whole)
        self._after_blank = False

    def more_of_line(self, text: str) -> None:
        """Read the next piece of an overlong line."""
        leaf = self._leaf
        if isinstance(leaf, Code):
            self._emit(leaf.piece(text))
        elif isinstance(leaf, Paragraph):
            self._set_paragraph(leaf.with_piece(text))
        elif text.strip(" \t"):
            self._close_to(len(self._open))
            self._begin_paragraph(text.lstrip(" \t"), whole=False)

    # Containers

    def _matched(self, cursor: Cursor) -> int:
        """How many open containers this line continues; the cursor then stands behind their marks."""
        for depth, container in enumerate(self._open):
            if isinstance(container, _Quote):
                if cursor.blank or cursor.indent >= CODE_INDENT or cursor.text()[0] != ">":
                    return depth
                cursor.skip_to_text(1)
                cursor.skip_columns(1)
            elif container.dead:
                return depth
            elif cursor.blank:
                if (
                    container.marker.empty
                    and not container.shown
                    and self._leaf is None
                    and depth == len(self._open) - 1
                ):
                    return depth
            elif cursor.indent >= container.marker.content_column:
                cursor.skip_columns(container.marker.content_column)
            else:
                return depth
        return len(self._open)

    def _close_to(self, depth: int) -> None:
        self._close_leaf()
        while len(self._open) > depth:
            last = self._open[-1]
            if isinstance(last, _ListItem) and not last.shown:
                self._emit(Block(Kind.PARAGRAPH))
            self._open.pop()

    def _blank(self, depth: int) -> None:
        if depth < len(self._open):
            last = self._open[depth]
            if isinstance(last, _ListItem):
                self._close_leaf()
                if not last.shown:
                    self._emit(Block(Kind.PARAGRAPH))
                self._open[depth] = replace(last, shown=True, dead=True)
                return
            self._close_to(depth)
        if isinstance(self._leaf, Paragraph | Table):
            self._close_leaf()

    def _starts(self, cursor: Cursor, depth: int, *, whole: bool) -> int | None:
        """Open what this line begins. How many containers that were, or None when nothing of the line is left."""
        opened = 0
        while not cursor.blank:
            paragraph = isinstance(self._leaf, Paragraph)
            live = paragraph and not opened and depth == len(self._open)
            if cursor.indent >= CODE_INDENT:
                return None if not paragraph and self._begin_indented(cursor, depth) else opened
            if live and whole and self._transform_paragraph(cursor):
                return None
            first = cursor.text()[0]
            if first == ">" and depth < MAX_DEPTH:
                self._close_to(depth)
                self._open.append(_Quote())
                cursor.skip_to_text(1)
                cursor.skip_columns(1)
            elif self._begin_leaf(cursor, depth, whole=whole):
                return None
            elif depth >= MAX_DEPTH or not self._begin_item(cursor, depth, in_paragraph=live):
                return opened
            depth += 1
            opened += 1
            self._after_blank = False
        return opened

    def _begin_item(self, cursor: Cursor, depth: int, *, in_paragraph: bool) -> bool:
        marker = take_item(cursor, in_paragraph=in_paragraph)
        if marker is None:
            return False
        before = self._open[depth] if depth < len(self._open) else None
        self._close_to(depth)
        if isinstance(before, _ListItem) and before.marker.kind == marker.kind:
            list_id, number = before.list_id, None if before.number is None else before.number + 1
        else:
            self._lists += 1
            list_id, number = self._lists, marker.number
        self._open.append(_ListItem(list_id, marker, number, loose=self._after_blank))
        return True

    # Leaves

    def _begin_leaf(self, cursor: Cursor, depth: int, *, whole: bool) -> bool:
        title = heading(cursor)
        fence = fence_opened(cursor) if title is None else None
        if title is None and fence is None and not (whole and is_rule(cursor)):
            return False
        self._close_to(depth)
        if title is not None:
            self._emit(Block(Kind.HEADING, runs=self._inline(title[1]), level=title[0]))
        elif fence is not None:
            self._leaf = Code(fence.marker, fence.indent, fence.language, loose=self._after_blank)
        else:
            self._emit(Block(Kind.RULE))
        self._after_blank = False
        return True

    def _begin_indented(self, cursor: Cursor, depth: int) -> bool:
        self._close_to(depth)
        cursor.skip_columns(CODE_INDENT)
        self._leaf = Code("", 0, "", loose=self._after_blank)
        self._add_code(self._leaf, cursor.rest())
        return True

    def _begin_paragraph(self, text: str, *, whole: bool) -> None:
        item = self._open[-1] if self._open else None
        task = _TASK.match(text) if isinstance(item, _ListItem) and not item.shown else None
        done = None if task is None else task[1] != " "
        start = text[task.end() :].lstrip(" \t") if task else text
        self._set_paragraph(Paragraph(loose=self._after_blank, done=done).with_line(start, lazy=not whole))

    def _transform_paragraph(self, cursor: Cursor) -> bool:
        """A line under a paragraph can make it a heading, or its last line the head of a table."""
        leaf = self._leaf
        assert isinstance(leaf, Paragraph)
        aligns = delimiter_row(cursor.text())
        if aligns and leaf.head and len(split_row(leaf.head)) == len(aligns):
            before = leaf.before_head()
            self._leaf = before
            self._close_leaf()
            self._leaf = Table(aligns, self._cells(leaf.head, aligns), loose=leaf.loose, done=leaf.done)
            self._after_blank = False
            return True
        level = setext_level(cursor)
        if not level:
            return False
        self._leaf = None
        if self._strip_references(leaf):
            self._emit(replace(self._paragraph(leaf), kind=Kind.HEADING, level=level), done=leaf.done)
            self._after_blank = False
            return True
        return False

    def _code_line(self, leaf: Code, cursor: Cursor) -> bool:
        """Whether the line belongs to the open code."""
        if leaf.fence:
            if fence_closed(cursor, leaf.fence):
                self._close_leaf()
                self._after_blank = False
                return True
            cursor.skip_columns(leaf.indent)
            self._add_code(leaf, cursor.rest())
            return True
        if cursor.blank:
            cursor.skip_columns(CODE_INDENT)
            self._leaf = leaf.with_blank(cursor.rest())
            return True
        if cursor.indent >= CODE_INDENT:
            cursor.skip_columns(CODE_INDENT)
            self._add_code(leaf, cursor.rest())
            return True
        self._after_blank = bool(leaf.blanks)
        return False

    def _add_code(self, leaf: Code, text: str) -> None:
        for line in (*leaf.blanks, text):
            self._emit(leaf.line(line))
            leaf = replace(leaf, begun=True, blanks=())
        self._leaf = leaf
        self._after_blank = False

    def _table_row(self, leaf: Table, text: str) -> None:
        leaf = leaf.with_row(self._cells(text, leaf.aligns))
        if leaf.full:
            self._emit(leaf.block(), done=leaf.done)
            leaf = leaf.next_segment()
        self._leaf = leaf

    def _cells(self, text: str, aligns: tuple[Align, ...]) -> tuple[tuple[Run, ...], ...]:
        cells = split_row(text)[: len(aligns)]
        cells += [""] * (len(aligns) - len(cells))
        return tuple(self._inline(cell) for cell in cells)

    def _set_paragraph(self, leaf: Paragraph) -> None:
        """Settle what is long enough to be settled, so that the open rest stays short."""
        leaf = leaf.shortened(self._inline, is_closed)
        if leaf.overlong:
            self._emit(self._paragraph(leaf.settled_part()), done=leaf.done)
            leaf = leaf.after_settled_part()
        self._leaf = leaf

    def _paragraph(self, leaf: Paragraph) -> Block:
        runs = leaf.settled + self._inline(leaf.text)
        return Block(Kind.PARAGRAPH, runs=runs, loose=leaf.loose, continues=leaf.begun)

    def _close_leaf(self) -> None:
        leaf, self._leaf = self._leaf, None
        if isinstance(leaf, Paragraph):
            stripped = self._strip_references(leaf)
            if stripped:
                self._emit(self._paragraph(stripped), done=leaf.done)
        elif isinstance(leaf, Table) and not leaf.is_empty:
            self._emit(leaf.block(), done=leaf.done)
        elif isinstance(leaf, Code) and not leaf.begun:
            self._emit(leaf.line(""))

    def _strip_references(self, leaf: Paragraph) -> Paragraph | None:
        """Take link definitions off the start; None when nothing else is there."""
        if leaf.begun or leaf.settled or not leaf.text.startswith("["):
            return leaf if leaf.text.strip() or leaf.settled else None
        lines = leaf.text.split("\n")
        while lines and (match := _REFERENCE.match(lines[0].rstrip())):
            label = normalizeReference(match[1])
            self._references = {label: {"href": match[2], "title": ""}, **self._references}
            lines.pop(0)
        return replace(leaf, text="\n".join(lines)) if lines else None

    def _inline(self, text: str) -> tuple[Run, ...]:
        return inline_runs(text, self._references)

    def _emit(self, block: Block, done: bool | None = None) -> None:
        """Place a block into its containers. The first block of an item carries the item's marker."""
        path = "".join("q" if isinstance(container, _Quote) else "l" for container in self._open)
        for depth, container in enumerate(self._open):
            if not isinstance(container, _ListItem) or container.shown:
                continue
            innermost = not any(isinstance(inner, _ListItem) for inner in self._open[depth + 1 :])
            last = innermost and block.kind in (Kind.PARAGRAPH, Kind.HEADING)
            item = Item(container.list_id, container.number, container.marker.kind, done if last else None)
            if last:
                block = replace(block, item=item, loose=container.loose)
            else:
                self.out.append(Block(Kind.PARAGRAPH, path[: depth + 1], item=item, loose=container.loose))
            self._open[depth] = replace(container, shown=True)
        self.out.append(replace(block, path=path))
