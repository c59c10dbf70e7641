"""The rows and shelves that the Settings page is made of. Must not know any setting."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from widgets import parts, theme
from widgets.choice_card import clear


def section(title: str, rows: Sequence[QWidget]) -> QWidget:
    """A heading and a card with rows, parted by hairlines."""
    made = QWidget()
    layout = QVBoxLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(theme.TIGHT)
    layout.addWidget(parts.label(title, "heading"))
    shelf = parts.card()
    inside = QVBoxLayout(shelf)
    inside.setContentsMargins(theme.ROOM, theme.GAP, theme.ROOM, theme.GAP)
    inside.setSpacing(theme.GAP)
    for at, row in enumerate(rows):
        if at:
            inside.addWidget(parts.rule())
        inside.addWidget(row)
    layout.addWidget(shelf)
    return made


def row(name: str, says: str, control: QWidget, *, below: bool = False) -> QWidget:
    """One setting: its name, one sentence, and its control beside them or, where it is wide, `below`."""
    made = QWidget()
    title = parts.label(name, "strong")
    title.setBuddy(control)
    words = parts.column(title, parts.label(says, tone="muted", wrap=True), gap=theme.HAIR)
    if below:
        layout = QVBoxLayout(made)
        layout.setSpacing(theme.TIGHT)
        layout.addLayout(words)
        layout.addWidget(control)
    else:
        line = QHBoxLayout(made)
        line.setSpacing(theme.WIDE)
        line.addLayout(words, 1)
        line.addWidget(control, 0, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    found = made.layout()
    assert found is not None, "set above"
    found.setContentsMargins(0, 0, 0, 0)
    return made


class RemovableList(QWidget):
    """A few entries, each with a button that takes it off. `removed` carries the entry's key."""

    removed = Signal(str)

    def __init__(self, empty: str, tip: str) -> None:
        """`empty` stands there while there is none; `tip` says what taking one off does."""
        super().__init__()
        self._empty, self._tip = empty, tip
        self._entries: tuple[tuple[str, str], ...] | None = None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(theme.HAIR)
        self.show_entries(())

    def show_entries(self, entries: Sequence[tuple[str, str]]) -> None:
        """`entries` are (key, words); the keyboard stays in the list when one goes."""
        if tuple(entries) == self._entries:
            return
        had_focus = self.isAncestorOf(focused) if (focused := self.window().focusWidget()) is not None else False
        self._entries = tuple(entries)
        clear(self._column)
        if not entries:
            self._column.addWidget(parts.label(self._empty, tone="muted", wrap=True))
        buttons = [self._add(key, words) for key, words in entries]
        if had_focus and buttons:
            buttons[0].setFocus(Qt.FocusReason.OtherFocusReason)

    def _add(self, key: str, words: str) -> QWidget:
        take = parts.icon_button("x", f"Remove {words}", f"Remove {words}: {self._tip}")
        take.clicked.connect(lambda: self.removed.emit(key))
        line = QWidget()
        inside = parts.row(parts.Elided(words), take)
        inside.setStretch(0, 1)
        line.setLayout(inside)
        self._column.addWidget(line)
        return take
