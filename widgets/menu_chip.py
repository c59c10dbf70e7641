"""A chip that opens a menu of choices and shows the chosen one. Must not know what the choices are for."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QMenu

from widgets import icons, parts


class MenuChip(parts.Chip):
    """`chosen` carries a value; setting options and choosing from code make no signal."""

    chosen = Signal(str)

    def __init__(self, name: str, tip: str) -> None:
        super().__init__()
        self._name, self._tip = name, tip
        self._options: tuple[tuple[str, str], ...] = ()
        self._value = ""
        self._menu = QMenu(self)
        self._menu.setAccessibleName(name)
        self._group = QActionGroup(self._menu)
        self.setMenu(self._menu)
        self.setLayoutDirection(Qt.LayoutDirection.RightToLeft)  # puts the caret behind the words
        icons.dress(self, "caret-down", "muted", 12)

    def set_options(self, options: Sequence[tuple[str, str]]) -> None:
        """`options` are (value, text); where the chosen value is gone, the first one is shown."""
        if tuple(options) == self._options:
            return
        self._options = tuple(options)
        for action in self._group.actions():
            self._group.removeAction(action)
        self._menu.clear()
        for value, text in self._options:
            action = QAction(text.replace("&", "&&"), self._menu)
            action.setCheckable(True)
            action.setData(value)
            action.triggered.connect(lambda _on, picked=value: self._picked(picked))
            self._group.addAction(action)
            self._menu.addAction(action)
        self.choose(self._value if self._value in dict(self._options) else self._options[0][0])

    def choose(self, value: str) -> None:
        self._value = value
        text = dict(self._options)[value]
        for action in self._group.actions():
            action.setChecked(action.data() == value)
        self.setText(text)
        self.setAccessibleName(f"{self._name}: {text}")
        self.setAccessibleDescription(self._tip)
        parts.set_tip(self, self._tip)

    def value(self) -> str:
        return self._value

    def _picked(self, value: str) -> None:
        if value != self._value:
            self.choose(value)
            self.chosen.emit(value)
