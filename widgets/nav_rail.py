"""The left rail: one button per page. Must not know what a page shows."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QSizePolicy, QToolButton, QVBoxLayout

from widgets import icons, parts, theme

WIDTH = 88


class NavRail(QFrame):
    """`chosen` carries the key of the page that was picked. Up and Down move between pages."""

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("card", "rail")
        self.setFixedWidth(WIDTH)
        self.setAccessibleName("Pages")
        self._buttons: dict[str, QToolButton] = {}
        self._icons: dict[str, str] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.TIGHT, theme.GAP, theme.TIGHT, theme.GAP)
        self._top, self._bottom = QVBoxLayout(), QVBoxLayout()
        for part in (self._top, self._bottom):
            part.setSpacing(theme.HAIR)
        layout.addLayout(self._top)
        layout.addStretch(1)
        layout.addLayout(self._bottom)

    def add(self, key: str, title: str, icon: str, *, at_bottom: bool = False) -> None:
        """Add a page's button; its shortcut is Ctrl and its place."""
        made = QToolButton()
        made.setProperty("kind", "rail")
        made.setText(title)
        made.setCheckable(True)
        made.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        made.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        made.setFont(theme.font("caption"))
        made.setAccessibleName(f"{title} page")
        parts.set_tip(made, f"{title} (Ctrl+{len(self._buttons) + 1})")
        made.clicked.connect(lambda: self._choose(key))
        self._buttons[key] = made
        self._icons[key] = icon
        icons.dress(made, icon, "muted", 20)
        (self._bottom if at_bottom else self._top).addWidget(made)

    def keys(self) -> tuple[str, ...]:
        return tuple(self._buttons)

    def show_current(self, key: str) -> None:
        """Mark a page as the open one, without a signal."""
        for name, made in self._buttons.items():
            made.setChecked(name == key)
            icons.dress(made, self._icons[name], "accent" if name == key else "muted", 20)

    def _choose(self, key: str) -> None:
        self.show_current(key)
        self.chosen.emit(key)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
        made = list(self._buttons.values())
        at = next((place for place, button in enumerate(made) if button.hasFocus()), None)
        if step is None or at is None:
            super().keyPressEvent(event)
            return
        made[(at + step) % len(made)].setFocus()

    def sizeHint(self) -> QSize:
        return QSize(WIDTH, 400)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            for made in self._buttons.values():
                made.setFont(theme.font("caption"))
