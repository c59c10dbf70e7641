"""One model on this disk with what can be done with it. Must not know files; asking before removal is the app's."""

from __future__ import annotations

from datetime import datetime

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from widgets import format as fmt
from widgets import parts, theme
from widgets.file_words import memory_check
from widgets.model_values import FileCheck, InstalledLine
from widgets.progress_rule import ProgressRule

_CHECK: dict[FileCheck, tuple[str, str, str, str]] = {
    "verified": ("Verified", "shield-check", "here", "Its sha256 is that of the original file"),
    "unverified": ("Not verified", "shield", "plain", "Its sha256 was not compared with an original"),
    "changed": ("Changed", "warning", "caution", "The file is not the one that was checked; verify it again"),
    "missing": ("File missing", "warning-circle", "caution", "The file is not where it was"),
    "checking": ("Checking", "clock", "plain", "Reading the whole file and comparing its sha256"),
}


class InstalledRow(QWidget):
    """Signals carry the ref."""

    use_requested = Signal(str)
    verify_requested = Signal(str)
    stop_verify_requested = Signal(str)
    remove_requested = Signal(str)

    def __init__(self, ref: str) -> None:
        super().__init__()
        self._ref = ref
        self._seen: tuple[InstalledLine, str] | None = None
        self._rule = parts.rule()
        self._name = parts.Elided(role="strong")
        self._name.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self._badge = parts.Badge()
        self._facts = parts.Elided(role="caption", tone="muted")
        self._memory = parts.label(role="caption", tone="muted", wrap=True)
        self._path = parts.Elided(role="caption", tone="muted")
        self._bar = ProgressRule()
        self._use = parts.button("Use in Compare", "Open this model in a lane of the Compare page", icon="columns")
        self._verify = parts.button("Verify", "Read the whole file and compare its sha256", kind="quiet")
        self._stop = parts.button("Stop", "Stop checking", kind="quiet")
        self._remove = parts.icon_button("trash", "Remove", "Remove this model from the disk; asks first")
        self._use.clicked.connect(lambda: self.use_requested.emit(self._ref))
        self._verify.clicked.connect(lambda: self.verify_requested.emit(self._ref))
        self._stop.clicked.connect(lambda: self.stop_verify_requested.emit(self._ref))
        self._remove.clicked.connect(lambda: self.remove_requested.emit(self._ref))
        self._lay_out()

    def _lay_out(self) -> None:
        head = parts.row(self._name, self._badge, gap=theme.TIGHT)
        head.addStretch(1)
        text = parts.column(gap=2)
        text.addLayout(head)
        for part in (self._facts, self._memory, self._path, self._bar):
            text.addWidget(part)
        for made in (self._verify, self._stop):
            made.setMinimumWidth(max(self._verify.sizeHint().width(), self._stop.sizeHint().width()))
        stays = self._remove.sizePolicy()
        stays.setRetainSizeWhenHidden(True)  # the buttons of all rows stand in columns
        self._remove.setSizePolicy(stays)
        buttons = parts.row(self._use, self._verify, self._stop, self._remove, gap=theme.HAIR)
        line = QHBoxLayout()
        line.setContentsMargins(0, theme.TIGHT, 0, theme.TIGHT)
        line.setSpacing(theme.GAP)
        line.addLayout(text, 1)
        line.addLayout(buttons)
        line.setAlignment(buttons, Qt.AlignmentFlag.AlignVCenter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._rule)
        layout.addLayout(line)

    def tab_stops(self) -> list[QWidget]:
        return [self._use, self._verify, self._stop, self._remove]

    def set_first(self, first: bool) -> None:
        """The first row has no line above it."""
        self._rule.setVisible(not first)

    def show_line(self, line: InstalledLine, now: datetime) -> None:
        used = f"last used {fmt.moment(line.last_used_at, now)}" if line.last_used_at is not None else "not used yet"
        if (line, used) == self._seen:
            return
        self._seen = (line, used)
        title = f"{line.name}, {line.quant}" if line.quant else line.name
        self._name.setText(title)
        text, icon, tone, tip = _CHECK[line.check]
        if line.check == "checking" and line.checked_share is not None:
            text = f"Checking, {fmt.percent(line.checked_share)}"
        self._badge.show_text(text, icon, tone, tip)
        owner = f"{line.origin}'s file, used where it lies" if line.origin else ""
        self._facts.setText("  ·  ".join(part for part in (fmt.byte_size(line.size_bytes), used, owner) if part))
        self._memory.setText(memory_check(line))
        self._memory.setVisible(bool(self._memory.text()))
        self._path.setText(line.path)
        self._show_buttons(line, title)
        self.setAccessibleName(f"{title}. {text}. {self._facts.text()}. {self._memory.text()}".strip())

    def _show_buttons(self, line: InstalledLine, title: str) -> None:
        checking, here = line.check == "checking", line.check != "missing"
        held = self._verify if self._verify.hasFocus() else self._stop if self._stop.hasFocus() else None
        self._bar.setVisible(checking)
        self._bar.show_progress(line.checked_share or 0.0)
        self._bar.setAccessibleName(f"Checking {title}")
        self._use.setEnabled(here)
        self._verify.setVisible(not checking)
        self._verify.setEnabled(here)
        self._stop.setVisible(checking)
        self._remove.setVisible(line.can_remove)
        names = ((self._use, "Use in Compare"), (self._verify, "Verify"), (self._stop, "Stop checking"))
        for made, name in (*names, (self._remove, "Remove")):
            made.setAccessibleName(f"{name}: {title}")
        if held is not None and held.isHidden():
            (self._stop if checking else self._verify).setFocus()
