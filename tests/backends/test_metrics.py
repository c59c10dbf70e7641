"""The figures, checked by hand and by properties. Must not use any engine."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.events import Delta
from backends.metrics import Chunk, Meter, measure, percentile, summarise

MS = 1_000_000


def steady(n: int, ms_per_token: float = 10.0, first_ms: float = 100.0) -> list[int]:
    return [round((first_ms + i * ms_per_token) * MS) for i in range(n)]


def chunked(stamps: list[int], cuts: list[int]) -> list[Chunk]:
    """The same tokens in chunks that end at `cuts`; a chunk arrives with its last token."""
    ends = sorted({cut for cut in cuts if 0 < cut < len(stamps)} | {len(stamps)})
    starts = [0, *ends[:-1]]
    return [Chunk(stamps[end - 1], 4 * (end - start), end - start) for start, end in zip(starts, ends, strict=True)]


def test_a_run_by_hand() -> None:
    # t0 = 1 s; 21 tokens of 5 characters, one per 10 ms, the first 200 ms after t0.
    t0 = 1_000 * MS
    chunks = [Chunk(t0 + (200 + 10 * i) * MS, 5, 1) for i in range(21)]
    figures = measure(t0, chunks, n_tokens=21)
    assert figures.ttft_ms == 200
    assert figures.e2e_ms == 400
    assert figures.decode_tok_s == pytest.approx(100)  # (21 - 1) / 0.2 s
    assert figures.answer_tok_s == pytest.approx(52.5)  # 21 / 0.4 s
    assert figures.chars_s == pytest.approx(262.5)  # 105 / 0.4 s
    assert figures.ttfr_ms is None


def test_no_text_no_figures() -> None:
    figures = measure(0, [Chunk(5 * MS, 0, 0)], n_tokens=0, first_reasoning_ns=3 * MS)
    assert (figures.ttft_ms, figures.e2e_ms, figures.decode_tok_s) == (None, None, None)
    assert figures.ttfr_ms == 3


def test_an_empty_first_chunk_is_not_the_first_text() -> None:
    figures = measure(0, [Chunk(10 * MS, 0, 0), Chunk(80 * MS, 3, 1), Chunk(200 * MS, 3, 30)], n_tokens=31)
    assert figures.ttft_ms == 80


@pytest.mark.parametrize(
    ("n_tokens", "n_chunks", "interval_ms", "known"),
    [(15, 15, 500, False), (16, 16, 500, True), (16, 1, 500, False), (100, 100, 49, False), (100, 2, 50, True)],
)
def test_decode_rate_needs_enough(n_tokens: int, n_chunks: int, interval_ms: int, known: bool) -> None:
    step = interval_ms * MS // max(1, n_chunks - 1)
    chunks = [Chunk(i * step if i < n_chunks - 1 else interval_ms * MS, 4) for i in range(n_chunks)]
    if n_chunks == 1:
        chunks = [Chunk(interval_ms * MS, 4)]
    assert (measure(0, chunks, n_tokens=n_tokens).decode_tok_s is not None) is known


def test_decode_rate_needs_a_token_count() -> None:
    figures = measure(0, chunked(steady(50), list(range(50))), n_tokens=None)
    assert figures.decode_tok_s is None
    assert figures.answer_tok_s is None
    assert figures.chars_s is not None


@given(
    n=st.integers(32, 600),
    ms_per_token=st.floats(2.5, 80),
    cuts=st.lists(st.integers(1, 599), max_size=200),
)
def test_chunking_a_steady_answer_moves_the_rate_by_at_most_one_percent(
    n: int, ms_per_token: float, cuts: list[int]
) -> None:
    stamps = steady(n, ms_per_token)
    whole = measure(0, chunked(stamps, list(range(n))), n_tokens=n).decode_tok_s
    other = measure(0, chunked(stamps, cuts), n_tokens=n).decode_tok_s
    assert whole is not None
    if other is not None:
        assert other == pytest.approx(whole, rel=0.01)


@given(
    gaps_ms=st.lists(st.floats(0.2, 60), min_size=40, max_size=400),
    cuts=st.lists(st.integers(2, 399), max_size=100),
)
def test_an_uneven_answer_too_when_its_first_token_travels_alone(gaps_ms: list[float], cuts: list[int]) -> None:
    """What the worker promises: the first visible token is sent at once, so later batching cannot matter."""
    stamps = [round(sum(gaps_ms[: i + 1]) * MS) for i in range(len(gaps_ms))]
    n = len(stamps)
    whole = measure(0, chunked(stamps, list(range(n))), n_tokens=n).decode_tok_s
    other = measure(0, chunked(stamps, [1, *cuts]), n_tokens=n).decode_tok_s
    assert (whole is None) == (other is None)
    if whole is not None:
        assert other == pytest.approx(whole, rel=0.01)


@given(n=st.integers(60, 400), first=st.integers(1, 20))
def test_an_uncounted_first_chunk_is_weighed_by_its_characters(n: int, first: int) -> None:
    stamps = steady(n)
    chunks = [Chunk(chunk.at_ns, chunk.n_chars) for chunk in chunked(stamps, [first, *range(first, n)])]
    rate = measure(0, chunks, n_tokens=n).decode_tok_s
    assert rate == pytest.approx(100, rel=0.01)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.floats(0, 1))
def test_percentiles_are_numpys(values: list[float], q: float) -> None:
    assert percentile(values, q) == pytest.approx(float(np.quantile(values, q)), rel=1e-9, abs=1e-9)


def test_percentiles_are_shown_only_from_enough_runs() -> None:
    two = summarise([1.0, 3.0], failures=1)
    assert (two.n, two.failures, two.p50, two.p95, two.median) == (2, 1, None, None, 2.0)
    nineteen = summarise([float(i) for i in range(19)])
    assert nineteen.p50 == statistics.median(range(19))
    assert nineteen.p95 is None
    assert summarise([float(i) for i in range(20)]).p95 == pytest.approx(18.05)
    assert summarise([]).median is None


def deltas(stamps: list[int], *, counted: bool = True) -> list[Delta]:
    return [Delta("r", at, "word ", 1 if counted else None, (at,) if counted else ()) for at in stamps]


def test_the_meter_agrees_with_the_whole_list() -> None:
    stamps = steady(300, 7.3)
    meter = Meter(0)
    for delta in deltas(stamps):
        meter.add(delta)
    assert meter.final(300) == measure(0, [Chunk(at, 5, 1) for at in stamps], n_tokens=300)
    live = meter.live()
    assert live.n_tokens == 300
    assert not live.estimated
    assert live.tok_s == pytest.approx(1000 / 7.3)


def test_uncounted_text_is_an_estimate() -> None:
    meter = Meter(0)
    for delta in deltas(steady(100), counted=False):
        meter.add(delta)
    live = meter.live()
    assert live.estimated
    assert live.n_tokens == 125  # 500 characters / 4
    assert live.tok_s is not None


def test_reasoning_is_timed_apart() -> None:
    meter = Meter(0)
    meter.add(Delta("r", 50 * MS, "hm", kind="reasoning"))
    for delta in deltas(steady(40, first_ms=900)):
        meter.add(delta)
    figures = meter.final(40)
    assert figures.ttfr_ms == 50
    assert figures.ttft_ms == 900


@given(st.floats(0.5, 2000))
def test_the_rate_curve_keeps_every_token_in_bounded_memory(ms_per_token: float) -> None:
    meter = Meter(0, max_buckets=16)
    for delta in deltas(steady(200, ms_per_token)):
        meter.add(delta)
    curve = meter.rate_curve()
    assert len(curve) < 16
    if len(curve) >= 4 and ms_per_token < 60:
        assert statistics.median(curve) == pytest.approx(1000 / ms_per_token, rel=0.5)


def test_a_long_pause_does_not_grow_the_curve() -> None:
    meter = Meter(0, max_buckets=8)
    for delta in deltas([0, 3_600_000 * MS, 7_200_000 * MS]):
        meter.add(delta)
    assert len(meter.rate_curve()) < 8
