"""A calm notice: what is wrong and the one thing that fixes it, with its command to copy. Must not know the subject.

A command is what the fix has between backticks; it is shown alone, exactly, so that it can be selected and copied.
"""

from __future__ import annotations

import re

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSizePolicy, QVBoxLayout

from backends.errors import Problem
from widgets import icons, parts, theme

_COMMAND = re.compile(r"`([^`\n]+)`")


def command_of(fix: str) -> str:
    """The first command in a fix, or empty."""
    found = _COMMAND.search(fix)
    return found.group(1) if found else ""


def said_beside(fix: str) -> str:
    """The fix without backticks, and without a command at its end, which has a line of its own."""
    return re.sub(rf"\s*{_COMMAND.pattern}\.?$", "", fix).replace("`", "")


class FixNotice(QFrame):
    """Hidden until it has a problem. `copied` carries the command that went to the clipboard."""

    copied = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("card", "notice")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self._command_text = ""
        self._what = parts.label(role="strong", wrap=True)
        self._fix = parts.label(wrap=True)
        self._command = parts.label()
        self._command.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        for text in (self._what, self._fix, self._command):
            text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._command.setWordWrap(True)
        self._copy = parts.button("Copy", "Copy this command", icon="copy", kind="quiet", name="Copy the command")
        self._copy.clicked.connect(self._copy_command)
        self._box = parts.card("command")
        inside = QHBoxLayout(self._box)
        inside.setContentsMargins(theme.TIGHT, 0, 0, 0)
        inside.addWidget(self._command, 1)
        inside.addWidget(self._copy)
        words = QVBoxLayout()
        words.setSpacing(theme.HAIR)
        for part in (self._what, self._fix, self._box):
            words.addWidget(part)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(theme.GAP, theme.TIGHT, theme.GAP, theme.TIGHT)
        layout.setSpacing(theme.TIGHT)
        layout.addWidget(icons.IconMark("info", "caution", 18), 0, Qt.AlignmentFlag.AlignTop)
        layout.addLayout(words, 1)
        self.hide()

    def show_problem(self, problem: Problem | None) -> None:
        if problem is None:
            self.hide()
            return
        self._command_text = command_of(problem.fix)
        self._what.setText(problem.what)
        fix = said_beside(problem.fix)
        self._fix.setText(" ".join(part for part in (problem.safe, fix) if part))
        self._fix.setVisible(bool(self._fix.text()))
        self._command.setText(self._command_text)
        self._box.setVisible(bool(self._command_text))
        self.setAccessibleName(" ".join((problem.what, self._fix.text())))
        self.show()

    def text(self) -> str:
        """What is shown, or empty while hidden."""
        return "" if self.isHidden() else f"{self._what.text()} {self._fix.text()}".strip()

    def _copy_command(self) -> None:
        QGuiApplication.clipboard().setText(self._command_text)
        self.copied.emit(self._command_text)
