"""How many threads a run gets, on paper and with a program that really takes a core."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.devices.busy import CpuCounters, CpuSample
from backends.local.threads import SMALL_MODEL_BYTES, BusyCores, threads_for, usable_cores
from tests.backends.local.in_process import session_here

GIB = 2**30
NS = 1_000_000_000


@pytest.mark.parametrize(
    ("cores", "model_bytes", "busy_cores", "threads"),
    [
        (8, SMALL_MODEL_BYTES - 1, 0.0, 1),  # waiting for each other costs more than it saves
        (8, SMALL_MODEL_BYTES, 0.0, 7),
        (8, 5 * GIB, 0.0, 7),  # one for the window
        (8, 5 * GIB, 0.9, 7),  # and what the others take comes out of that one first
        (8, 5 * GIB, 2.3, 5),
        (8, 5 * GIB, 9.0, 1),
        (2, 5 * GIB, 0.0, 1),
        (2, 5 * GIB, 2.0, 1),
        (1, 5 * GIB, 0.0, 1),
    ],
)
def test_the_rule(cores: int, model_bytes: int, busy_cores: float, threads: int) -> None:
    assert threads_for(cores, model_bytes, busy_cores) == threads


@pytest.mark.parametrize(
    ("text", "cores"), [("50000 100000\n", 1), ("100000 100000\n", 1), ("max 100000\n", None), ("", None), ("x", None)]
)
def test_a_containers_share_counts(tmp_path: Path, text: str, cores: int | None) -> None:
    quota = tmp_path / "cpu.max"
    quota.write_text(text)
    assert usable_cores(quota) == (cores or usable_cores(tmp_path / "none"))


@pytest.fixture
def spinning() -> Iterator[None]:
    """A program that uses one core, or as much of it as it gets."""
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield
    child.kill()
    child.wait()


def test_what_others_use_is_seen_beside_ones_own_work(spinning: None) -> None:
    busy = BusyCores()
    until = time.monotonic() + 1.0
    while time.monotonic() < until:  # own work, which must not count
        pass
    assert busy.now() > 0.2
    alone = BusyCores()
    assert alone.now() == 0.0, "nothing is known yet"


def test_ones_own_work_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([CpuSample(0, 100.0, 10.0, 0.0), CpuSample(NS, 101.9, 11.0, 0.0)])
    monkeypatch.setattr(CpuCounters, "read", lambda _self, _at_ns: next(looks))
    assert BusyCores().now() == pytest.approx(0.9)


def test_a_containers_share_is_not_what_others_leave_of_the_machine() -> None:
    assert threads_for(4, 5 * GIB, 10.0, 64) == 3
    assert threads_for(4, 5 * GIB, 62.0, 64) == 2


def test_a_run_gives_way_and_takes_back(slow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.local.handles.usable_cores", lambda: 8)
    monkeypatch.setattr("backends.local.handles.machine_cores", lambda: 8)
    with session_here(slow) as (session, _abort):
        model = session.model
        assert model.n_threads == 7
        assert model.has_all_threads
        model.share_cores(4.0)
        assert (model.n_threads, model.api.llama_n_threads(model.context)) == (4, 4)
        assert not model.has_all_threads
        assert model.api.llama_n_threads_batch(model.context) == 4
        model.share_cores(0.0)
        assert model.api.llama_n_threads(model.context) == 7
    with session_here(slow, n_threads=2) as (session, _abort):
        session.model.share_cores(4.0)
        assert session.model.n_threads == 2, "it was asked for"
