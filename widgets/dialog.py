"""The frame of every dialog: a heading, a body and a row of buttons. Must not know what is asked."""

from __future__ import annotations

from PySide6.QtCore import QEvent
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from widgets import parts, theme
from widgets.overlay import Overlay
from widgets.screen_room import keep_inside, largest

WIDTH = 460


class Dialog(Overlay):
    """As wide as it is told and as tall as its words need. Put widgets into `body`."""

    def __init__(self, title: str, *, width: int = WIDTH, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setFixedWidth(width)
        self._heading = parts.label(title, "heading", wrap=True)
        self.body = parts.column(gap=theme.GAP)
        self._buttons = parts.row()
        self._buttons.addStretch(1)
        self._n_left = 0
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.WIDE, theme.WIDE, theme.WIDE, theme.ROOM)
        layout.setSpacing(theme.GAP)
        layout.addWidget(self._heading)
        layout.addLayout(self.body)
        layout.addSpacing(theme.HAIR)
        layout.addLayout(self._buttons)

    def set_title(self, title: str) -> None:
        self.setWindowTitle(title)
        self._heading.setText(title)

    def say(self, text: str, role: theme.Role = "body", tone: str = "") -> None:
        """Add a paragraph to the body."""
        self.body.addWidget(parts.label(text, role, tone, wrap=True))

    def add_button(self, button: QPushButton, *, left: bool = False, default: bool = False) -> None:
        """Put a button into the bottom row; Enter presses the default one, unless another has the focus."""
        if left:
            self._buttons.insertWidget(self._n_left, button)
            self._n_left += 1
        else:
            self._buttons.addWidget(button)
        button.setDefault(default)  # only now: a button asks its dialog who else is the default

    def add_cancel(self, tip: str, *, default: bool = False, text: str = "Cancel") -> QPushButton:
        made = parts.button(text, tip)
        made.clicked.connect(self.reject)
        self.add_button(made, default=default)
        if default:
            made.setFocus()
        return made

    def fit(self) -> None:
        """Take the height that the words need at this width, as far as the screen has it."""
        layout = self.layout()
        assert layout is not None, "laid out in __init__"
        height = layout.totalHeightForWidth(self.width()) if layout.hasHeightForWidth() else layout.sizeHint().height()
        height = min(height, largest(self).height())
        if height != self.height():
            self.setFixedHeight(height)
            if self.isVisible():  # it grows downwards
                keep_inside(self)

    def showEvent(self, event: QShowEvent) -> None:
        self.fit()
        super().showEvent(event)
        keep_inside(self)

    def event(self, event: QEvent) -> bool:
        handled = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest and self.isVisible():
            self.fit()
        return handled
