"""Where the person types the prompt, sets parameters and presses Run. Must not know lanes or engines."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QPushButton, QVBoxLayout, QWidget

from backends.records import Sampling
from widgets import icons, parts, theme
from widgets.flow import FlowLayout
from widgets.growing_edit import GrowingEdit
from widgets.parameters import Parameters
from widgets.values import Mode

MODES: tuple[tuple[Mode, str, str], ...] = (
    ("sequence", "In sequence", "One lane after the other: fair for speed."),
    ("race", "Race", "All lanes at once: they compete for this machine."),
)


class PromptBox(QFrame):
    """`submitted` and `stopped` say what the person wants; the text stays in the box until they change it."""

    submitted = Signal()
    stopped = Signal()
    mode_chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("card", "surface")
        self._running = False
        self.editor = GrowingEdit("Prompt", min_lines=2, max_lines=8)
        self.editor.setProperty("kind", "prompt")
        self.editor.setPlaceholderText("Ask every lane the same question")
        self.editor.setToolTip(
            "The prompt. Enter runs it on every lane, Shift+Enter begins a new line. Ctrl+L comes back here."
        )
        self.editor.entered.connect(self.submit)
        self.editor.textChanged.connect(self._text_changed)
        self._samples = QWidget()
        self._samples_flow = FlowLayout(self._samples, theme.TIGHT)
        self._parameters = Parameters()
        self._parameters.setVisible(False)
        self._parameters.changed.connect(self._summarise)
        self._more = parts.button(
            "Parameters", "System prompt and sampling parameters (Ctrl+P)",
            icon="sliders-horizontal", kind="quiet", tone="muted",
        )  # fmt: skip
        self._more.setCheckable(True)
        self._more.toggled.connect(self._parameters.setVisible)
        self._summary = parts.Elided(role="caption", tone="muted")
        self._mode = parts.Segments("Lane order", MODES)
        self._mode.chosen.connect(self._mode_picked)
        self._meaning = parts.Elided(role="caption", tone="muted")
        self._estimate = parts.label(role="caption", tone="muted")
        self._run = parts.button("Run", "Ask every lane (Enter)", icon="play-fill", kind="primary", tone="on_accent")
        self._run.clicked.connect(self._submit)
        self._stop = parts.button("Stop", "Stop every lane (Esc)", icon="stop-fill", kind="stop", tone="danger")
        self._stop.clicked.connect(self.stopped)
        self._lay_out()
        self._mode_said()
        self.set_running(False)

    def _lay_out(self) -> None:
        for made in (self._run, self._stop):
            made.setMinimumWidth(96)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.GAP, theme.TIGHT, theme.GAP, theme.TIGHT)
        layout.setSpacing(theme.TIGHT)
        layout.addWidget(self.editor)
        layout.addWidget(self._samples)
        layout.addWidget(self._parameters)
        line = parts.row(self._more, self._mode, gap=theme.TIGHT)
        line.addWidget(self._meaning, 3)
        line.addWidget(self._summary, 1)
        line.addWidget(self._estimate)
        line.addWidget(self._run)
        line.addWidget(self._stop)
        layout.addLayout(line)
        self._samples.hide()
        self._estimate.hide()

    # -- what it holds -------------------------------------------------------------------------------------------

    def prompt(self) -> str:
        """The prompt as typed; empty where there is only white space."""
        text = self.editor.toPlainText()
        return text if text.strip() else ""

    def set_prompt(self, text: str) -> None:
        self.editor.setPlainText(text)
        self.editor.moveCursor(self.editor.textCursor().MoveOperation.End)

    @property
    def parameters(self) -> Parameters:
        return self._parameters

    def system(self) -> str | None:
        return self._parameters.system()

    def sampling(self) -> Sampling:
        return self._parameters.sampling()

    def mode(self) -> Mode:
        return "race" if self._mode.value() == "race" else "sequence"

    def set_mode(self, mode: Mode) -> None:
        self._mode.choose(mode)
        self._mode_said()

    def set_samples(self, samples: Sequence[tuple[str, str]]) -> None:
        """Chips (title, prompt) that are offered while the box is empty."""
        while (item := self._samples_flow.takeAt(0)) is not None:
            chip = item.widget()
            if chip is not None:
                chip.deleteLater()
        for title, prompt in samples:
            offer = parts.button(title, prompt, kind="chip", name=f"Sample prompt: {title}")
            offer.clicked.connect(lambda _checked=False, text=prompt: self._use_sample(text))
            self._samples_flow.addWidget(offer)
        self._text_changed()

    def tab_stops(self) -> list[QWidget]:
        """As the eye goes: the prompt, samples, parameters, then the row of buttons."""
        items = (self._samples_flow.itemAt(at) for at in range(self._samples_flow.count()))
        chips = [chip for item in items if item is not None and (chip := item.widget()) is not None]
        row = [self._more, *self._mode.tab_stops(), self._run, self._stop]
        return [self.editor, *chips, *self._parameters.tab_stops(), *row]

    def set_running(self, running: bool) -> None:
        """Show Stop in place of Run. The prompt stays editable: the next one can be typed meanwhile."""
        had_focus = self._run.hasFocus() or self._stop.hasFocus()
        self._running = running
        self._run.setVisible(not running)
        self._stop.setVisible(running)
        if had_focus:
            (self._stop if running else self._run).setFocus(Qt.FocusReason.OtherFocusReason)
        self._text_changed()

    def meaning(self) -> str:
        """The sentence beside the lane order."""
        return self._meaning.text()

    def show_estimate(self, words: str, tip: str = "") -> None:
        """What this question may cost, beside Run; empty where it costs nothing or that is not known yet."""
        self._estimate.setText(words)
        self._estimate.setAccessibleName(words)
        self._estimate.setAccessibleDescription(tip)
        parts.set_tip(self._estimate, tip)
        self._estimate.setVisible(bool(words))

    def estimate(self) -> str:
        """What stands beside Run."""
        return self._estimate.text()

    def focus(self) -> None:
        self.editor.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def toggle_parameters(self) -> None:
        self._more.toggle()

    def run_button(self) -> QPushButton:
        return self._run

    # -- inside --------------------------------------------------------------------------------------------------

    def submit(self) -> None:
        """As if Run was pressed; does nothing while running or without a prompt."""
        self._submit()

    def _submit(self) -> None:
        if not self._running and self.prompt():
            self.submitted.emit()

    def _use_sample(self, text: str) -> None:
        self.set_prompt(text)
        self.focus()

    def _text_changed(self) -> None:
        empty = not self.editor.toPlainText()
        self._samples.setVisible(empty and self._samples_flow.count() > 0 and not self._running)
        self._run.setEnabled(bool(self.prompt()))

    def _mode_picked(self, mode: str) -> None:
        self._mode_said()
        self.mode_chosen.emit(mode)

    def _mode_said(self) -> None:
        self._meaning.setText(next(tip for mode, _, tip in MODES if mode == self.mode()))

    def _summarise(self) -> None:
        self._summary.setText(self._parameters.summary())
        icons.dress(self._more, "sliders-horizontal", "accent" if self._parameters.summary() else "muted")
