"""Where one lane's run stands, from the events it was given. Pure: must not know Qt, nor how a lane looks."""

from __future__ import annotations

from typing import Literal

from backends.endings import Cut, cut_by
from backends.errors import Problem
from backends.events import (
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Loaded,
    Loading,
    Notice,
    Prefill,
    Sent,
    Started,
)
from backends.metrics import Meter
from backends.other_work import MACHINE_BUSY
from backends.records import EngineReport, RunResult
from widgets import format as fmt
from widgets.values import EndStatus, LoadNote

Phase = Literal[
    "idle", "queued", "starting", "loading", "waiting", "reading", "thinking", "answering",
    "done", "incomplete", "stopped", "failed", "interrupted",
]  # fmt: skip

LIVE: frozenset[Phase] = frozenset({"starting", "loading", "waiting", "reading", "thinking", "answering"})
ENDED: frozenset[Phase] = frozenset({"done", "incomplete", "stopped", "failed", "interrupted"})
PHASE_OF: dict[EndStatus, Phase] = {
    "finished": "done",
    "incomplete": "incomplete",
    "failed": "failed",
    "cancelled": "stopped",
    "interrupted": "interrupted",
}
_FIXED_TEXT: dict[Phase, str] = {
    "idle": "Ready",
    "queued": "Waiting for its turn",
    "starting": "Starting",
    "waiting": "Waiting for the first token",
    "answering": "Answering",
    "incomplete": "Incomplete: the stream ended before the answer did",
    "stopped": "Stopped",
    "failed": "Failed",
    "interrupted": "Interrupted: the app was closed while this run was under way",
}
# Notices that stay true when the run is over, and the few words that its lane then keeps in sight.
LASTING = {
    "unencrypted": "not encrypted",
    "template_plain": "plain chat format",
    "own_sampling": "",  # named among what was not sent
    "parameter_refused": "",
    "limit_ignored": "limit ignored",
}
MAX_REASON = 80
_FINISH_TEXT = {
    "stop": "Done",
    "content_filter": "Ended by the provider's content filter",
    "tool_calls": "Done: the model asked for a tool, which is not offered here",
}


_CUT_TEXT: dict[Cut, str] = {
    "max_tokens": "Done: the token limit was reached",
    "context": "Done: the context is full",
    "server": "Done: the context is full, or a limit of the server's own was reached",
}
_NEUTRAL: dict[str, float] = {"repeat_penalty": 1.0, "min_p": 0.0, "top_k": 0, "top_p": 1.0}


