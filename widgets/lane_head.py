"""The top of a lane: its target, where it runs, its actions and the line that says how the run stands.

Must not know answers or figures.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from backends.records import EngineReport
from widgets import format as fmt
from widgets import icons, parts, theme
from widgets.lane_state import LaneState, Phase
from widgets.load_words import place_text, report_text, report_tip
from widgets.progress_rule import ProgressRule
from widgets.target_picker import TargetPicker
from widgets.values import LoadNote, TargetAction, TargetChoice

PRACTICE_TEXT = "practice: the demo model served on this machine"
DEMO_TEXT = "tiny demo model: shows the app, knows little"
_PHASE_ICON: dict[Phase, tuple[str, str]] = {
    "idle": ("circle", "muted"),
    "queued": ("hourglass", "muted"),
    "starting": ("circle-half", "accent"),
    "loading": ("download-simple", "accent"),
    "waiting": ("hourglass", "accent"),
    "reading": ("book-open", "accent"),
    "thinking": ("brain", "accent"),
    "answering": ("pencil-simple", "accent"),
    "done": ("check-circle", "here"),
    "incomplete": ("warning", "caution"),
    "stopped": ("stop-circle", "muted"),
    "failed": ("warning-circle", "danger"),
    "interrupted": ("warning", "caution"),
}


class LaneHead(QWidget):
    """Signals say which button was pressed; the lane decides what it means."""

    target_chosen = Signal(str)
    action_wanted = Signal(str)
    stop_pressed = Signal()
    retry_pressed = Signal()
    remove_pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._picker = TargetPicker()
        self._picker.chosen.connect(self._picked)
        self._picker.action_wanted.connect(self.action_wanted)
        self._stop = parts.icon_button("stop-fill", "Stop this lane", tone="danger")
        self._retry = parts.icon_button(
            "arrow-clockwise", "Retry this lane", "Ask this lane again with the same prompt"
        )
        self._remove = parts.icon_button("x", "Remove this lane")
        self._stop.clicked.connect(self.stop_pressed)
        self._retry.clicked.connect(self.retry_pressed)
        self._remove.clicked.connect(self.remove_pressed)
        self._where = parts.Badge()
        self._retires = parts.Badge()
        self._detail = _DetailLine()
        self._mark = icons.IconMark("circle", "muted", 14)
        self._status = parts.Elided(role="caption")
        self._bar = ProgressRule()
        self._lay_out()
        self._shown = LaneState()
        self.show_state(self._shown)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.TIGHT)
        layout.addLayout(parts.row(self._picker, self._stop, self._retry, self._remove, gap=theme.HAIR))
        where = parts.row(self._where)
        where.addStretch(1)
        layout.addLayout(where)
        detail = parts.row(self._detail, self._retires)
        detail.setStretch(0, 1)
        self._detail.setMinimumHeight(self._retires.sizeHint().height())  # level with lanes that show the badge
        layout.addLayout(detail)
        status = parts.row(self._mark, self._status, gap=theme.HAIR + 2)
        layout.addLayout(status)
        layout.addWidget(self._bar)

    def tab_stops(self) -> list[QWidget]:
        return [self._picker, self._stop, self._retry, self._remove]

    @property
    def picker(self) -> TargetPicker:
        return self._picker

    def choice(self) -> TargetChoice | None:
        return self._picker.choice()

    def set_choices(self, choices: Sequence[TargetChoice], actions: Sequence[TargetAction] = ()) -> None:
        self._picker.set_choices(choices, actions)
        self._say_where()

    def choose(self, name: str) -> None:
        self._picker.choose(name)
        self._shown = LaneState()
        self._say_where()

    def set_removable(self, removable: bool) -> None:
        self._remove.setEnabled(removable)
        self._remove.setToolTip("Remove this lane" if removable else "The last lane stays")

    def show_state(self, state: LaneState) -> None:
        """Put the run's phase into words, an icon and, where it has a length, a bar."""
        self._shown = state
        icon, tone = _PHASE_ICON[state.phase]
        self._mark.show_icon(icon, tone)
        choice = self.choice()
        text = state.status_text(choice.size_bytes if choice is not None else None)
        if text != self._status.text():
            self._status.setText(text)
        parts.set_tip(self._status, state.status_tip() if state.phase == "done" else text)
        parts.set_tone(self._status, tone if tone in ("danger", "caution") else "")
        self._bar.show_progress(state.progress())
        self._stop.setVisible(state.live or state.phase == "queued")
        self._retry.setVisible(state.ended or state.can_repeat or bool(state.notice))
        self._picker.setEnabled(not (state.live or state.phase == "queued"))
        self._say_detail()

    def status_text(self) -> str:
        return self._status.text()

    def where_text(self) -> str:
        return self._where.text()

    def retires_text(self) -> str:
        return "" if self._retires.isHidden() else self._retires.text()

    def detail_text(self) -> str:
        return self._detail.whole()

    def _picked(self, name: str) -> None:
        self._shown = LaneState()
        self._say_where()
        self.target_chosen.emit(name)

    def _say_where(self) -> None:
        choice = self.choice()
        if choice is None:
            self._where.hide()
            self._retires.hide()
        elif choice.is_here:
            self._where.show_text("on this machine", "desktop", "here", "The prompt and the answer stay here.")
        else:
            tip = f"The prompt is sent to {choice.where}."
            self._where.show_text(f"leaves this machine: {choice.where}", "cloud-arrow-up", "away", tip)
        retires = choice.retires_on if choice is not None else None
        tip = "The provider ends this model then. Choose its successor in the list." if retires else ""
        self._retires.show_text(fmt.retirement(retires) if retires else "", "calendar", "caution", tip)
        self._say_detail()

    def _say_detail(self) -> None:
        """What answers, and what of the person's wishes it was not told; the tooltip has all of it."""
        state = self._shown
        detail = self._detail_text(state.report, state.load)
        short = detail if state.report is None else place_text(state.report)
        whole = [detail if state.report is None else report_tip(state.report, state.load)]
        if state.ended:
            not_sent = state.not_sent()
            whole += [f"Not sent: {', '.join(not_sent)}."] if not_sent else []
            whole += dict.fromkeys(remark.text for remark in state.remarks)
        lasting = state.lasting()
        self._detail.show_texts(
            " · ".join((*lasting, detail)), short=" · ".join((*lasting, short)), tip="\n".join(whole)
        )
        self._detail.setAccessibleDescription("\n".join(whole[1:]))

    def _detail_text(self, report: EngineReport | None, load: LoadNote | None) -> str:
        choice = self.choice()
        if choice is None:
            return ""
        if report is not None:
            return report_text(report, load)
        if choice.is_practice:
            return PRACTICE_TEXT
        if choice.is_demo:
            return DEMO_TEXT
        return choice.detail or choice.name


class _DetailLine(parts.Elided):
    """One line that gives up its last part, which is less needed, before it ends in an ellipsis."""

    def __init__(self) -> None:
        super().__init__(role="caption", tone="muted")
        self._whole = self._short = self._tip = ""

    def show_texts(self, whole: str, short: str, tip: str) -> None:
        self._whole, self._short, self._tip = whole, short, tip
        self._choose()

    def whole(self) -> str:
        return self._whole

    def _choose(self) -> None:
        fits = self.fontMetrics().horizontalAdvance(self._whole) <= self.width()
        self.setText(self._whole if fits else self._short)
        self.setAccessibleName(self._whole)
        parts.set_tip(self, self._tip)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._choose()
