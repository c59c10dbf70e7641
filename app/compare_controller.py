"""Compare: a click becomes runs, their events go back to the lanes. Must not paint, and must not know any protocol."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QObject, Slot

from app.engine_thread import EngineThread, Inbox
from backends.compare import Comparison
from backends.errors import NearfarError, Problem
from backends.events import Event, Terminal
from backends.ids import new_id
from backends.records import Prompt, RunRequest, RunResult, Target
from backends.targets import parse_target
from backends.workbench import Workbench
from widgets.compare_page import ComparePage
from widgets.values import Ask, LaneAsk
from widgets.verdict import LaneOutcome, verdict


@dataclass(slots=True)
class _Live:
    """One comparison under way: which run shows in which lane, and how to stop it."""

    comparison: Comparison
    lanes: dict[str, str]
    waiting: set[str]


class CompareController(QObject):
    """Lives on the GUI thread; everything it starts lives on the engine thread."""

    def __init__(
        self,
        page: ComparePage,
        engine: EngineThread,
        bench: Workbench,
        *,
        ask_key: Callable[[Target], bool],
        on_activity: Callable[[], None],
    ) -> None:
        """`ask_key` shows the key dialog and says whether there is a key now; `on_activity` refreshes the top bar."""
        super().__init__(page)
        self._page = page
        self._engine = engine
        self._bench = bench
        self._ask_key = ask_key
        self._on_activity = on_activity
        self._inbox = Inbox(self._show, self)
        self._live: list[_Live] = []
        self._last: Ask | None = None
        self._outcomes: dict[str, LaneOutcome] = {}
        page.run_requested.connect(self.run)
        page.stop_requested.connect(self.stop)
        page.lane_stop_requested.connect(self.stop_lane)
        page.lane_retry_requested.connect(self.retry)
        page.lane_removed.connect(self.stop_lane)

    @property
    def busy(self) -> bool:
        return bool(self._live)

    @Slot(object)
    def run(self, ask: Ask) -> None:
        """Start a comparison; what cannot start says why and loses nothing."""
        if self.busy:
            return
        self._last = ask
        self._outcomes.clear()
        self._page.show_verdict("")
        self._start(ask, ask.lanes)

    @Slot(str)
    def retry(self, lane_id: str) -> None:
        """Ask one lane again, whatever state its last run is in."""
        lane = next((lane for lane in self._last.lanes if lane.lane_id == lane_id), None) if self._last else None
        if self._last is None or lane is None:
            return
        self.stop_lane(lane_id)
        current = LaneAsk(lane_id, self._page.lane(lane_id).target_name)
        self._outcomes.pop(lane_id, None)
        self._start(self._last, (current,))

    @Slot()
    def stop(self) -> None:
        for live in self._live:
            self._engine.call(live.comparison.stop_all)

    @Slot(str)
    def stop_lane(self, lane_id: str) -> None:
        for live in self._live:
            for run_id, lane in live.lanes.items():
                if lane == lane_id:
                    self._engine.call(lambda stop=live.comparison.stop, run=run_id: stop(run))  # type: ignore[misc]  # defaults bind the loop's values

    def _start(self, ask: Ask, lanes: Sequence[LaneAsk]) -> None:
        try:
            requests = [self._request(ask, lane) for lane in lanes]
            if not all(self._allowed(request.target) for request in requests):
                return
        except NearfarError as error:
            self._page.show_problem(error.problem)
            return
        self._page.show_problem(None)
        record = self._bench.record(requests, ask.mode)

        def emit(event: Event) -> None:
            record(event)
            self._inbox.put(event)

        comparison = Comparison(requests, self._bench.engine_for, emit, ask.mode)
        by_run = {request.run_id: lane.lane_id for request, lane in zip(requests, lanes, strict=True)}
        live = _Live(comparison, by_run, set(by_run))
        self._live.append(live)
        self._inbox.work_began()
        self._page.set_running(True)
        self._engine.ask(comparison.run(), lambda _none: self._inbox.work_ended(), self._defect)

    def _request(self, ask: Ask, lane: LaneAsk) -> RunRequest:
        prompt = Prompt.ask(ask.prompt, ask.system)
        return RunRequest(new_id("run"), parse_target(lane.target), prompt, ask.sampling)

    def _allowed(self, target: Target) -> bool:
        return not self._bench.needs_key(target) or self._ask_key(target)

    def _defect(self, _error: BaseException) -> None:
        self._inbox.work_ended()
        self._page.show_problem(Problem("defect", "Nearfar made a mistake in this comparison.", "", "Try again."))

    def _show(self, batch: list[Event]) -> bool:
        by_lane: dict[str, list[Event]] = defaultdict(list)
        for event in batch:
            lane_id = self._lane_of(event.run_id)
            if lane_id is not None:
                by_lane[lane_id].append(event)
        for lane_id, events in by_lane.items():
            self._page.show_events(lane_id, events)
            for event in events:
                if isinstance(event, Terminal):
                    self._ended(lane_id, event)
        return self._page.tick()

    def _lane_of(self, run_id: str) -> str | None:
        for live in self._live:
            lane_id = live.lanes.get(run_id)
            if lane_id is not None:
                return lane_id if lane_id in self._page.lane_ids else None
        return None
