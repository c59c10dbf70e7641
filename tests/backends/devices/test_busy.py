"""The rule by recorded counters, and the counters by real processes."""

from __future__ import annotations

import asyncio
import time

import pytest

from backends.children import running_children, spawn
from backends.devices.busy import CpuCounters, CpuSample, Slice, Watched, in_the_way, slice_between
from backends.other_work import busy_words
from backends.records import OtherWork
from tests.processes import COMPUTE

S = 1_000_000_000
LIMIT_S = 20


def samples(*others: float, threads: float = 1.0, window: float = 0.05, step_s: float = 0.5) -> list[CpuSample]:
    """Counters of a machine beside a run, one step for each of `others`, in cores."""
    found = [CpuSample(0, 1000.0, 10.0, 20.0)]
    for number, each in enumerate(others, 1):
        last = found[-1]
        found.append(
            CpuSample(
                round(number * step_s * S),
                last.machine_s + (each + threads + window) * step_s,
                last.window_s + window * step_s,
                last.children_s + threads * step_s,
            )
        )
    return found


def watched(*others: float, threads: int = 1, cores: int = 2, step_s: float = 0.5) -> OtherWork | None:
    books = Watched(threads, cores)
    for sample in samples(*others, threads=threads, step_s=step_s):
        books.take(sample)
    return books.so_far()


@pytest.mark.parametrize(
    ("others", "window", "threads", "cores", "busy"),
    [
        (0.0, 0.0, 1, 2, False),
        (0.95, 0.0, 1, 2, False),  # a core for each: measured to cost 8 %
        (0.95, 0.3, 1, 2, True),  # but the window has no core of its own then
        (1.19, 0.0, 1, 2, True),  # measured: 20 % slower
        (0.05, 0.2, 2, 2, False),  # the window alone is no other program
        (0.2, 0.0, 2, 2, True),  # measured: 24 % slower
        (6.0, 0.1, 7, 16, False),
        (9.5, 0.1, 7, 16, True),
        (0.9, 0.1, 15, 16, False),
    ],
)
def test_the_rule(others: float, window: float, threads: int, cores: int, busy: bool) -> None:
    assert in_the_way(Slice(0.5, others, window), threads, cores) is busy


def test_what_we_use_ourselves_is_no_other_work() -> None:
    before = CpuSample(0, 500.0, 1.0, 3.0)
    assert slice_between(before, CpuSample(2 * S, 505.0, 1.5, 6.0)) == Slice(2.0, 0.75, 0.25)
    # Counters are read one after another, so that ours may be ahead.
    assert slice_between(before, CpuSample(S, 501.0, 1.0, 4.1)) == Slice(1.0, 0.0, 0.0)
    assert slice_between(before, before) is None


def test_a_fifth_of_the_time_makes_a_run_a_busy_one() -> None:
    blip = watched(0.0, 1.5, 0.0, 0.0, 0.0, 0.0)
    assert blip is not None
    assert blip.busy_share == pytest.approx(1 / 6)
    assert not blip.busy
    assert busy_words(blip) == ""
    longer = watched(0.0, 1.5, 0.0, 0.0, 0.0)
    assert longer is not None
    assert longer.busy
    assert longer.used_cores == pytest.approx(0.3)
    assert longer.busy_cores == pytest.approx(1.5)
    assert longer.cores == 2


def test_what_was_too_short_is_unknown_and_a_quiet_run_has_no_busy_cores() -> None:
    assert watched() is None
    assert watched(2.0, step_s=0.2) is None
    quiet = watched(0.04, 0.02)
    assert quiet is not None
    assert quiet.busy_cores is None
    assert busy_words(quiet) == busy_words(None) == ""


def test_the_sentence() -> None:
    assert busy_words(OtherWork(1.0, 1.79, 1.79, 2)) == (
        "This computer was busy with other work: other programs used 1.8 of 2 cores, "
        "so tok/s is lower than this model can do."
    )
    assert busy_words(OtherWork(0.4, 0.7, 1.75, 2)) == (
        "This computer was busy with other work for 40% of the time: other programs then used 1.8 of 2 cores, "
        "so tok/s is lower than this model can do."
    )
    assert "used 8.0 of 8 cores" in busy_words(OtherWork(1.0, 14.0, 14.0, 8)), "never more cores than there are"
    assert "used 0.9 of 1 core," in busy_words(OtherWork(1.0, 0.9, 0.9, 1))


async def test_what_a_child_of_ours_computes_counts_as_ours_and_stays_counted_when_it_has_ended() -> None:
    child = await spawn(COMPUTE)
    counters = CpuCounters(running_children)
    try:
        assert child.pid in running_children()
        first = last = counters.read(0)
        deadline = time.monotonic() + LIMIT_S
        while last.children_s - first.children_s < 0.2 and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
            last = counters.read(1)
        assert last.children_s - first.children_s >= 0.2
        assert last.machine_s - first.machine_s >= 0.2
    finally:
        child.kill()
        await child.wait()
    assert child.pid not in running_children()
    assert counters.read(2).children_s >= last.children_s


async def test_what_this_process_computes_is_the_windows() -> None:
    counters = CpuCounters(tuple)
    first = counters.read(0)
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    after = counters.read(1)
    assert after.window_s - first.window_s >= 0.08
    assert after.children_s == first.children_s == 0.0
