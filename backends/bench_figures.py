"""What a bench measured, and the figures that follow from it. Pure: must not know engines, clocks or terminals.

Two ways to count the same work:

    as the app shows it    stamps: prefill from t0 to the first token, decode as in `backends/metrics`
    by llama.cpp           its own counters: time inside llama_decode, prompt and answer apart

The app's own path is what lies between two tokens beside the two things that llama.cpp counts, computing the token and
drawing it: `stamp to stamp - eval - sample`. It is turning tokens into text, writing lines, and Python between them;
and what llama.cpp does not count itself, as lining up the vocabulary before it draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from backends.devices.records import BandwidthSource
from backends.metrics import MIN_INTERVAL_NS, MIN_TOKENS, Percentiles, summarise
from backends.records import EngineReport, OtherWork, RunResult
from backends.wire import Json, other_work_as_json

MemorySource = BandwidthSource | Literal["measured_beside_other_work"]
MIN_INTERVAL_S = MIN_INTERVAL_NS / 1e9


@dataclass(frozen=True, slots=True)
class Answer:
    """One run. `read_tokens` of its prompt were computed in `read_s`, from t0 to the first token's stamp.

    `decoded` tokens came after the first chunk, in `decode_s`; `steps` stamps after the first one, in `steps_s`.
    """

    result: RunResult
    prompt_tokens: int
    read_tokens: int
    read_s: float | None
    tokens: int
    decoded: int
    decode_s: float
    steps: int
    steps_s: float

    def counter(self, name: str) -> float:
        """One of llama.cpp's own counters."""
        return float(self.result.engine_timings.get(name, 0))


@dataclass(frozen=True, slots=True)
class Round:
    """One or more answers, whose tokens and times are summed. Rates are tokens per second, None where unknown."""

    answers: tuple[Answer, ...]

    @property
    def tokens(self) -> int:
        return sum(each.tokens for each in self.answers)

    @property
    def prefill_tok_s(self) -> float | None:
        return _ratio(self._sum(lambda a: a.read_tokens if a.read_s else 0), self._sum(lambda a: a.read_s or 0.0))

    @property
    def engine_prefill_tok_s(self) -> float | None:
        return _ratio(self._counted("prompt_n"), self._counted("prompt_ms") / 1000)

    @property
    def decode_tok_s(self) -> float | None:
        """By the formula behind the figure in a lane, and None where a lane would show none."""
        seconds = self._sum(lambda a: a.decode_s)
        enough = self.tokens >= MIN_TOKENS and seconds >= MIN_INTERVAL_S
        return _ratio(self._sum(lambda a: a.decoded), seconds) if enough else None

    @property
    def engine_decode_tok_s(self) -> float | None:
        return self._if_enough(_ratio(self._counted("predicted_n"), self._counted("predicted_ms") / 1000))

    @property
    def step_us(self) -> float | None:
        """From one token's stamp to the next one's."""
        return self._if_enough(_ratio(self._sum(lambda a: a.steps_s) * 1e6, self._sum(lambda a: a.steps)))

    @property
    def eval_us(self) -> float | None:
        """What llama.cpp counts for computing a token."""
        return self._if_enough(_ratio(self._counted("predicted_ms") * 1000, self._counted("predicted_n")))

    @property
    def sample_us(self) -> float | None:
        """What llama.cpp counts for drawing a token."""
        return self._if_enough(_ratio(self._counted("sample_ms") * 1000, self._counted("sample_n")))

    @property
    def path_us(self) -> float | None:
        """What the app's own path costs for each token. Under 0 only by the grain of clocks."""
        step, evaluated, sampled = self.step_us, self.eval_us, self.sample_us
        return None if step is None or evaluated is None or sampled is None else step - evaluated - sampled

    @property
    def path_percent(self) -> float | None:
        path, step = self.path_us, self.step_us
        return None if path is None or not step else 100 * path / step

    def _sum(self, of: Callable[[Answer], float]) -> float:
        return sum(of(each) for each in self.answers)

    def _counted(self, name: str) -> float:
        return self._sum(lambda a: a.counter(name))

    def _if_enough(self, value: float | None) -> float | None:
        return value if self.tokens >= MIN_TOKENS else None


