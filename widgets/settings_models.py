"""The Models section of the Settings page. Must not know where models are kept nor how they are fetched."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QDoubleSpinBox, QFileDialog, QLineEdit, QVBoxLayout, QWidget

from widgets import format as fmt
from widgets import parts, theme
from widgets.context_slider import ContextSlider
from widgets.settings_rows import RemovableList, row, section
from widgets.values import SettingsView

MAX_LIMIT_MB_S = 100_000.0
SETTLE_MS = 300  # a slider that is dragged says much; the last word counts


class ModelSettings(QWidget):
    """`changed` carries all settings after a change. The folder and the first steps are asked for by signals of their
    own, since both need more than a value: `folder_chosen` carries a path."""

    changed = Signal(object)
    folder_chosen = Signal(str)
    folder_open_requested = Signal()
    first_steps_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._view = SettingsView()
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(lambda: self.changed.emit(self._view))
        self._context = ContextSlider()
        self._context.set_narrow(True)
        self._context.context_changed.connect(self._context_moved)
        self._context.kv_type_changed.connect(lambda kind: self._put(kv_type=kind))
        self._limit = _limit_field()
        self._limit.valueChanged.connect(lambda value: self._put(download_limit_mb_s=value or None))
        self._folder = parts.Elided()
        self._free = parts.label(role="caption", tone="muted")
        self._change = parts.button("Change…", "Choose another folder; you are asked whether the models move too")
        self._change.clicked.connect(self._choose_folder)
        self._open = parts.button("Open", "Show the models folder in the file manager", name="Open the models folder")
        self._open.clicked.connect(self.folder_open_requested)
        self._again = parts.button("Show first steps again", "Open the assistant of the first start")
        self._again.clicked.connect(self.first_steps_requested)
        self._licences = RemovableList(
            "None yet. A model's licence is shown before its first download.",
            "it is shown again before the next download",
        )
        self._licences.removed.connect(self._drop_licence)
        self._repos = RemovableList("None. You add one on the Models page.", "models that are here stay")
        self._repos.removed.connect(self._drop_repo)
        self._lay_out()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        says = (
            "How much text a model keeps in mind, prompt and answer together, and how exactly. More takes more memory. "
            "It holds from the next load on."
        )
        rows = [
            row("Context", says, self._context, below=True),
            row("Models folder", "Where downloaded models are kept.", self._folder_line(), below=True),
            row(
                "Download limit",
                "Leaves room for others on a shared line. In megabytes per second; 0 is no limit.",
                self._limit,
            ),
            row("Accepted licences", "Licences of models that you accepted.", self._licences, below=True),
            row("Your repos", "Hugging Face repos that you added to the catalogue.", self._repos, below=True),
            row("First steps", "Your machine and a model that fits it, step by step.", self._again),
        ]
        layout.addWidget(section("Models", rows))

    def _folder_line(self) -> QWidget:
        made = QWidget()
        words = parts.column(self._folder, self._free, gap=0)
        line = parts.row(self._change, self._open)
        line.insertLayout(0, words, 1)
        made.setLayout(line)
        return made

    def show_settings(self, view: SettingsView) -> None:
        """Without a signal."""
        if self._settle.isActive():
            view = replace(view, n_ctx=self._view.n_ctx)  # the person moves the slider right now
        self._view = view
        self._context.show_values(view.n_ctx, view.kv_type)
        self._limit.blockSignals(True)
        self._limit.setValue(view.download_limit_mb_s or 0.0)
        self._limit.blockSignals(False)
        self._folder.setText(view.models_folder)
        self._folder.setAccessibleName(f"Models folder: {view.models_folder}")
        free = view.models_folder_free_bytes
        self._free.setText("" if free is None else f"{fmt.byte_size(free)} free on its disk")
        self._free.setVisible(free is not None)
        self._licences.show_entries([(each.tag, each.name or each.tag) for each in view.accepted_licences])
        self._repos.show_entries([(repo, repo) for repo in view.added_repos])

    def _put(self, **changes: object) -> None:
        self._settle.stop()
        self._view = replace(self._view, **changes)  # type: ignore[arg-type]  # mypy cannot follow ** into replace
        self.changed.emit(self._view)

    def _context_moved(self, n_ctx: int) -> None:
        self._view = replace(self._view, n_ctx=n_ctx)
        self._settle.start()

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Choose a folder for models", self._view.models_folder)
        if path:  # the same one, too: that is how a folder whose disk was lost begins anew
            self.folder_chosen.emit(path)

    def _drop_licence(self, tag: str) -> None:
        self._put(accepted_licences=tuple(each for each in self._view.accepted_licences if each.tag != tag))

    def _drop_repo(self, repo: str) -> None:
        self._put(added_repos=tuple(each for each in self._view.added_repos if each != repo))


class _LimitField(QDoubleSpinBox):
    """The wheel scrolls the page; it changes the value only where the keyboard is."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


def _limit_field() -> QDoubleSpinBox:
    """Says its value when typing is done, not at every digit."""
    field = _LimitField()
    field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    field.setRange(0.0, MAX_LIMIT_MB_S)
    field.setDecimals(1)
    field.setSingleStep(1.0)
    field.setSpecialValueText("no limit")
    field.setSuffix(" MB/s")
    field.setKeyboardTracking(False)
    field.setAccessibleName("Download limit")
    field.setFixedWidth(140)
    inner = field.findChild(QLineEdit)
    assert inner is not None, "a spin box holds its text in a line edit"
    inner.setTextMargins(theme.TIGHT, 0, theme.TIGHT, 0)
    return field
