"""Reads Markdown one line at a time into blocks, at a cost per line that never grows; knows no deltas and no Qt.

CommonMark's block structure can be decided line by line (its appendix "A parsing strategy"): a line may continue open
containers, open new ones, and then belongs to a leaf. What has been read is never read again.
"""

from __future__ import annotations

import copy
from dataclasses import replace

from widgets.answer_containers import Container, ListItem, Quote, matched
from widgets.answer_inline import Run, inline_runs, is_closed, mended, take_references
from widgets.answer_leaves import Code, Leaf, Paragraph, Table, cells
from widgets.answer_markers import (
    CODE_INDENT,
    Cursor,
    delimiter_row,
    fence_closed,
    fence_opened,
    heading,
    is_rule,
    setext_level,
    split_row,
    take_item,
    take_task,
    undecided,
)
from widgets.answer_values import Block, Item, Kind

MAX_DEPTH = 16
"""Quotes and items inside each other; deeper markers are text."""


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

    def waits(self, line: str) -> bool:
        """Whether an unfinished line is better not shown yet, as it may become a mark: that would flicker."""
        if isinstance(self._leaf, Code) and self._leaf.fence:
            return bool(line.strip()) and not line.strip().strip(self._leaf.fence[0])
        return isinstance(self._leaf, Table) or undecided(line)

    def rest(self, *, settled: bool) -> list[Block]:
        """What is open, as it looks now: unless `settled`, without a table's head, and open marks taken as closed."""
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
        depth = matched(self._open, cursor, has_leaf=self._leaf is not None)
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

    def _close_to(self, depth: int) -> None:
        self._close_leaf()
        while len(self._open) > depth:
            last = self._open[-1]
            if isinstance(last, ListItem) and not last.shown:
                self._emit(Block(Kind.PARAGRAPH))
            self._open.pop()

    def _blank(self, depth: int) -> None:
        if depth < len(self._open):
            last = self._open[depth]
            if isinstance(last, ListItem):
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
                self._open.append(Quote())
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
        if isinstance(before, ListItem) and before.marker.kind == marker.kind:
            list_id, number = before.list_id, None if before.number is None else before.number + 1
        else:
            self._lists += 1
            list_id, number = self._lists, marker.number
        self._open.append(ListItem(list_id, marker, number, loose=self._after_blank))
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
        self._leaf = Code("", CODE_INDENT, "", loose=self._after_blank)
        self._add_code(self._leaf, cursor.rest())
        return True

    def _begin_paragraph(self, text: str, *, whole: bool) -> None:
        item = self._open[-1] if self._open else None
        may_be_task = isinstance(item, ListItem) and not item.shown
        start, done = take_task(text) if may_be_task else (text, None)
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
            self._leaf = Table(aligns, cells(leaf.head, len(aligns), self._inline), loose=leaf.loose, done=leaf.done)
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
        if leaf.fence and fence_closed(cursor, leaf.fence):
            self._close_leaf()
            self._after_blank = False
            return True
        text = leaf.takes(cursor)
        if text is None:
            self._after_blank = bool(leaf.blanks)
            return False
        if leaf.fence or not cursor.blank:
            self._add_code(leaf, text)
        else:
            self._leaf = leaf.with_blank(text)
        return True

    def _add_code(self, leaf: Code, text: str) -> None:
        for line in (*leaf.blanks, text):
            self._emit(leaf.line(line))
            leaf = replace(leaf, begun=True, blanks=())
        self._leaf = leaf
        self._after_blank = False

    def _table_row(self, leaf: Table, text: str) -> None:
        leaf = leaf.with_row(text, self._inline)
        if leaf.full:
            self._emit(leaf.block(), done=leaf.done)
            leaf = leaf.next_segment()
        self._leaf = leaf

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
        text, found = take_references(leaf.text)
        self._references = {**found, **self._references}
        return replace(leaf, text=text) if text else None

    def _inline(self, text: str) -> tuple[Run, ...]:
        return inline_runs(text, self._references)

    def _emit(self, block: Block, done: bool | None = None) -> None:
        """Place a block into its containers. The first block of an item carries the item's marker."""
        path = "".join("q" if isinstance(container, Quote) else "l" for container in self._open)
        for depth, container in enumerate(self._open):
            if not isinstance(container, ListItem) or container.shown:
                continue
            innermost = not any(isinstance(inner, ListItem) for inner in self._open[depth + 1 :])
            last = innermost and block.kind in (Kind.PARAGRAPH, Kind.HEADING)
            item = Item(container.list_id, container.number, container.marker.kind, done if last else None)
            if last:
                block = replace(block, item=item, loose=container.loose)
            else:
                self.out.append(Block(Kind.PARAGRAPH, path[: depth + 1], item=item, loose=container.loose))
            self._open[depth] = replace(container, shown=True)
        self.out.append(replace(block, path=path))
