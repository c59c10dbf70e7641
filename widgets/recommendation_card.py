"""What to take on this machine: one model with one button, a faster and a better one beside it. Must not know why.

The reasons come as sentences; where nothing is recommended the card says what would change that.
"""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFocusEvent
from PySide6.QtWidgets import QBoxLayout, QFrame, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from widgets import file_words, icons, parts, theme
from widgets import format as fmt
from widgets import model_words as words
from widgets.model_values import LeverLine, ModelRow, ModelsView

Action = Literal["download", "use", "busy"]
_OTHERS = {2: ("lightning", "Faster"), 3: ("medal", "Better answers, slower")}


class ActionButton(QPushButton):
    """Download a model, or use it where it is installed; says so when neither is possible now."""

    wanted = Signal(str, str)

    def __init__(self, *, primary: bool) -> None:
        super().__init__()
        if primary:
            self.setProperty("kind", "primary")
        self._ink = "on_accent" if primary else "text"
        self._row: ModelRow | None = None
        self._action: Action = "busy"
        self._said: tuple[object, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.clicked.connect(self._clicked)

    def show_row(self, row: ModelRow, view: ModelsView, share: float | None) -> None:
        said = (row.ref, row.state, row.file_bytes, row.size_exact, view.local_only, share)
        if said == self._said:
            return
        self._said, self._row = said, row
        text, icon, tip, self._action = self._words(row, view, share)
        usable = self._action != "busy"
        self.setText(text)
        self._settle(usable=usable, focused=self.hasFocus())
        self.setAccessibleName(f"{text}: {words.title(row)}")
        self.setAccessibleDescription(tip)
        parts.set_tip(self, tip)
        icons.dress(self, icon, self._ink if usable else "muted")

    def _settle(self, *, usable: bool, focused: bool) -> None:
        """A button that was just pressed keeps the keyboard's place, and does nothing, until the focus moves on."""
        self.setEnabled(usable or focused)
        parts.set_tone(self, "" if usable else "yes", "idle")

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._settle(usable=self._action != "busy", focused=False)

    def action(self) -> Action:
        return self._action

    @staticmethod
    def _words(row: ModelRow, view: ModelsView, share: float | None) -> tuple[str, str, str, Action]:
        if row.state == "installed":
            return "Use in Compare", "columns", "Open this model in a lane of the Compare page", "use"
        if row.state == "downloading":
            text = f"Downloading, {fmt.percent(share)}" if share is not None else "Download waits"
            return text, "download-simple", "See the downloads at the foot of this page", "busy"
        if row.state == "not_runnable":
            return "Cannot run here", "prohibit", row.reason, "busy"
        if view.local_only:
            return "Download", "download-simple", "Local only is on: nothing is downloaded", "busy"
        tip = f"Downloads {fmt.byte_size(row.file_bytes)} from {row.repo or 'its repo'}; it can be paused at any time"
        return "Download", "download-simple", tip, "download"

    def _clicked(self) -> None:
        if self._row is not None and self._action != "busy":
            self.wanted.emit(self._action, self._row.ref)


def _head(row: ModelRow) -> tuple[str, str]:
    """Nothing is called slow, nor praised, whose speed nobody knows."""
    if row.tok_s_low is None and row.verdict != "gpu":
        return "hourglass", "A small one until the speed is measured"
    return ("star", "Recommended for this machine") if row.rank == 1 else ("info", "Runs here, but slowly")


class _Choice(QWidget):
    """One recommended model: what it is called, why, and its button."""

    acted = Signal(str, str)
    details_wanted = Signal(str)

    def __init__(self, *, main: bool) -> None:
        super().__init__()
        self._ref = ""
        self._main = main
        self._mark = icons.IconMark("star", "accent", 14)
        self._label = parts.label(role="caption", tone="accent")
        self._name = parts.label(role="heading" if main else "strong", wrap=True)
        self._reason = parts.label(tone="" if main else "muted", wrap=True)
        self._facts = parts.label(role="caption", tone="muted", wrap=True)
        self._button = ActionButton(primary=main)
        self._button.wanted.connect(self.acted)
        self._details = parts.button("Details", "Show the numbers behind this model below", kind="quiet")
        self._details.clicked.connect(lambda: self.details_wanted.emit(self._ref))
        over = parts.row(self._mark, self._label, gap=theme.HAIR + 2)
        over.addStretch(1)
        text = parts.column(gap=theme.HAIR if main else 2)
        text.addLayout(over)
        self._space = parts.label(role="caption", tone="caution", wrap=True)
        for part in (self._name, self._reason, self._facts, self._space):
            text.addWidget(part)
        self._facts.setVisible(main)
        text.addStretch(1)
        buttons = parts.row(self._button, self._details, gap=theme.HAIR)
        if main:
            buttons.addStretch(1)
        way = QBoxLayout.Direction.TopToBottom if main else QBoxLayout.Direction.LeftToRight
        layout = QBoxLayout(way, self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.TIGHT if main else theme.ROOM)
        layout.addLayout(text, 1)
        layout.addLayout(buttons)
        if not main:
            layout.setAlignment(buttons, Qt.AlignmentFlag.AlignVCenter)

    def show_row(self, row: ModelRow, view: ModelsView, share: float | None, head: tuple[str, str]) -> None:
        self._ref = row.ref
        self._mark.show_icon(head[0], "accent")
        self._label.setText(head[1])
        self._name.setText(words.title(row))
        if self._main:
            self._facts.setText(words.unbroken(words.facts(row)))
        speed = "" if self._main else f"{words.speed(row)} tok/s, {fmt.byte_size(row.file_bytes)}."
        self._reason.setText(words.unbroken(" ".join(part for part in (row.reason, speed) if part)))
        self._reason.setVisible(bool(self._reason.text()))
        wanted = row.file_bytes if row.state == "available" else 0
        self._space.setText(file_words.lack_of_room(wanted, view.folder_free_bytes))
        self._space.setVisible(bool(self._space.text()))
        self._button.show_row(row, view, share)
        self._details.setAccessibleName(f"Details of {words.title(row)}")

    def button(self) -> ActionButton:
        return self._button


class RecommendationCard(QFrame):
    """`download_requested`, `use_requested` and `details_wanted` carry a ref, `lever_chosen` a LeverLine."""

    download_requested = Signal(str)
    use_requested = Signal(str)
    details_wanted = Signal(str)
    lever_chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("card", "surface")
        self.setAccessibleName("Recommendation")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self._lever: LeverLine | None = None
        self._main, self._faster, self._better = _Choice(main=True), _Choice(main=False), _Choice(main=False)
        for choice in (self._main, self._faster, self._better):
            choice.acted.connect(self._acted)
            choice.details_wanted.connect(self.details_wanted)
        self._rule = parts.rule()
        self._others = QWidget()
        beside = QVBoxLayout(self._others)
        beside.setContentsMargins(0, 0, 0, 0)
        beside.setSpacing(theme.TIGHT)
        for part in (self._faster, self._rule, self._better):
            beside.addWidget(part)
        beside.addStretch(1)
        self._empty = self._make_empty()
        self._between = parts.card("rule")
        self._box = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._box.setContentsMargins(theme.ROOM, theme.GAP, theme.ROOM, theme.GAP)
        self._box.setSpacing(theme.ROOM)
        self._box.addWidget(self._main, 11)
        self._box.addWidget(self._empty, 11)
        self._box.addWidget(self._between)
        self._box.addWidget(self._others, 10)
        self.set_narrow(False)

    def _make_empty(self) -> QWidget:
        self._empty_title = parts.label(role="heading", wrap=True)
        self._empty_text = parts.label(tone="muted", wrap=True)
        self._try = parts.button("", "", kind="primary")
        self._try.clicked.connect(lambda: self.lever_chosen.emit(self._lever))
        made = QWidget()
        layout = QVBoxLayout(made)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.TIGHT)
        layout.addWidget(self._empty_title)
        layout.addWidget(self._empty_text)
        layout.addWidget(self._try, 0, Qt.AlignmentFlag.AlignLeft)
        return made

    def set_narrow(self, narrow: bool) -> None:
        """One above the other where there is little room."""
        way = QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight
        self._box.setDirection(way)
        for line, across in ((self._between, narrow),):
            line.setFixedSize(*(16_777_215, 1) if across else (1, 16_777_215))
            line.setMinimumSize(0, 0)

    def show_view(self, view: ModelsView) -> None:
        ranked = {row.rank: row for row in view.rows if row.rank is not None}
        shares = {line.ref: file_words.share(line) for line in view.downloads}
        first = ranked.get(1)
        shown = first or ranked.get(2) or words.fastest(view)
        self._main.setVisible(shown is not None)
        self._empty.setVisible(shown is None)
        if shown is not None:
            head = _head(shown)
            self._main.show_row(shown, view, shares.get(shown.ref), head)
        else:
            self._say_empty(view)
        others = {rank: row for rank, row in ranked.items() if row is not shown and rank != 1}
        for choice, rank in ((self._faster, 2), (self._better, 3)):
            row = others.get(rank)  # type: ignore[call-overload]  # the keys are ranks
            choice.setVisible(row is not None)
            if row is not None:
                choice.show_row(row, view, shares.get(row.ref), _OTHERS[rank])
        self._rule.setVisible(len(others) == 2)
        self._between.setVisible(bool(others))
        self._others.setVisible(bool(others))

    def _say_empty(self, view: ModelsView) -> None:
        found = words.closest(view)
        self._lever = None
        if not view.rows or not view.machine.devices or found is None:
            self._empty_title.setText("Looking for a model that fits…")
            self._empty_text.setText("The free memory of this machine is being read.")
            self._try.hide()
            return
        row, self._lever = found
        self._empty_title.setText("Nothing in the catalogue fits this machine now")
        needs = f"{words.title(row)} comes closest: it needs {fmt.byte_size(row.missing_bytes)} more than is free."
        if self._lever is None:
            self._empty_text.setText(
                f"{needs} Close other programs that use memory, or compare with a cloud model or with Practice."
            )
            self._try.hide()
            return
        action, effect = words.lever_action(self._lever), words.lever(self._lever)[1]
        self._empty_text.setText(words.unbroken(f"{needs} {action}: {effect}."))
        self._try.setText(action)
        self._try.setAccessibleName(action)
        self._try.setVisible(True)

    def _acted(self, action: str, ref: str) -> None:
        (self.use_requested if action == "use" else self.download_requested).emit(ref)

    def main_button(self) -> ActionButton:
        return self._main.button()

    def text(self) -> str:
        """The empty state's words, or empty while a model is recommended."""
        return "" if self._empty.isHidden() else f"{self._empty_title.text()} {self._empty_text.text()}"
