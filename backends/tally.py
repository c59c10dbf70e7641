"""Keeps one run's books: emits its events in order and builds its result. Must not know any engine's protocol.

Both engines report through it, so "exactly one terminal event" and "stamps never decrease" are decided in one place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType

from backends.errors import NearfarError, Problem
from backends.events import (
    Cancelled,
    Delta,
    Emit,
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
from backends.metrics import Meter, Metrics
from backends.records import Cost, EngineReport, Number, RunRequest, RunResult, Usage, frozen_map
from backends.version import APP_VERSION

CostOf = Callable[[Usage], Cost]
Clock = Callable[[], int]

NOT_MEASURED = Cost(None, "not_measured")
NOT_CHARGED = Cost(Decimal(0), "not_charged")


class Tally:
    """Books of one run. Call `started` first; after `finished`, `failed` or `cancelled` nothing is emitted.

    `cost_of` turns the final usage into a cost and must not raise. `settings` is what was asked, kept in the result.
    An engine that is paid sets `may_be_charged` once a request is on its way, `earlier_may_be_charged` where it asks
    again although the request before may have been billed, `charged` where the server itself says what it charged, and
    `broken_cost_of`, which says of the text that arrived what a broken answer cost at least. `result` is there once the
    run has ended.
    """

    def __init__(
        self,
        request: RunRequest,
        emit: Emit,
        *,
        cost_of: CostOf = lambda _usage: NOT_MEASURED,
        settings: Mapping[str, object] | None = None,
        clock: Clock = time.monotonic_ns,
    ) -> None:
        self.request = request
        self.report: EngineReport | None = None
        self.model = request.target.model
        self.usage = Usage()
        self.engine_timings: Mapping[str, Number] = frozen_map()
        self.engine_build: str | None = None
        self.load_ms: float | None = None
        self.settings: dict[str, object] = dict(settings or {})
        self.charged: Cost | None = None
        self.may_be_charged = False
        self.earlier_may_be_charged = False
        self.broken_cost_of: Callable[[str], Cost] | None = None
        self.result: RunResult | None = None
        self._emit = emit
        self._cost_of = cost_of
        self._clock = clock
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._meter: Meter | None = None
        self._counted = 0
        self._count_known = True
        self._last_ns = 0
        self._ended = False

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def text(self) -> str:
        """Visible text so far."""
        return "".join(self._text)

    def started(self) -> None:
        self._send(Started(self.request.run_id, self._stamp(), self.request.target))

    def loading(self, fraction: float) -> None:
        self._send(Loading(self.request.run_id, self._stamp(), min(1.0, max(0.0, fraction))))

    def loaded(self, report: EngineReport) -> None:
        """The local model is ready; `report.load_ms` is 0 when it was loaded before."""
        self.report = report
        self.model = report.model
        self.load_ms = report.load_ms
        self.engine_build = report.engine_build
        self._send(Loaded(self.request.run_id, self._stamp(), report))

    def sent(self) -> int:
        """Stamp t0 just before the request enters the engine; returns it."""
        t0_ns = self._stamp()
        self._meter = Meter(t0_ns)
        self._send(Sent(self.request.run_id, t0_ns))
        return t0_ns

    def prefill(self, done: int, total: int, *, at_ns: int | None = None) -> None:
        """Prompt tokens read; `at_ns` defaults to now. A later stamp than a token's own would move that token's."""
        self._send(Prefill(self.request.run_id, self._stamp(at_ns), done, total))

    def notice(self, code: str, text: str) -> None:
        self._send(Notice(self.request.run_id, self._stamp(), code, text))

    def text_arrived(
        self,
        text: str,
        *,
        at_ns: int | None = None,
        n_tokens: int | None = None,
        stamps_ns: tuple[int, ...] = (),
    ) -> None:
        """Visible text; `at_ns` defaults to now."""
        self._text.append(text)
        if n_tokens is None:
            self._count_known = False
        else:
            self._counted += n_tokens
        self._delta(Delta(self.request.run_id, self._stamp(at_ns), text, n_tokens, stamps_ns))

    def reasoning_arrived(self, text: str, *, at_ns: int | None = None) -> None:
        """Text the model thinks aloud; shown apart and never part of TTFT."""
        self._reasoning.append(text)
        self._delta(Delta(self.request.run_id, self._stamp(at_ns), text, None, (), "reasoning"))

    def finished(self, finish_reason: str | None) -> None:
        """The run ended by itself; without a finish_reason it is incomplete."""
        self._end(
            lambda at_ns: Finished(self.request.run_id, at_ns, self._result(finish_reason, finish_reason is not None))
        )

    def failed(self, error: NearfarError | Problem) -> None:
        problem = error.problem if isinstance(error, NearfarError) else error
        self._end(lambda at_ns: Failed(self.request.run_id, at_ns, problem, self._result(None, False)))

    def cancelled(self) -> None:
        self._end(lambda at_ns: Cancelled(self.request.run_id, at_ns, self._result(None, False)))

    def _end(self, build: Callable[[int], Finished | Failed | Cancelled]) -> None:
        if self._ended:
            return
        event = build(self._stamp())
        self._ended = True
        self.result = event.result
        self._emit(event)

    def _delta(self, delta: Delta) -> None:
        if self._ended:
            return
        if self._meter is not None:
            self._meter.add(delta)
        self._send(delta)

    def _send(self, event: Event) -> None:
        if not self._ended:
            self._emit(event)

    def _stamp(self, at_ns: int | None = None) -> int:
        self._last_ns = max(self._last_ns, self._clock() if at_ns is None else at_ns)
        return self._last_ns

    def _visible_tokens(self) -> int | None:
        total = self.usage.completion_tokens
        if total is None:
            return self._counted if self._count_known and self._text else None
        visible = total - (self.usage.reasoning_tokens or 0)
        # Some servers count reasoning apart from the completion: how many are visible is then unknown.
        return visible if visible > 0 else None

    def _cost(self, *, complete: bool) -> Cost:
        cost = self.charged or self._cost_of(self.usage)
        text = "".join((*self._reasoning, *self._text))
        if complete or self.broken_cost_of is None:
            return cost
        if cost.basis == "usage_missing" and not self.may_be_charged:
            return cost if self.earlier_may_be_charged else NOT_CHARGED
        if cost.basis == "usage_missing":  # without text nobody knows whether the provider had begun
            return self.broken_cost_of(text) if text else cost
        if cost.usd is None:
            return cost
        return _larger(replace(cost, basis="estimated"), self.broken_cost_of(text))

    def _result(self, finish_reason: str | None, complete: bool) -> RunResult:
        metrics = (
            self._meter.final(self._visible_tokens())
            if self._meter is not None
            else Metrics(None, None, None, None, None, None)
        )
        report = self.report
        return RunResult(
            run_id=self.request.run_id,
            target=str(self.request.target),
            model=self.model,
            provider=self.request.target.provider,
            text=self.text,
            reasoning_text="".join(self._reasoning),
            finish_reason=finish_reason,
            complete=complete,
            usage=self.usage,
            ttft_ms=metrics.ttft_ms,
            ttfr_ms=metrics.ttfr_ms,
            decode_tok_s=metrics.decode_tok_s,
            answer_tok_s=metrics.answer_tok_s,
            chars_s=metrics.chars_s,
            e2e_ms=metrics.e2e_ms,
            load_ms=self.load_ms,
            cost=self._cost(complete=complete),
            device=report.device if report else None,
            gpu_layers=report.gpu_layers if report else None,
            quant=report.quant if report else None,
            engine_build=self.engine_build,
            app_version=APP_VERSION,
            engine_timings=self.engine_timings,
            settings=MappingProxyType(dict(self.settings)),
        )


def _larger(reported: Cost, by_text: Cost) -> Cost:
    """Counts that a server sends as it goes may be older than the text that arrived with them."""
    assert reported.usd is not None, "only a known sum is compared"
    return by_text if by_text.usd is not None and by_text.usd > reported.usd else reported
