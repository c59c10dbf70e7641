"""A calm strip that says what happened, what is safe and what to do next. Must not know where errors come from."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from backends.errors import Problem
from widgets import icons, parts, theme

Tone = Literal["danger", "caution"]
_ICON: dict[Tone, str] = {"danger": "warning-circle", "caution": "info"}


class Banner(QFrame):
    """Hidden until it has something to say. `dismissed` is emitted when the person closes it, `taken` with the key of
    what it offered when they take that."""

    dismissed = Signal()
    taken = Signal(str)

    def __init__(self, *, closable: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._mark = icons.IconMark("info", "caution", 18)
        self._what = parts.label(role="strong", wrap=True)
        self._rest = parts.label(wrap=True)
        for text in (self._what, self._rest):
            text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        words = QVBoxLayout()
        words.setSpacing(theme.HAIR)
        words.addWidget(self._what)
        words.addWidget(self._rest)
        self._offered = ""
        self._offer = parts.button("", "")
        self._offer.clicked.connect(self._take)
        words.addLayout(offer := parts.row(self._offer))
        offer.addStretch(1)
        self._close = parts.icon_button("x", "Close this message")
        self._close.clicked.connect(self._dismiss)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(theme.GAP, theme.TIGHT, theme.GAP, theme.TIGHT)
        layout.setSpacing(theme.TIGHT)
        layout.addWidget(self._mark, 0, Qt.AlignmentFlag.AlignTop)
        layout.addLayout(words, 1)
        layout.addWidget(self._close, 0, Qt.AlignmentFlag.AlignTop)
        # Only once it has a parent: a visible widget without one is a window of its own for a moment.
        self._close.setVisible(closable)
        self._offer.hide()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.hide()

    def show_problem(self, problem: Problem | None) -> None:
        """The three sentences of a problem, or nothing."""
        if problem is None:
            self.hide()
        else:
            self._show(problem.what, " ".join(part for part in (problem.safe, problem.fix) if part), "danger")

    def show_notice(self, text: str) -> None:
        """One sentence while work goes on; empty takes it back."""
        if text:
            self._show(text, "", "caution")
        else:
            self.hide()

    def offer(self, text: str, tip: str, key: str) -> None:
        """A button beside what is shown; it goes when something else is shown."""
        self._offered = key
        self._offer.setText(text)
        self._offer.setAccessibleName(text)
        parts.set_tip(self._offer, tip)
        self._offer.show()

    def offered_text(self) -> str:
        """What the button says, or empty where there is none."""
        return "" if self.isHidden() or self._offer.isHidden() else self._offer.text()

    def text(self) -> str:
        """What is shown, or empty while hidden."""
        return "" if self.isHidden() else " ".join(t for t in (self._what.text(), self._rest.text()) if t)

    def _take(self) -> None:
        self._offer.hide()
        self.taken.emit(self._offered)

    def _show(self, what: str, rest: str, tone: Tone) -> None:
        self._offer.hide()
        self._mark.show_icon(_ICON[tone], tone)
        self._what.setText(what)
        self._rest.setText(rest)
        self._rest.setVisible(bool(rest))
        parts.set_tone(self, tone, "banner")
        self.setAccessibleName(f"{what} {rest}".strip())
        self.show()

    def _dismiss(self) -> None:
        self.hide()
        self.dismissed.emit()