@dataclass(frozen=True, slots=True)
class Shared:
    """What each token reads on one device, weights and the KV cache at the depth of these answers."""

    device: str
    touched_bytes: float
    bandwidth_gb_s: float | None
    bandwidth_source: MemorySource | None


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All of a bench. `shared` is None where nobody knows what a token reads."""

    target: str
    loaded: EngineReport
    load_ms: float | None
    n_batch: int
    rounds: tuple[Round, ...]
    shared: tuple[Shared, ...] | None
    app_version: str

    def over_rounds(self, of: Callable[[Round], float | None]) -> Percentiles:
        """Median, low and high of the rounds that have it."""
        return summarise(value for each in self.rounds if (value := of(each)) is not None)

    @property
    def prompt_tokens(self) -> Percentiles:
        return summarise(answer.prompt_tokens for each in self.rounds for answer in each.answers)

    @property
    def touched_bytes(self) -> float | None:
        return None if self.shared is None else sum(each.touched_bytes for each in self.shared)

    @property
    def bandwidth_share(self) -> float | None:
        """Time that the memory alone would need for a token, over the time that it took; devices work in turn."""
        rate = self.over_rounds(lambda each: each.decode_tok_s).median
        if self.shared is None or rate is None or not all(each.bandwidth_gb_s for each in self.shared):
            return None
        return rate * sum(each.touched_bytes / ((each.bandwidth_gb_s or 0.0) * 1e9) for each in self.shared)

    @property
    def other_work(self) -> OtherWork | None:
        """Of the answer that other programs disturbed most; None where nobody could tell of any."""
        seen = [work for each in self.rounds for answer in each.answers if (work := answer.result.other_work)]
        return max(seen, key=lambda work: work.busy_share, default=None)


def report_as_json(report: BenchReport) -> Json:
    """As docs/cli.md has it; unknown is null."""
    loaded = report.loaded
    return {
        "target": report.target,
        "model": loaded.model,
        "device": loaded.device,
        "quant": loaded.quant,
        "gpu_layers": loaded.gpu_layers,
        "layers": loaded.n_layers,
        "context": loaded.n_ctx,
        "kv": loaded.kv_type,
        "threads": loaded.n_threads,
        "n_batch": report.n_batch,
        "load_ms": report.load_ms,
        "rounds": len(report.rounds),
        "prompt_tokens": _spread(report.prompt_tokens),
        "decode_tokens": _spread(report.over_rounds(lambda each: float(each.tokens))),
        "prefill_tok_s": _spread(report.over_rounds(lambda each: each.prefill_tok_s)),
        "engine_prefill_tok_s": _spread(report.over_rounds(lambda each: each.engine_prefill_tok_s)),
        "decode_tok_s": _spread(report.over_rounds(lambda each: each.decode_tok_s)),
        "engine_decode_tok_s": _spread(report.over_rounds(lambda each: each.engine_decode_tok_s)),
        "token_us": _spread(report.over_rounds(lambda each: each.step_us)),
        "eval_us": _spread(report.over_rounds(lambda each: each.eval_us)),
        "sample_us": _spread(report.over_rounds(lambda each: each.sample_us)),
        "path_us": _spread(report.over_rounds(lambda each: each.path_us)),
        "path_percent": _spread(report.over_rounds(lambda each: each.path_percent)),
        "touched_bytes": None if report.touched_bytes is None else round(report.touched_bytes),
        "bandwidth_share": report.bandwidth_share,
        "memories": None if report.shared is None else [_shared_as_json(each) for each in report.shared],
        "other_work": other_work_as_json(report.other_work),
        "app_version": report.app_version,
        "engine_build": loaded.engine_build,
    }


def _spread(values: Percentiles) -> Json:
    return {"median": values.median, "low": values.low, "high": values.high}


def _shared_as_json(each: Shared) -> Json:
    return {
        "device": each.device,
        "touched_bytes": round(each.touched_bytes),
        "bandwidth_gb_s": each.bandwidth_gb_s,
        "bandwidth_source": each.bandwidth_source,
    }


def _ratio(amount: float, over: float) -> float | None:
    return amount / over if amount and over > 0 else None
