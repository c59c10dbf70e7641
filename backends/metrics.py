"""TTFT, tok/s and times from stamped chunks. Pure: must not know clocks, engines or formatting.

Definitions (sources: NVIDIA AIPerf metrics reference for TTFT, E2E and reasoning; Artificial Analysis for taking the
first chunk's tokens out of the decode rate, which keeps it unbiased when a server sends several tokens per chunk):

    TTFT          t0 -> first non-empty visible text
    TTFR          t0 -> first reasoning text
    E2E           t0 -> last non-empty visible text
    decode tok/s  (N - n_first) / (t_last - t_first)     N visible tokens, n_first of them in the first chunk
    answer tok/s  N / E2E
    chars/s       visible characters / E2E               tokenisers differ, characters do not
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backends.events import Delta

MIN_TOKENS = 16
MIN_CHUNKS = 2
MIN_INTERVAL_NS = 50_000_000
P50_MIN_RUNS = 3
P95_MIN_RUNS = 20

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
CHARS_PER_TOKEN = 4  # only behind a "~": off by -80 % to +35 % between languages


@dataclass(frozen=True, slots=True)
class Chunk:
    """Text that became visible at once. `n_tokens` is None where unknown."""

    at_ns: int
    n_chars: int
    n_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of one run; None means not measurable, never 0. Times in milliseconds, rates per second."""

    ttft_ms: float | None
    ttfr_ms: float | None
    e2e_ms: float | None
    decode_tok_s: float | None
    answer_tok_s: float | None
    chars_s: float | None


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of `n` runs that succeeded; `p50` needs n >= 3 and `p95` n >= 20, else only the three order figures stand."""

    n: int
    failures: int
    low: float | None
    median: float | None
    high: float | None
    p50: float | None
    p95: float | None


def measure(
    t0_ns: int,
    visible: Sequence[Chunk],
    *,
    n_tokens: int | None,
    first_reasoning_ns: int | None = None,
) -> Metrics:
    """Figures of a run from its visible chunks, in order of arrival.

    `n_tokens` counts visible tokens (reasoning taken out), from the server's usage or the worker's count.
    """
    chunks = [chunk for chunk in visible if chunk.n_chars > 0]
    ttfr_ms = None if first_reasoning_ns is None else (first_reasoning_ns - t0_ns) / NS_PER_MS
    if not chunks:
        return Metrics(None, ttfr_ms, None, None, None, None)
    e2e_ns = chunks[-1].at_ns - t0_ns
    n_chars = sum(chunk.n_chars for chunk in chunks)
    return Metrics(
        ttft_ms=(chunks[0].at_ns - t0_ns) / NS_PER_MS,
        ttfr_ms=ttfr_ms,
        e2e_ms=e2e_ns / NS_PER_MS,
        decode_tok_s=_decode_tok_s(chunks, n_tokens),
        answer_tok_s=None if n_tokens is None else _per_second(n_tokens, e2e_ns),
        chars_s=_per_second(n_chars, e2e_ns),
    )


def _decode_tok_s(chunks: Sequence[Chunk], n_tokens: int | None) -> float | None:
    if n_tokens is None or n_tokens < MIN_TOKENS or len(chunks) < MIN_CHUNKS:
        return None
    interval_ns = chunks[-1].at_ns - chunks[0].at_ns
    if interval_ns < MIN_INTERVAL_NS:
        return None
    return _per_second(n_tokens - _first_tokens(chunks, n_tokens), interval_ns)


def _first_tokens(chunks: Sequence[Chunk], n_tokens: int) -> int:
    """Tokens in the first chunk: as stated, else its share of the characters, at least one."""
    stated = chunks[0].n_tokens
    if stated is not None:
        return min(stated, n_tokens)
    share = chunks[0].n_chars / sum(chunk.n_chars for chunk in chunks)
    return min(n_tokens, max(1, round(n_tokens * share)))


def _per_second(count: int, interval_ns: int) -> float | None:
    return count * NS_PER_S / interval_ns if interval_ns > 0 else None


def percentile(values: Sequence[float], q: float) -> float:
    """The q-quantile (0..1) by linear interpolation between order statistics. `values` must not be empty.

    Source: Hyndman and Fan 1996, type 7, numpy's default.
    """
    ordered = sorted(values)
    position = (len(ordered) - 1) * q
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def summarise(values: Iterable[float], failures: int = 0) -> Percentiles:
    """P50 from n >= 3, P95 only from n >= 20; failures are counted, never averaged in."""
    known = list(values)
    n = len(known)
    if not known:
        return Percentiles(0, failures, None, None, None, None, None)
    median = percentile(known, 0.5)
    return Percentiles(
        n=n,
        failures=failures,
        low=min(known),
        median=median,
        high=max(known),
        p50=median if n >= P50_MIN_RUNS else None,
        p95=percentile(known, 0.95) if n >= P95_MIN_RUNS else None,
    )


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """What can be said while text still arrives. `estimated` figures are shown with "~"."""

    ttft_ms: float | None
    tok_s: float | None
    n_tokens: int
    estimated: bool


class Meter:
    """Sums deltas as they pass, in constant memory but for the rate curve; figures at any moment."""

    def __init__(self, t0_ns: int, *, bucket_ns: int = 250_000_000, max_buckets: int = 240) -> None:
        self.t0_ns = t0_ns
        self._bucket_ns = bucket_ns
        self._max_buckets = max_buckets
        self._first: Chunk | None = None
        self._second_seen = False
        self._last_ns = t0_ns
        self._n_chars = 0
        self._n_tokens = 0
        self._estimated = False
        self._first_reasoning_ns: int | None = None
        self._buckets: list[float] = []

    def add(self, delta: Delta) -> None:
        """Take one delta, text or reasoning, in order of arrival."""
        if not delta.text:
            return
        if delta.kind == "reasoning":
            if self._first_reasoning_ns is None:
                self._first_reasoning_ns = delta.at_ns
            return
        tokens = delta.n_tokens
        if tokens is None:
            self._estimated = True
        chunk = Chunk(delta.at_ns, len(delta.text), tokens)
        if self._first is None:
            self._first = chunk
        else:
            self._second_seen = True
        self._last_ns = delta.at_ns
        self._n_chars += chunk.n_chars
        if tokens is not None:
            self._n_tokens += tokens
        self._count_rate(delta)

    def _count_rate(self, delta: Delta) -> None:
        assert self._first is not None
        stamps = delta.stamps_ns or (delta.at_ns,)
        weight = _tokens_of(delta) / len(stamps)
        for stamp in stamps:
            index = max(0, (stamp - self._first.at_ns) // self._bucket_ns)
            if index >= self._max_buckets:
                self._halve()
                index = max(0, (stamp - self._first.at_ns) // self._bucket_ns)
            self._buckets.extend([0.0] * (index + 1 - len(self._buckets)))
            self._buckets[index] += weight

    def _halve(self) -> None:
        while True:
            pairs = zip(self._buckets[::2], [*self._buckets[1::2], 0.0], strict=False)
            self._buckets = [left + right for left, right in pairs]
            self._bucket_ns *= 2
            if (self._last_ns - (self._first.at_ns if self._first else 0)) // self._bucket_ns < self._max_buckets:
                return

    def rate_curve(self) -> tuple[float, ...]:
        """Tokens per second over equal slices of time since the first text, oldest first; the open slice left out."""
        seconds = self._bucket_ns / NS_PER_S
        return tuple(count / seconds for count in self._buckets[:-1])

    def live(self) -> LiveFigures:
        """Figures so far; the rate counts from the first text and is None for the first 50 ms."""
        n_tokens = self._visible_tokens()
        if self._first is None:
            return LiveFigures(None, None, 0, self._estimated)
        first = self._first
        interval_ns = self._last_ns - first.at_ns
        n_first = first.n_tokens if first.n_tokens is not None else max(1, first.n_chars // CHARS_PER_TOKEN)
        ready = interval_ns >= MIN_INTERVAL_NS
        return LiveFigures(
            ttft_ms=(first.at_ns - self.t0_ns) / NS_PER_MS,
            tok_s=_per_second(max(0, n_tokens - n_first), interval_ns) if ready else None,
            n_tokens=n_tokens,
            estimated=self._estimated,
        )

    def _visible_tokens(self) -> int:
        return max(1, self._n_chars // CHARS_PER_TOKEN) if self._estimated else self._n_tokens

    def final(self, n_visible_tokens: int | None) -> Metrics:
        """The run's figures once it ended; `n_visible_tokens` as in `measure`."""
        if self._first is None:
            return measure(
                self.t0_ns,
                (),
                n_tokens=n_visible_tokens,
                first_reasoning_ns=self._first_reasoning_ns,
            )
        chunks = [self._first]
        if self._second_seen:
            chunks.append(Chunk(self._last_ns, self._n_chars - self._first.n_chars))
        return measure(
            self.t0_ns,
            chunks,
            n_tokens=n_visible_tokens,
            first_reasoning_ns=self._first_reasoning_ns,
        )


def _tokens_of(delta: Delta) -> float:
    return float(delta.n_tokens) if delta.n_tokens is not None else len(delta.text) / CHARS_PER_TOKEN
