"""What every page of the first-start assistant is. Must not know the other pages."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from widgets import parts, theme
from widgets.assistant_values import AssistantView


class Step(QWidget):
    """Put widgets into `body`. `changed` says that the words for the buttons are others now."""

    changed = Signal()
    title = ""
    skip_text = "Skip"
    skip_tip = "Close the first steps; Settings shows them again (Esc)"

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName(self.title)
        inner = QWidget()
        inner.setProperty("ground", "clear")
        outer = QVBoxLayout(inner)
        outer.setContentsMargins(theme.WIDE, 0, theme.WIDE, theme.TIGHT)
        self.body = parts.column(gap=theme.GAP)
        outer.addLayout(self.body)
        outer.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # Tab brings each control into sight by itself
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll)

    def show_view(self, view: AssistantView) -> None:
        """Show what is known by now; called again whenever more is."""
        raise NotImplementedError

    def next_text(self) -> str:
        """What the main button does on this page."""
        return "Next"

    def next_tip(self) -> str:
        return "Go on to the next step (Enter)"

    def can_go_on(self) -> bool:
        return True

    def go_on(self) -> bool:
        """The main button was pressed; True where the assistant moves on, or ends after its last page."""
        return True

    def focus_target(self) -> QWidget | None:
        """Where the keyboard is when the page opens; None for the main button."""
        return None
