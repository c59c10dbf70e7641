"""The models on this disk: what each is, whether it was checked, what it really takes. Must not know files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from widgets import format as fmt
from widgets import parts, theme
from widgets.flow import FlowLayout
from widgets.installed_row import InstalledRow
from widgets.model_values import InstalledLine


class InstalledList(QWidget):
    """Signals carry a ref; `import_wanted`, `find_requested` and `folder_requested` carry nothing."""

    use_requested = Signal(str)
    verify_requested = Signal(str)
    stop_verify_requested = Signal(str)
    remove_requested = Signal(str)
    import_wanted = Signal()
    find_requested = Signal()
    folder_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, InstalledRow] = {}
        self._shelf = parts.card()
        self._stack = QVBoxLayout(self._shelf)
        self._stack.setContentsMargins(theme.ROOM, theme.HAIR, theme.ROOM, theme.HAIR)
        self._stack.setSpacing(0)
        self._empty = self._make_empty()
        self._sum = parts.label(wrap=True)
        self._folder = parts.Elided(role="caption", tone="muted")
        self._folder.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._move = parts.button(
            "Change folder…",
            "Choose where models are kept; what is there can be moved",
            icon="folder",
            name="Change folder",
        )
        self._move.clicked.connect(self.folder_requested)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.GAP)
        layout.addWidget(self._foot())
        layout.addWidget(self._shelf)
        layout.addWidget(self._empty)
        layout.addStretch(1)

    def _foot(self) -> QFrame:
        made = parts.card()
        line = QHBoxLayout(made)
        line.setContentsMargins(theme.ROOM, theme.TIGHT, theme.GAP, theme.TIGHT)
        line.setSpacing(theme.GAP)
        line.addLayout(parts.column(self._sum, self._folder, gap=1), 1)
        line.addWidget(self._move)
        return made

    def _make_empty(self) -> QFrame:
        made = parts.card()
        layout = QVBoxLayout(made)
        layout.setContentsMargins(theme.WIDE, theme.WIDE, theme.WIDE, theme.WIDE)
        layout.setSpacing(theme.TIGHT)
        layout.addWidget(parts.label("No models on this disk yet", "heading"))
        layout.addWidget(
            parts.label(
                "Download the recommended one from the catalogue, drop a .gguf file on this page, or use models that "
                "LM Studio, Jan, GPT4All, Ollama or the Hugging Face cache already have here.",
                tone="muted",
                wrap=True,
            )
        )
        choose = parts.button(
            "Import a file…", "Choose a .gguf file of your own", icon="file-plus", name="Import a file"
        )
        choose.clicked.connect(self.import_wanted)
        find = parts.button(
            "Find models of other programs", "Look where other programs keep models", icon="magnifying-glass"
        )
        find.clicked.connect(self.find_requested)
        box = QWidget()
        flow = FlowLayout(box, theme.TIGHT)
        flow.addWidget(choose)
        flow.addWidget(find)
        layout.addWidget(box)
        return made

    def show_lines(
        self, lines: Sequence[InstalledLine], folder: str, folder_free_bytes: int | None, now: datetime
    ) -> None:
        """Rows are kept by ref; `now` decides what is called today."""
        refs = [line.ref for line in lines]
        if refs != list(self._rows):
            self._arrange(refs)
        for line in lines:
            self._rows[line.ref].show_line(line, now)
        self._shelf.setVisible(bool(lines))
        self._empty.setVisible(not lines)
        total = sum(line.size_bytes for line in lines)
        said = f"{fmt.plural(len(lines), 'model')}, {fmt.byte_size(total)} together" if lines else "No models"
        if folder_free_bytes is not None:
            said += f"  ·  {fmt.byte_size(folder_free_bytes)} free on the disk of the models folder"
        self._sum.setText(said)
        self._folder.setText(f"Models folder: {folder}" if folder else "")

    def row(self, ref: str) -> InstalledRow:
        return self._rows[ref]

    def refs(self) -> tuple[str, ...]:
        return tuple(self._rows)

    def _arrange(self, refs: Sequence[str]) -> None:
        """Keep rows that stay, let go of the others, and put all in order."""
        for ref in [ref for ref in self._rows if ref not in refs]:
            gone = self._rows.pop(ref)
            self._stack.removeWidget(gone)
            gone.hide()
            gone.deleteLater()
        self._rows = {ref: self._rows.get(ref) or self._make(ref) for ref in refs}
        for at, made in enumerate(self._rows.values()):
            if self._stack.indexOf(made) != at:
                self._stack.insertWidget(at, made)
            made.set_first(at == 0)
        parts.tab_order([self._move, *(stop for made in self._rows.values() for stop in made.tab_stops())])

    def _make(self, ref: str) -> InstalledRow:
        made = InstalledRow(ref)
        made.use_requested.connect(self.use_requested)
        made.verify_requested.connect(self.verify_requested)
        made.stop_verify_requested.connect(self.stop_verify_requested)
        made.remove_requested.connect(self.remove_requested)
        return made
