"""What every page of the first-start assistant is. Must not know the other pages."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from widgets import parts, theme
from widgets.assistant_values import AssistantView
from widgets.scroll_column import ScrollColumn


class Step(QWidget):
    """Put widgets into `body`. `changed` says that the words for the buttons are others now.

    `title` is its short name among the steps, `heading` what stands over it.
    """

    changed = Signal()
    title = ""
    heading = ""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName(self.title)
        scroll = ScrollColumn()
        scroll.column.setContentsMargins(theme.WIDE, 0, theme.WIDE, theme.TIGHT)
        self.body = parts.column(gap=theme.GAP)
        scroll.column.addLayout(self.body)
        scroll.column.addStretch(1)
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

    def skip_text(self) -> str:
        """What leaving from here means; empty where the main button leaves already."""
        return "Skip"

    def skip_tip(self) -> str:
        return "Close the first steps; Settings shows them again (Esc)"

    def can_go_on(self) -> bool:
        return True

    def go_on(self) -> bool:
        """The main button was pressed; True where the assistant moves on, or ends after its last page."""
        return True

    def focus_target(self) -> QWidget | None:
        """Where the keyboard is when the page opens; None for the main button."""
        return None

    def tab_stops(self) -> list[QWidget]:
        """From top to bottom; the buttons below come after them."""
        return []
