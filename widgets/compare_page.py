"""The Compare page: lanes side by side above the prompt. Must not know engines, history or where text comes from.

Driving it: `set_targets`, `add_lane`, then on `run_requested` either refuse (`show_problem`) or accept (`begin` the
lanes, `set_running(True)`), give every lane its events by `show_events`, call `tick` from one timer about every 16 ms
while runs are live or `tick` returns True, and end with `set_running(False)` and `show_verdict`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from backends.errors import Problem
from backends.events import Event
from widgets import icons, parts, theme, verdict
from widgets.banner import Banner
from widgets.lane import Lane, now_ns
from widgets.prompt_box import PromptBox
from widgets.values import MAX_LANES, Ask, LaneAsk, LoadNote, Mode, StoredComparison, TargetAction, TargetChoice

ADD_WIDTH = 36


class _LaneRow(QHBoxLayout):
    """Lanes take the height there is: a long message makes its answer shorter, not the page taller."""

    def hasHeightForWidth(self) -> bool:
        return False


class ComparePage(QWidget):
    """Signals: what the person wants. `tick_wanted` asks for `tick` calls when text was queued outside a run."""

    run_requested = Signal(object)
    stop_requested = Signal()
    lane_stop_requested = Signal(str)
    lane_retry_requested = Signal(str)
    target_chosen = Signal(str, str)
    action_wanted = Signal(str, str)
    lane_added = Signal(str)
    lane_removed = Signal(str)
    link_requested = Signal(str)
    vote_given = Signal(str, str)
    mode_chosen = Signal(str)
    tick_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices: tuple[TargetChoice, ...] = ()
        self._actions: tuple[TargetAction, ...] = ()
        self._lanes: dict[str, Lane] = {}
        self._numbers = count(1)
        self._turn = 0
        self._running = False
        self._mode_run: Mode = "sequence"
        self._scroll = QScrollArea()
        self.prompt_box = PromptBox()
        self._banner = Banner(closable=True)
        self._add = parts.icon_button("plus", "Add lane", "Add lane: compare one more target (Ctrl+T)")
        self._add.setProperty("kind", "add")
        self._add.setFixedWidth(ADD_WIDTH)
        self._add.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        self._add.clicked.connect(self._add_pressed)
        self._verdict = parts.label(wrap=True)
        self._verdict.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._verdict_card = parts.card("verdict")
        self._lane_row = _LaneRow()
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        self._lane_row.setContentsMargins(0, 0, 0, 0)
        self._lane_row.setSpacing(theme.GAP)
        inner = QWidget()
        inner.setProperty("ground", "clear")
        inner.setLayout(self._lane_row)
        scroll = self._scroll
        scroll.setWidgetResizable(True)
        scroll.setWidget(inner)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.ROOM, theme.GAP, theme.ROOM, theme.ROOM)
        layout.setSpacing(theme.GAP)
        layout.addWidget(self._banner)
        lanes = parts.row(scroll, self._add, gap=theme.GAP)
        lanes.setStretch(0, 1)
        layout.addLayout(lanes, 1)
        layout.addWidget(self._verdict_card)
        layout.addWidget(self.prompt_box)
        said = QHBoxLayout(self._verdict_card)
        said.setContentsMargins(theme.GAP, theme.TIGHT, theme.GAP, theme.TIGHT)
        said.setSpacing(theme.TIGHT)
        said.addWidget(icons.IconMark("scales", "muted", 18), 0, Qt.AlignmentFlag.AlignTop)
        said.addWidget(self._verdict, 1)
        self._verdict_card.hide()

    def _connect(self) -> None:
        self.prompt_box.submitted.connect(self._submit)
        self.prompt_box.stopped.connect(self.stop_requested)
        self.prompt_box.mode_chosen.connect(self.mode_chosen)
        keys = {
            "Ctrl+Return": self.prompt_box.submit,
            "Ctrl+Enter": self.prompt_box.submit,
            "Ctrl+L": self.prompt_box.focus,
            "Ctrl+P": self.prompt_box.toggle_parameters,
            "Ctrl+T": self._add_pressed,
            "Esc": self._escape,
        }
        for key, action in keys.items():
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(action)

    # -- lanes ---------------------------------------------------------------------------------------------------

    def set_targets(self, choices: Sequence[TargetChoice], actions: Sequence[TargetAction] = ()) -> None:
        """What lanes can choose from; lanes keep their target and take over its newer description.

        `action_wanted` carries the lane and the key of an action that was chosen there.
        """
        self._choices = tuple(choices)
        self._actions = tuple(actions)
        for lane in self._lanes.values():
            lane.set_targets(self._choices, self._actions)

    def add_lane(self, target: str) -> str:
        """Add a lane at the right, without a signal; returns its id. ValueError beyond four lanes."""
        if len(self._lanes) >= MAX_LANES:
            raise ValueError(f"at most {MAX_LANES} lanes")
        lane = Lane(f"lane-{next(self._numbers)}")
        lane.set_targets(self._choices, self._actions)
        lane.set_target(target)
        lane.stop_requested.connect(self.lane_stop_requested)
        lane.retry_requested.connect(self.lane_retry_requested)
        lane.remove_requested.connect(self._remove_pressed)
        lane.target_chosen.connect(self.target_chosen)
        lane.action_wanted.connect(self.action_wanted)
        lane.vote_given.connect(self.vote_given)
        lane.link_requested.connect(self.link_requested)
        lane.answer_dropped.connect(self._compare_anew)
        self._lanes[lane.lane_id] = lane
        self._lane_row.addWidget(lane, 1)
        self._lanes_changed()
        self._order_tabs()
        return lane.lane_id

    def remove_lane(self, lane_id: str) -> None:
        """Take a lane away, without a signal. What was said of it goes with it."""
        lane = self._lanes.pop(lane_id)
        self._lane_row.removeWidget(lane)
        lane.hide()
        lane.view.clear_answer()  # in slices, where deleting it with its widget would take it at once
        lane.deleteLater()
        self._compare_anew()
        self._lanes_changed()

    @property
    def lane_ids(self) -> tuple[str, ...]:
        """From left to right."""
        return tuple(self._lanes)

    def lane(self, lane_id: str) -> Lane:
        """KeyError for a lane that is gone."""
        return self._lanes[lane_id]

    def focus_main(self) -> None:
        """Where typing goes when the page is opened."""
        self.prompt_box.focus()

    # -- a run ---------------------------------------------------------------------------------------------------

    def ask(self) -> Ask:
        """What Run would ask for now."""
        box = self.prompt_box
        lanes = tuple(LaneAsk(lane_id, lane.target) for lane_id, lane in self._lanes.items() if lane.target)
        return Ask(box.prompt(), box.system(), box.sampling(), box.mode(), lanes)

    def begin(self, lane_ids: Iterable[str] | None = None) -> None:
        """Clear these lanes (all by default) and show them waiting for their turn."""
        for lane_id in self._lanes if lane_ids is None else lane_ids:
            self._lanes[lane_id].begin()
        self._mode_run = self.prompt_box.mode()
        self.show_verdict("")
        self.show_problem(None)

    def show_events(self, lane_id: str, events: Sequence[Event]) -> None:
        """Give a lane its run's events, in order. Events for a lane that is gone are dropped."""
        lane = self._lanes.get(lane_id)
        if lane is not None:
            lane.show_events(events)

    def show_load(self, lane_id: str, note: LoadNote) -> None:
        """Predicted beside real memory of the model that this lane loaded. For a lane that is gone it is dropped."""
        lane = self._lanes.get(lane_id)
        if lane is not None:
            lane.show_load(note)

    def tick(self) -> bool:
        """Paint one lane's queued text and refresh figures; True while text is queued."""
        lanes = list(self._lanes.values())
        for step in range(len(lanes)):
            lane = lanes[(self._turn + step) % len(lanes)]
            if lane.has_queued:
                lane.flush()
                self._turn = (self._turn + step + 1) % len(lanes)
                break
        now = now_ns()
        for lane in lanes:
            lane.refresh_strip(now)
        return any(lane.has_queued for lane in lanes)

    def set_running(self, running: bool) -> None:
        """A comparison or a retry is under way: Stop instead of Run, lanes cannot be added or removed."""
        self._running = running
        self.prompt_box.set_running(running)
        self._lanes_changed()

    def show_problem(self, problem: Problem | None) -> None:
        """A problem of the whole comparison, above the lanes; the prompt stays where it is."""
        self._banner.show_problem(problem)

    def show_verdict(self, text: str) -> None:
        """The sentence under the lanes that compares them; see `verdict.sentence` and `outcomes`."""
        self._verdict.setText(text)
        self._verdict_card.setVisible(bool(text))

    def verdict_text(self) -> str:
        return self._verdict.text()

    def problem_text(self) -> str:
        """What the banner above the lanes says, or empty."""
        return self._banner.text()

    def outcomes(self) -> tuple[verdict.Outcome, ...]:
        """How the lanes stand, for `verdict.sentence`."""
        return tuple(lane.outcome() for lane in self._lanes.values())

    # -- what it holds -------------------------------------------------------------------------------------------

    def set_prompt(self, text: str) -> None:
        self.prompt_box.set_prompt(text)

    def set_samples(self, samples: Sequence[tuple[str, str]]) -> None:
        """(title, prompt) pairs, offered as chips while the prompt is empty."""
        self.prompt_box.set_samples(samples)
        self._order_tabs()

    def show_comparison(self, stored: StoredComparison) -> None:
        """Reopen a comparison from history in place of what is shown. Not while running."""
        shown = stored.lanes[:MAX_LANES]
        for lane_id in self.lane_ids[len(shown) :]:
            self.remove_lane(lane_id)
        for stored_lane in shown[len(self._lanes) :]:
            self.add_lane(stored_lane.target)
        for lane, stored_lane in zip(self._lanes.values(), shown, strict=True):  # lanes stay: a new one takes 6 ms
            lane.show_stored(stored_lane)
        box = self.prompt_box
        box.set_prompt(stored.prompt)
        box.parameters.set_system(stored.system)
        box.parameters.set_sampling(stored.sampling)
        box.set_mode(stored.mode)
        self.show_problem(None)
        self._mode_run = stored.mode
        self.show_verdict(verdict.sentence(self.outcomes(), stored.mode))
        self.tick_wanted.emit()

    # -- inside --------------------------------------------------------------------------------------------------

    def _compare_anew(self) -> None:
        """Fewer lanes hold an answer than the verdict speaks of."""
        if self.verdict_text():
            self.show_verdict(verdict.sentence(self.outcomes(), self._mode_run))

    def _submit(self) -> None:
        self.run_requested.emit(self.ask())

    def _escape(self) -> None:
        if self._running:
            self.stop_requested.emit()

    def _add_pressed(self) -> None:
        if self._running or len(self._lanes) >= MAX_LANES:
            return
        used = {lane.target for lane in self._lanes.values()}
        open_to_choose = [choice for choice in self._choices if choice.disabled_reason is None]
        # One that stays here: what leaves this machine is chosen by the person, never by a shortcut.
        fresh = next((choice for choice in open_to_choose if choice.name not in used and choice.is_here), None)
        target = fresh or next(iter(open_to_choose), None)
        if target is not None:
            lane_id = self.add_lane(target.name)
            QTimer.singleShot(0, self, lambda: self._bring_into_view(lane_id))
            self.lane_added.emit(lane_id)

    def _bring_into_view(self, lane_id: str) -> None:
        """Once it is laid out: with little room, a new lane lies beyond the right edge."""
        lane = self._lanes.get(lane_id)
        inner = self._scroll.widget()
        if lane is not None and inner is not None:
            self._lane_row.activate()
            inner.adjustSize()
            self._scroll.ensureWidgetVisible(lane, 0, 0)

    def _remove_pressed(self, lane_id: str) -> None:
        if len(self._lanes) > 1:
            self.remove_lane(lane_id)
            self.lane_removed.emit(lane_id)

    def _order_tabs(self) -> None:
        """Lanes from left to right, then the prompt, whenever each was made."""
        lanes = [stop for lane in self._lanes.values() for stop in lane.tab_stops()]
        parts.tab_order([self._banner, *lanes, self._add, *self.prompt_box.tab_stops()])

    def _lanes_changed(self) -> None:
        removable = len(self._lanes) > 1 and not self._running
        for lane in self._lanes.values():
            lane.head.set_removable(removable)
        self._add.setEnabled(not self._running)
        self._add.setVisible(len(self._lanes) < MAX_LANES)
