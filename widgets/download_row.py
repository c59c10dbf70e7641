"""One download: how far it is, and its buttons; a failed one says what to do. Must not know the network."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent, QAction
from PySide6.QtWidgets import QHBoxLayout, QMenu, QPushButton, QVBoxLayout, QWidget

from widgets import file_words, icons, parts, theme
from widgets import format as fmt
from widgets.fix_notice import FixNotice
from widgets.model_values import DownloadLine, DownloadState
from widgets.progress_rule import ProgressRule

_MARK: dict[DownloadState, tuple[str, str]] = {
    "queued": ("clock", "muted"),
    "running": ("download-simple", "accent"),
    "paused": ("pause", "caution"),
    "done": ("check-circle", "here"),
    "failed": ("warning-circle", "danger"),
    "cancelled": ("x-circle", "muted"),
}


class DownloadRow(QWidget):
    """Signals carry the ref; `cancelled` also says whether what arrived is to be deleted."""

    pause_requested = Signal(str)
    resume_requested = Signal(str)
    cancel_requested = Signal(str, bool)
    use_requested = Signal(str)

    def __init__(self, ref: str) -> None:
        super().__init__()
        self._ref = ref
        self._line: DownloadLine | None = None
        self._mark = icons.IconMark("download-simple", "accent")
        self._title = parts.Elided(role="strong", middle=True)  # the quant at its end tells two downloads apart
        self._says = parts.label(role="caption", tone="muted")
        self._bar = ProgressRule()
        self._pause = parts.button("Pause", "Stop for now; what arrived is kept", icon="pause", kind="quiet")
        self._resume = parts.button("Resume", "Go on where it stopped", icon="play", kind="quiet")
        self._use = parts.button("Use in Compare", "Open this model in a lane of the Compare page", icon="columns")
        self._cancel = parts.button("Cancel", "Stop this download", icon="x", kind="quiet")
        self._notice = FixNotice()
        self._pause.clicked.connect(lambda: self.pause_requested.emit(self._ref))
        self._resume.clicked.connect(lambda: self.resume_requested.emit(self._ref))
        self._use.clicked.connect(lambda: self.use_requested.emit(self._ref))
        self._cancel.clicked.connect(self._ask_cancel)
        self._menu = QMenu(self)
        self._keep = self._choice(discard=False)
        self._discard = self._choice(discard=True)
        self._lay_out()

    def _choice(self, *, discard: bool) -> QAction:
        made = QAction(self._menu)
        made.triggered.connect(lambda: self.cancel_requested.emit(self._ref, discard))
        self._menu.addAction(made)
        return made

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.setSpacing(theme.TIGHT)
        top.addWidget(self._mark)
        top.addWidget(self._title, 1)
        top.addWidget(self._says)
        for made in self._buttons():
            top.addWidget(made)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.HAIR)
        layout.addLayout(top)
        layout.addWidget(self._bar)
        layout.addWidget(self._notice)

    def _buttons(self) -> tuple[QPushButton, ...]:
        return self._pause, self._resume, self._use, self._cancel

    def show_line(self, line: DownloadLine) -> None:
        if line == self._line:
            return
        before, self._line = self._line, line
        self._title.setText(line.title)
        said = file_words.download_line(line)
        self._says.setText(said)
        self._mark.show_icon(*_MARK[line.state])
        self._bar.show_progress(file_words.share(line) if line.state != "done" else 1.0)
        self._bar.setAccessibleName(f"Download of {line.title}")
        self._bar.setAccessibleDescription(said)
        self._notice.show_problem(line.problem if line.state == "failed" else None)
        if before is None or before.state != line.state:
            self._show_buttons(line)
            self._announce(line, first=before is None)

    def _show_buttons(self, line: DownloadLine) -> None:
        held = [made for made in self._buttons() if made.hasFocus()]
        self._pause.setVisible(line.state in ("running", "queued"))
        self._resume.setVisible(line.state in ("paused", "failed", "cancelled"))
        self._use.setVisible(line.state == "done")
        self._cancel.setVisible(line.state != "done")
        self._cancel.setText("Remove" if line.state in ("failed", "cancelled") else "Cancel")
        for made in self._buttons():
            made.setAccessibleName(f"{made.text()}: {line.title}")
        if held and held[0].isHidden():  # the button that was pressed went away: its place is the next one's
            next(made for made in self._buttons() if not made.isHidden()).setFocus()

    def _announce(self, line: DownloadLine, *, first: bool) -> None:
        if line.state == "done" or (line.state == "failed" and line.problem is not None) or not first:
            said = f"{line.title}: {file_words.download_line(line)}"
            if line.state == "failed" and line.problem is not None:
                said = f"{line.title}: {line.problem.sentence}"
            QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self, said))

    def _ask_cancel(self) -> None:
        """Nothing arrived: nothing to ask."""
        line = self._line
        if line is None or not line.received_bytes:
            self.cancel_requested.emit(self._ref, True)
            return
        here = fmt.byte_size(line.received_bytes)
        keep, delete = ("Stop, and keep", "Stop, and delete")
        if line.state in ("failed", "cancelled"):
            keep, delete = ("Keep", "Delete")
        self._keep.setText(f"{keep} the {here} that arrived")
        self._keep.setVisible(line.state != "cancelled")
        self._discard.setText(f"{delete} the {here} that arrived")
        self._menu.popup(self._cancel.mapToGlobal(self._cancel.rect().bottomLeft()))

    def cancel_menu(self) -> QMenu:
        return self._menu
