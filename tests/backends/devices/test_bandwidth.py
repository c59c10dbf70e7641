"""The memory's speed on the machine that runs the tests: that it is measured, kept, and given up when told to."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from backends.devices import bandwidth
from backends.devices.bandwidth import (
    FILE_NAME,
    kept_bandwidth,
    known_bandwidth,
    measure_and_keep,
    measure_bandwidth,
    wait_until_quiet,
)
from backends.devices.records import CpuInfo, MemoryInfo

GIB = 2**30
CPU = CpuInfo("a processor", 2, 2)
MEMORY = MemoryInfo(16 * GIB, 8 * GIB, 0, 0)
PLAUSIBLE = (0.3, 3000.0)
"""GB/s: from a starved virtual machine to the fastest server there is."""


def test_it_is_measured_and_kept_for_this_machine_only(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    assert known_bandwidth(folder, CPU, MEMORY) is None
    measured = measure_and_keep(folder, CPU, MEMORY)
    assert measured is not None
    assert PLAUSIBLE[0] < measured < PLAUSIBLE[1]
    assert known_bandwidth(folder, CPU, MEMORY) == pytest.approx(measured, abs=0.01)
    after_an_update = MemoryInfo(MEMORY.total_bytes - 3_000_000, GIB, 0, 0)
    assert known_bandwidth(folder, CPU, after_an_update) is not None
    assert known_bandwidth(folder, CPU, MemoryInfo(32 * GIB, GIB, 0, 0)) is None
    assert known_bandwidth(folder, CpuInfo("another", 2, 2), MEMORY) is None


def test_other_machines_figures_stay(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(json.dumps({"another, 8 GiB": 25.5}))
    measure_and_keep(tmp_path, CPU, MEMORY)
    assert set(json.loads((tmp_path / FILE_NAME).read_text())) == {"another, 8 GiB", "a processor, 16 GiB"}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "7", "\x00", '{"a processor, 16 GiB": "fast"}', '{"a processor, 16 GiB": NaN}']
    + [f'{{"a processor, 16 GiB": {value}}}' for value in ("-3.0", "0.0", "true", "1e999", "null")],
)
def test_a_file_that_somebody_spoilt_is_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    assert known_bandwidth(tmp_path, CPU, MEMORY) is None


def test_what_was_measured_beside_other_work_holds_for_this_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = iter([10.0, 7.0, 40.0, 30.0])
    monkeypatch.setattr(bandwidth, "measure_bandwidth", lambda *_: next(rates))
    assert measure_and_keep(tmp_path, CPU, MEMORY, lasting=False) == 10.0
    assert measure_and_keep(tmp_path, CPU, MEMORY, lasting=False) == 7.0
    assert (known_bandwidth(tmp_path, CPU, MEMORY), kept_bandwidth(tmp_path, CPU, MEMORY)) == (10.0, None)
    assert not (tmp_path / FILE_NAME).exists()
    for _ in range(2):
        assert measure_and_keep(tmp_path, CPU, MEMORY) == 40.0, "the most that was ever measured"
        assert (known_bandwidth(tmp_path, CPU, MEMORY), kept_bandwidth(tmp_path, CPU, MEMORY)) == (40.0, 40.0)


def test_it_waits_for_a_quiet_moment_and_says_whether_there_was_one(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    def busy(interval: float) -> float:
        looks.append(interval)
        return 5.0 if len(looks) == 3 else 95.0

    monkeypatch.setattr("backends.devices.bandwidth.psutil.cpu_percent", busy)
    assert wait_until_quiet(60.0, threading.Event())
    assert len(looks) == 3
    assert not wait_until_quiet(0.01, threading.Event())
    told = threading.Event()
    told.set()
    assert not wait_until_quiet(60.0, told)


def test_a_cache_that_cannot_be_written_costs_only_the_memory_of_it(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert measure_and_keep(tmp_path / "cache", CPU, MEMORY) is not None
    assert kept_bandwidth(tmp_path / "cache", CPU, MEMORY) is None


def test_it_ends_when_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "ROUND_S", 600.0)
    stop = threading.Event()
    answers: list[float | None] = []
    worker = threading.Thread(target=lambda: answers.append(measure_and_keep(tmp_path, CPU, MEMORY, stop)))
    before = threading.active_count()
    worker.start()
    deadline = time.monotonic() + 30
    while threading.active_count() < before + 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    worker.join(30)
    assert answers == [None]
    assert not (tmp_path / FILE_NAME).exists(), "half a measurement is none"
    assert threading.active_count() == before


def test_python_runs_on_while_memory_is_copied() -> None:
    """Were the lock of the interpreter held, this loop would not turn until the end."""
    worker = threading.Thread(target=measure_bandwidth, args=(1, 8 * GIB))
    turns = 0
    worker.start()
    while worker.is_alive():
        turns += 1
        time.sleep(0.001)
    assert turns > 20


def test_a_machine_with_too_little_memory_is_left_alone() -> None:
    assert measure_bandwidth(4, GIB) is None