class LaneState:
    """Books of what a lane shows. `take` events in order; read the fields."""

    def __init__(self) -> None:
        self._reset("idle")

    def _reset(self, phase: Phase) -> None:
        self.phase: Phase = phase
        self.can_repeat = False  # idle, and yet the question of the last run can be asked again
        self.fraction: float | None = None
        self.read: tuple[int, int] | None = None
        self.notice = ""
        self.remarks: tuple[Notice, ...] = ()
        self.busy = ""  # why tok/s is lower than it could be: a sentence to stand beside it
        self.problem: Problem | None = None
        self.report: EngineReport | None = None
        self.load: LoadNote | None = None  # of the load that the report is about
        self.result: RunResult | None = None
        self.meter: Meter | None = None
        self.sent_ns: int | None = None
        self.started_ns: int | None = None
        self.reasoning_chars = 0

    @property
    def live(self) -> bool:
        return self.phase in LIVE

    @property
    def ended(self) -> bool:
        return self.phase in ENDED

    def queue(self) -> None:
        """The run is asked for and has not started."""
        self._reset("queued")

    def rest(self) -> None:
        """Another target was chosen after a run: nothing of that run belongs to it."""
        self._reset("idle")
        self.can_repeat = True

    def restore(self, status: EndStatus, result: RunResult, problem: Problem | None) -> None:
        """Show a run that ended earlier."""
        self._reset(PHASE_OF[status])
        if status == "finished" and not result.complete:
            self.phase = "incomplete"
        self.result = result
        self.problem = problem

    def take(self, event: Event) -> None:
        match event:
            case Started():
                self._reset("starting")
                self.started_ns = event.at_ns
            case Loading():
                self.phase = "loading"
                self.fraction = event.fraction
            case Loaded():
                self.report = event.report
                self.phase = "starting"
            case Sent():
                self.phase = "waiting"
                self.sent_ns = event.at_ns
                self.meter = Meter(event.at_ns)
            case Prefill():
                self.read = (event.done, event.total)
                if self.phase == "waiting" or self.phase == "starting":
                    self.phase = "reading"
            case Delta():
                self._delta(event)
            case Notice() if event.code == MACHINE_BUSY:
                self.busy = event.text
            case Notice():
                self.notice = event.text
                if event.code in LASTING:
                    self.remarks = (*self.remarks, event)
            case Finished():
                self._end("done" if event.result.complete else "incomplete", event.result)
            case Failed():
                self._end("failed", event.result)
                self.problem = event.problem
            case Cancelled():
                self._end("stopped", event.result)

    def status_text(self, size_bytes: int | None = None) -> str:
        """One short line; the words for a screen reader too. `size_bytes` is the model's file, where it is known."""
        match self.phase:
            case "loading":
                whole = f" of {fmt.byte_size(size_bytes)}" if size_bytes is not None else ""
                return f"Loading the model, {fmt.percent(self.fraction or 0.0)}{whole}"
            case "reading" if self.read is not None:
                return f"Reading the prompt, {self.read[0]:,} of {self.read[1]:,} tokens"
            case "thinking":
                return f"Thinking, {self.reasoning_chars:,} characters so far"
            case "done":
                cut = cut_by(self.result) if self.result is not None else None
                if cut is not None:
                    before = "" if self.result is None or self.result.text.strip() else " before any text came"
                    return f"{_CUT_TEXT[cut]}{before}"
                reason = self.result.finish_reason if self.result is not None else None
                return _FINISH_TEXT.get(reason or "stop", "Done")
            case _:
                return _FIXED_TEXT.get(self.phase, "")

    def status_tip(self) -> str:
        """The status in full; a reason of the server's own is quoted, and stays out of the line itself."""
        reason = self.result.finish_reason if self.result is not None else None
        if self.phase != "done" or not reason or reason in (*_FINISH_TEXT, "length"):
            return self.status_text()
        return f"Done. The server's own word for why the answer ended: “{reason[:MAX_REASON]}”."

    def lasting(self) -> tuple[str, ...]:
        """What a run that ended keeps in sight: what its server was not told, and how else it differed."""
        if not self.ended:
            return ()
        not_sent = self.not_sent()
        short = dict.fromkeys(LASTING[remark.code] for remark in self.remarks)
        return (*([f"not sent: {', '.join(not_sent)}"] if not_sent else ()), *filter(None, short))

    def not_sent(self) -> tuple[str, ...]:
        """The settings of this run that its server was not told and that would have changed something, in words."""
        settings = self.result.settings if self.result is not None else {}
        names = settings.get("not_sent")
        if not isinstance(names, list | tuple):
            return ()
        told = [name for name in map(str, names) if name not in _NEUTRAL or settings.get(name) != _NEUTRAL[name]]
        return tuple(name.replace("_", " ") for name in told)

    def progress(self) -> float | None:
        """0 to 1 where the phase has a known length, else None."""
        if self.phase == "loading":
            return self.fraction
        if self.phase == "reading" and self.read is not None and self.read[1] > 0:
            return min(1.0, self.read[0] / self.read[1])
        return None

    def _delta(self, event: Delta) -> None:
        if self.meter is None:
            self.meter = Meter(self.sent_ns if self.sent_ns is not None else event.at_ns)
        self.meter.add(event)
        if event.kind == "reasoning":
            self.reasoning_chars += len(event.text)
            self.phase = "thinking"
        elif event.text:
            self.phase = "answering"

    def _end(self, phase: Phase, result: RunResult) -> None:
        self.phase = phase
        self.result = result
        self.notice = ""
