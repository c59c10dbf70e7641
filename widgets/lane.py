"""One column: a target, its streaming answer and its figures. Must not know other lanes, engines or the network."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic_ns

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent, QGuiApplication
from PySide6.QtWidgets import QFrame, QStackedWidget, QVBoxLayout, QWidget

from backends.events import Delta, Event, Notice, Started, is_terminal
from widgets import figures, icons, parts, theme
from widgets.answer_view import AnswerView
from widgets.banner import Banner
from widgets.lane_foot import LaneFoot
from widgets.lane_head import LaneHead
from widgets.lane_state import LaneState
from widgets.metrics_strip import MetricsStrip
from widgets.reasoning_box import ReasoningBox
from widgets.values import LoadNote, StoredLane, TargetAction, TargetChoice
from widgets.verdict import Outcome

MAX_CHARS_PER_FLUSH = 3000  # longest slice that keeps a repaint within 8 ms at any answer length
STRIP_EVERY_NS = 100_000_000
MIN_WIDTH = 340  # with larger type its figures ask for more


class Lane(QFrame):
    """Shows one run. Text is queued by `show_events` and painted by `flush`, which the page calls from one timer."""

    stop_requested = Signal(str)
    retry_requested = Signal(str)
    remove_requested = Signal(str)
    target_chosen = Signal(str, str)
    action_wanted = Signal(str, str)
    vote_given = Signal(str, str)
    link_requested = Signal(str)
    answer_dropped = Signal()

    def __init__(self, lane_id: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.lane_id = lane_id
        self.run_id = ""  # of the run that it shows, once that has begun
        self._asked = ""  # the label of the target that this run asked, whatever is chosen for the next
        self.state = LaneState()
        self._queued = False
        self._at_top = False
        self._strip_ns = 0
        self.setProperty("card", "surface")
        self.head = LaneHead()
        self.banner = Banner()
        self.reasoning = ReasoningBox()
        self.view = AnswerView()
        self.strip = MetricsStrip()
        self.foot = LaneFoot()
        self._empty = EmptyLane()
        self._body = QStackedWidget()
        self._body.addWidget(self._empty)
        self._body.addWidget(self.view)
        self._lay_out()
        self._connect()
        self._dress_view()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.GAP, theme.GAP, theme.GAP, theme.TIGHT)
        layout.setSpacing(theme.TIGHT)
        layout.addWidget(self.head)
        layout.addWidget(self.banner)
        layout.addWidget(self.reasoning)
        layout.addWidget(self._body, 1)
        layout.addWidget(self.strip)
        layout.addWidget(self.foot)

    def minimumSizeHint(self) -> QSize:
        """At its real width: wrapped text would otherwise ask for the height it has at its narrowest."""
        layout = self.layout()
        assert layout is not None, "laid out in __init__"
        least = layout.totalMinimumSize().expandedTo(QSize(MIN_WIDTH, 0))
        if layout.hasHeightForWidth():
            least.setHeight(layout.totalMinimumHeightForWidth(max(self.width(), least.width())))
        return least

    def _connect(self) -> None:
        self.head.stop_pressed.connect(lambda: self.stop_requested.emit(self.lane_id))
        self.head.retry_pressed.connect(lambda: self.retry_requested.emit(self.lane_id))
        self.head.remove_pressed.connect(lambda: self.remove_requested.emit(self.lane_id))
        self.head.target_chosen.connect(self._target_chosen)
        self.head.action_wanted.connect(lambda key: self.action_wanted.emit(self.lane_id, key))
        self.banner.taken.connect(self.head.picker.pick)
        self.foot.voted.connect(lambda vote: self.vote_given.emit(self.lane_id, vote))
        self.foot.copy_pressed.connect(self.copy_answer)
        self.view.link_clicked.connect(self.link_requested)

    # -- what it answers with ------------------------------------------------------------------------------------

    @property
    def target(self) -> str:
        """The chosen target's name, or empty."""
        choice = self.head.choice()
        return choice.name if choice is not None else ""

    @property
    def label(self) -> str:
        choice = self.head.choice()
        return choice.label if choice is not None else ""

    def set_targets(self, choices: Sequence[TargetChoice], actions: Sequence[TargetAction] = ()) -> None:
        self.head.set_choices(choices, actions)
        self._name()

    def set_target(self, name: str) -> None:
        """Choose a target without `target_chosen`; an answer of another one goes, unless it is being written."""
        before = self.target
        self.head.choose(name)
        self._renamed(before)

    # -- the run -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Clear the last run and wait for this one to start."""
        self.state.queue()
        self.run_id = ""
        self._asked = self.label
        self._clear()
        self._refresh()

    def show_events(self, events: Sequence[Event]) -> None:
        """Take events in order. Text is queued; phases and messages show at once."""
        for event in events:
            self.run_id = event.run_id
            if isinstance(event, Started):
                self._asked = self.label
                if self.state.phase != "queued":
                    self._clear()
            before = self.state.phase
            self.state.take(event)
            if isinstance(event, Delta):
                self._take_text(event)
            elif isinstance(event, Notice):
                self.banner.show_notice(self.state.notice)
            if is_terminal(event):
                self._ended()
            elif self.state.phase != before or not isinstance(event, Delta):
                self.head.show_state(self.state)

    def show_load(self, note: LoadNote) -> None:
        """What the load of this run took of the memory; known a moment after the model is loaded."""
        self.state.load = note
        self._refresh()

    def show_stored(self, stored: StoredLane) -> None:
        """Show a run from history; its text is painted by `flush`."""
        self.set_target(stored.target)
        self._asked = self.label
        self.run_id = stored.run_id
        self._clear()
        self.state.restore(stored.status, stored.result, stored.problem)
        if stored.result.reasoning_text:
            self.reasoning.append(stored.result.reasoning_text)
        if stored.result.text:
            self._append(stored.result.text)
        self._at_top = True
        self._ended(announce=False)
        self.foot.set_vote(stored.vote)

    def offer_target(self, name: str, label: str) -> None:
        """One click away: another target in place of the one that this run could not ask."""
        self.banner.offer(f"Use {label}", f"Choose {label} in this lane; nothing is sent until you run it", name)

    def flush(self) -> bool:
        """Paint at most one slice of queued text; True while more is queued."""
        if self._queued:
            self._queued = self.view.flush(MAX_CHARS_PER_FLUSH)
            if self._at_top:
                self.view.verticalScrollBar().setValue(0)  # read from the start; the view then stays where it is
        return self._queued

    def refresh_strip(self, now_ns: int) -> None:
        """Repaint the figures of a live run, at most ten times a second."""
        if self.state.live and now_ns - self._strip_ns >= STRIP_EVERY_NS:
            self._strip_ns = now_ns
            self.reasoning.flush()
            self.strip.show_figures(figures.live(self.state, now_ns))
            if self.state.phase == "thinking":
                self.head.show_state(self.state)

    def tab_stops(self) -> list[QWidget]:
        """From top to bottom."""
        return [*self.head.tab_stops(), *self.reasoning.tab_stops(), self.view, *self.foot.tab_stops()]

    @property
    def has_queued(self) -> bool:
        return self._queued

    def outcome(self) -> Outcome:
        return Outcome(self._asked or self.label, self.state.phase, self.state.result)

    def answer_text(self) -> str:
        """The whole answer so far, as the model wrote it."""
        result = self.state.result
        return result.text if result is not None else self.view.source_text()

    def copy_answer(self) -> None:
        QGuiApplication.clipboard().setText(self.answer_text())
        self.foot.say_copied()

    # -- inside --------------------------------------------------------------------------------------------------

    def _take_text(self, delta: Delta) -> None:
        if delta.kind == "reasoning":
            self.reasoning.append(delta.text)
        elif delta.text:
            self._append(delta.text)

    def _append(self, text: str) -> None:
        self.view.append(text)
        self._queued = True
        self._body.setCurrentWidget(self.view)
        self.foot.set_has_answer(True)

    def _ended(self, *, announce: bool = True) -> None:
        state = self.state
        curve = state.meter.rate_curve() if state.meter is not None else ()
        if state.result is not None:
            self.strip.show_figures(figures.final(state.result, curve))
        self.reasoning.flush()
        self.banner.show_notice("")
        self.banner.show_problem(state.problem)
        self.view.finish()
        self._queued = True
        self.foot.set_ended(bool(state.result is not None and state.result.text))
        self._refresh()
        if announce:
            self._announce(f"{self.label}: {state.status_text()}")

    def _clear(self) -> None:
        self.view.clear_answer()
        self.reasoning.clear()
        self._queued = self._at_top = False
        self._body.setCurrentWidget(self._empty)
        self.banner.show_problem(None)
        self.strip.show_figures(figures.blank())
        self.foot.reset()

    def _refresh(self) -> None:
        self.head.show_state(self.state)

    def _target_chosen(self, name: str) -> None:
        self._renamed("")
        self.target_chosen.emit(self.lane_id, name)

    def _renamed(self, before: str) -> None:
        """What an earlier target answered must not stand under the name of this one."""
        self._name()
        if self.state.ended and before != self.target:
            self.state.rest()
            self.run_id = self._asked = ""
            self._clear()
            self.answer_dropped.emit()
        self._refresh()

    def _name(self) -> None:
        self.setAccessibleName(f"Lane: {self.label}")
        self.view.setAccessibleName(f"Answer of {self.label}")
        self._empty.show_choice(self.head.choice())

    def _announce(self, text: str) -> None:
        """Say how the run ended to a screen reader, once per answer and never per token."""
        if QAccessible.isActive():
            QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self, text))

    def _dress_view(self) -> None:
        self.view.apply_style(theme.answer_style())

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "view"):
            self._dress_view()


class EmptyLane(QWidget):
    """What a lane shows before its first answer."""

    def __init__(self) -> None:
        super().__init__()
        self._mark = icons.IconMark("desktop", "outline", 32)
        self._text = parts.label(tone="muted", wrap=True)
        self._text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        layout = QVBoxLayout(self)
        layout.setSpacing(theme.TIGHT)
        layout.addStretch(2)
        layout.addWidget(self._mark, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addWidget(self._text)
        layout.addStretch(3)

    def show_choice(self, choice: TargetChoice | None) -> None:
        here = choice is None or choice.is_here
        self._mark.show_icon("desktop" if here else "cloud", "outline")
        self._text.setText(f"{choice.label} answers here." if choice is not None else "Choose a target above.")


def now_ns() -> int:
    """The clock that events are stamped with."""
    return monotonic_ns()
