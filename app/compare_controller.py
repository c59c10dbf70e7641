"""Compare: a click becomes runs, their events go back to the lanes. Must not paint, and must not know any protocol."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QObject, Slot

from app.engine_thread import EngineThread, Inbox
from backends.cloud.providers import model_of
from backends.compare import Comparison
from backends.errors import CloudModelUnknown, NearfarError, Problem, UsageError
from backends.events import Emit, Event, Failed, Loaded, is_terminal
from backends.ids import new_id
from backends.models.errors import WouldNotFit
from backends.records import Prompt, RunRequest, Target
from backends.targets import parse_target
from backends.workbench import Workbench
from widgets import verdict
from widgets.compare_page import ComparePage
from widgets.values import Ask, LaneAsk, LoadNote, StoredComparison, Vote

AskKey = Callable[[Target], bool]


@dataclass(slots=True)
class _Live:
    """One comparison or retry under way: which run shows in which lane, and which have not ended."""

    comparison: Comparison
    lanes: dict[str, str]
    open_runs: set[str]


class CompareController(QObject):
    """Lives on the GUI thread; everything it starts lives on the engine thread.

    `ask_key` shows the key dialog and says whether there is a key now; `changed` is called when the top bar or the
    history may have news; `would_not_fit` with lane, target and run where a local model was not loaded for that.
    """

    def __init__(
        self,
        page: ComparePage,
        engine: EngineThread,
        bench: Workbench,
        *,
        ask_key: AskKey,
        changed: Callable[[], None],
        would_not_fit: Callable[[str, str, str], None],
    ) -> None:
        super().__init__(page)
        self._page = page
        self._engine = engine
        self._bench = bench
        self._ask_key = ask_key
        self._changed = changed
        self._would_not_fit = would_not_fit
        self._inbox = Inbox(self._show, self)
        self._live: list[_Live] = []
        self._last: Ask | None = None
        self._comparison_id: str | None = None
        self._places: dict[str, int] = {}  # where each lane stands in the history, also when others are removed
        page.run_requested.connect(self.run)
        page.stop_requested.connect(self.stop)
        page.lane_stop_requested.connect(self.stop_lane)
        page.lane_retry_requested.connect(self.retry)
        page.vote_given.connect(self.vote)
        page.tick_wanted.connect(self._inbox.wake)

    @property
    def busy(self) -> bool:
        return bool(self._live)

    @Slot(object)
    def run(self, ask: Ask) -> None:
        """Start a comparison; what cannot start says why and loses nothing."""
        if not self.busy:
            self._start(ask, ask.lanes)

    def adopt(self, stored: StoredComparison) -> None:
        """The page now shows this comparison from history: a retry asks its question and joins it there."""
        lanes = tuple(LaneAsk(lane_id, self._page.lane(lane_id).target) for lane_id in self._page.lane_ids)
        self._last = Ask(stored.prompt, stored.system, stored.sampling, stored.mode, lanes)
        self._comparison_id = stored.comparison_id
        self._places = {lane.lane_id: place for place, lane in enumerate(lanes)}

    @Slot(str)
    def retry(self, lane_id: str) -> None:
        """Ask one lane again, as the comparison that the page shows was asked, whatever state its last run is in."""
        self.stop_lane(lane_id)
        again = (LaneAsk(lane_id, self._page.lane(lane_id).target),)
        self._start(self._last or self._page.ask(), again, retry=self._last is not None)

    @Slot()
    def stop(self) -> None:
        for live in self._live:
            self._engine.call(live.comparison.stop_all)

    @Slot(str)
    def stop_lane(self, lane_id: str) -> None:
        for live in self._live:
            for run_id in live.open_runs:
                if live.lanes[run_id] == lane_id:
                    self._engine.call(partial(live.comparison.stop, run_id))

    @Slot(str, str)
    def vote(self, lane_id: str, vote: Vote) -> None:
        """Keep a vote with the run that the lane shows, whether it ran just now or was reopened."""
        self._bench.history.recorder.vote(self._page.lane(lane_id).run_id, vote)

    def _start(self, ask: Ask, lanes: Sequence[LaneAsk], *, retry: bool = False) -> None:
        try:
            requests = [_request(ask, lane) for lane in lanes]
            targets = [request.target for request in requests]
            if not self._bench.settings.local_only and not self._has_keys(targets):
                return
            self._bench.access.consent(targets)
        except NearfarError as error:
            self._page.show_problem(error.problem)
            return
        self._last = ask
        self._launch(requests, ask, lanes, self._recording(requests, ask, lanes, retry=retry))

    def _has_keys(self, targets: Sequence[Target]) -> bool:
        return all(self._ask_key(target) for target in targets if self._bench.access.needs_key(target))

    def _recording(self, requests: Sequence[RunRequest], ask: Ask, lanes: Sequence[LaneAsk], *, retry: bool) -> Emit:
        """Where the history takes events; a retry joins the comparison whose lane it repeats."""
        if retry and self._comparison_id is not None:
            place = self._places.setdefault(lanes[0].lane_id, max(self._places.values(), default=-1) + 1)
            return self._bench.record_retry(requests[0], self._comparison_id, place)
        self._comparison_id = new_id("cmp")
        self._places = {lane.lane_id: place for place, lane in enumerate(lanes)}
        return self._bench.record(requests, ask.mode, self._comparison_id)

    def _launch(self, requests: Sequence[RunRequest], ask: Ask, lanes: Sequence[LaneAsk], record: Emit) -> None:
        emit = self._both(record)
        comparison = Comparison(requests, self._bench.engine_for, emit, ask.mode)
        by_run = {request.run_id: lane.lane_id for request, lane in zip(requests, lanes, strict=True)}
        self._live.append(_Live(comparison, by_run, set(by_run)))
        self._page.begin([lane.lane_id for lane in lanes])
        self._page.set_running(True)
        self._inbox.work_began()
        self._engine.ask(self._bench.run(comparison, requests), self._over, self._defect)
        self._changed()

    def _both(self, record: Emit) -> Emit:
        def emit(event: Event) -> None:
            record(event)
            self._inbox.put(event)

        return emit

    def _over(self, _none: None) -> None:
        """Every engine is done with it: also what it cost is written down."""
        self._inbox.work_ended()
        self._changed()

    def _defect(self, _error: BaseException) -> None:
        self._inbox.work_ended()
        self._live.clear()
        self._page.set_running(False)
        self._page.show_problem(Problem("defect", "Nearfar made a mistake in this comparison.", "", "Press Run again."))

    def _show(self, batch: list[Event]) -> bool:
        """One tick: each lane gets its events at once."""
        by_lane: dict[str, list[Event]] = defaultdict(list)
        for event in batch:
            live = next((live for live in self._live if event.run_id in live.lanes), None)
            if live is None:
                continue
            if self._is_shown(live, event.run_id):
                by_lane[live.lanes[event.run_id]].append(event)
            if is_terminal(event):
                live.open_runs.discard(event.run_id)
        for lane_id, events in by_lane.items():
            self._page.show_events(lane_id, events)
            self._show_load(lane_id, events)
            self._offer_another(lane_id, events)
        self._close_ended()
        return self._page.tick()

    def _show_load(self, lane_id: str, events: Sequence[Event]) -> None:
        """What a load took beside what was predicted, or that it would not fit."""
        for event in events:
            if isinstance(event, Loaded):
                seen = self._bench.local.seen(parse_target(self._page.lane(lane_id).target))
                if seen is not None:
                    self._page.show_load(lane_id, LoadNote(seen.real_bytes, seen.predicted_bytes))
            elif isinstance(event, Failed) and event.problem.code == WouldNotFit.code:
                self._would_not_fit(lane_id, event.result.target, event.run_id)

    def _offer_another(self, lane_id: str, events: Sequence[Event]) -> None:
        """Where a provider has no such model, one that it has is one click away."""
        last = events[-1]
        if isinstance(last, Failed) and last.problem.code == CloudModelUnknown.code and lane_id in self._page.lane_ids:
            other = self._bench.servers.instead(parse_target(last.result.target))
            if other is not None:
                self._page.lane(lane_id).offer_target(str(other), model_of(other))

    def _is_shown(self, live: _Live, run_id: str) -> bool:
        """A retried lane shows its newest run only; the old one ends unseen."""
        lane_id = live.lanes[run_id]
        newest = next(other for other in reversed(self._live) if lane_id in other.lanes.values())
        return newest is live

    def _close_ended(self) -> None:
        ended = [live for live in self._live if not live.open_runs]
        if not ended:
            return
        self._live = [live for live in self._live if live.open_runs]
        if not self._live:
            self._page.set_running(False)
            mode = self._last.mode if self._last else "sequence"
            self._page.show_verdict(verdict.sentence(self._page.outcomes(), mode))
            self._changed()


def _request(ask: Ask, lane: LaneAsk) -> RunRequest:
    if not ask.prompt.strip():
        raise UsageError("There is no prompt yet.", fix="Type a question, then press Run.")
    return RunRequest(new_id("run"), parse_target(lane.target), Prompt.ask(ask.prompt, ask.system), ask.sampling)
