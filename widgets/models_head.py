"""The line that switches between the catalogue and the files here, and adds models. Must not know either section."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QMenu, QPushButton, QWidget

from widgets import parts, theme

CATALOGUE, ON_DISK = "catalogue", "disk"
_ON_DISK_TEXT = "On this disk"


class ModelsHead(QWidget):
    """`section_chosen` carries CATALOGUE or ON_DISK."""

    section_chosen = Signal(str)
    add_repo_requested = Signal()
    find_requested = Signal()
    import_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._sections = parts.Segments(
            "Models",
            (
                (CATALOGUE, "Catalogue", "Every model that Nearfar knows, judged for this machine"),
                (ON_DISK, _ON_DISK_TEXT, "The models that are here already"),
            ),
        )
        self._sections.chosen.connect(self.section_chosen)
        self._add = parts.button(
            "Add models", "A repo, a file of your own, or models of other programs", icon="plus", name="Add models"
        )
        self._add.setMenu(self._menu())
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.TIGHT)
        layout.addWidget(self._sections)
        layout.addStretch(1)
        layout.addWidget(self._add)

    def _menu(self) -> QMenu:
        menu = QMenu(self)
        menu.setAccessibleName("Add models")
        for text, signal in (
            ("From a Hugging Face repo…", self.add_repo_requested),
            ("A .gguf file of your own…", self.import_wanted),
            ("Find models of other programs", self.find_requested),
        ):
            action = QAction(text, menu)
            action.triggered.connect(signal)
            menu.addAction(action)
        return menu

    def show_counts(self, installed: int) -> None:
        """How many models are on this disk."""
        made = self._sections.tab_stops()[1]
        assert isinstance(made, QPushButton)
        text = f"{_ON_DISK_TEXT} ({installed})" if installed else _ON_DISK_TEXT
        if made.text() != text:
            made.setText(text)
            made.setAccessibleName(f"Models: {text}")

    def choose(self, section: str) -> None:
        self._sections.choose(section)

    def section(self) -> str:
        return self._sections.value()

    def focus_section(self) -> None:
        at = 0 if self.section() == CATALOGUE else 1
        self._sections.tab_stops()[at].setFocus(Qt.FocusReason.ShortcutFocusReason)
