"""The quotes and list items that are open while Markdown is read; immutable. Must not know Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from widgets.answer_markers import CODE_INDENT, Cursor, Marker


@dataclass(frozen=True, slots=True)
class Quote:
    """An open block quote."""


@dataclass(frozen=True, slots=True)
class ListItem:
    """An open list item. `shown` once a block has carried its marker; `dead` when it only remembers its list."""

    list_id: int
    marker: Marker
    number: int | None
    loose: bool
    shown: bool = False
    dead: bool = False


Container = Quote | ListItem


def matched(containers: Sequence[Container], cursor: Cursor, *, has_leaf: bool) -> int:
    """How many open containers this line continues; the cursor then stands behind their marks."""
    for depth, container in enumerate(containers):
        if isinstance(container, Quote):
            if cursor.blank or cursor.indent >= CODE_INDENT or cursor.text()[0] != ">":
                return depth
            cursor.skip_to_text(1)
            cursor.skip_columns(1)
        elif container.dead:
            return depth
        elif cursor.blank:
            innermost = depth == len(containers) - 1
            if container.marker.empty and not container.shown and not has_leaf and innermost:
                return depth
        elif cursor.indent >= container.marker.content_column:
            cursor.skip_columns(container.marker.content_column)
        else:
            return depth
    return len(containers)
