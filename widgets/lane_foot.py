"""The bottom of a lane: vote and copy. Must not know what is copied nor where votes go."""

from __future__ import annotations

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QWidget

from widgets import icons, parts, theme
from widgets.values import Vote

COPIED_MS = 1500


class LaneFoot(QWidget):
    """`voted` carries "up", "down" or "" when a vote is taken back."""

    voted = Signal(str)
    copy_pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._up = parts.icon_button("thumbs-up", "Good answer", "Vote for this answer", tone="text")
        self._down = parts.icon_button("thumbs-down", "Poor answer", "Vote against this answer", tone="text")
        for made in (self._up, self._down):
            made.setCheckable(True)
        self._up.clicked.connect(lambda on: self._vote("up" if on else ""))
        self._down.clicked.connect(lambda on: self._vote("down" if on else ""))
        self._copy = parts.button("Copy", "Copy the whole answer as Markdown", icon="copy", kind="quiet")
        self._copy.clicked.connect(self.copy_pressed)
        self._back = QTimer(self)
        self._back.setSingleShot(True)
        self._back.setInterval(COPIED_MS)
        self._back.timeout.connect(self._say_copy)
        layout = parts.row(self._up, self._down, gap=theme.HAIR)
        layout.addStretch(1)
        layout.addWidget(self._copy)
        self.setLayout(layout)
        self.reset()

    def tab_stops(self) -> list[QWidget]:
        return [self._up, self._down, self._copy]

    def reset(self) -> None:
        """No answer yet: nothing to copy or vote on."""
        for made in (self._up, self._down):
            made.setChecked(False)
            made.setEnabled(False)
        self._copy.setEnabled(False)
        self._say_copy()

    def set_has_answer(self, has: bool) -> None:
        self._copy.setEnabled(has)

    def set_ended(self, has_answer: bool) -> None:
        """The run is over; an answer, whole or in part, can be voted on."""
        self._copy.setEnabled(has_answer)
        for made in (self._up, self._down):
            made.setEnabled(has_answer)

    def set_vote(self, vote: Vote) -> None:
        """Show a stored vote, without a signal."""
        self._up.setChecked(vote == "up")
        self._down.setChecked(vote == "down")

    def say_copied(self) -> None:
        """Answer the click on the button itself, for a moment."""
        self._copy.setText("Copied")
        icons.dress(self._copy, "check", "here")
        self._back.start()

    def _say_copy(self) -> None:
        self._back.stop()
        self._copy.setText("Copy")
        icons.dress(self._copy, "copy", "text")

    def _vote(self, vote: Vote) -> None:
        if vote:
            (self._down if vote == "up" else self._up).setChecked(False)
        self.voted.emit(vote)
