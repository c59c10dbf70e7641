"""Runs that other programs slow: the mark with scripted counters, and once for real beside processes that compute."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backends import busy_watch as module
from backends.busy_watch import busy_watch
from backends.children import running_children
from backends.compare import Comparison
from backends.devices.busy import CpuSample
from backends.events import Cancelled, Delta, Emit, Event, Finished, Loaded, Notice, is_terminal
from backends.history.codec import BLANK_RESULT, result_as_json, result_from_json
from backends.history.export import as_markdown
from backends.history.records import ComparisonRecord, RunRecord
from backends.local.engine import LocalEngine
from backends.local_models import model_file
from backends.other_work import MACHINE_BUSY
from backends.paths import app_paths
from backends.records import EngineReport, OtherWork, Prompt, RunRequest, Sampling, Target
from backends.tally import Tally
from backends.targets import DEMO
from backends.wire import event_as_json
from backends.workbench import Workbench
from tests.gguf_factory import write_script
from tests.processes import computing

LIMIT_S = 90
ENOUGH = 60_000  # tokens: far more than come in two seconds
S = 1_000_000_000


def report(gpu_layers: int = 0, n_threads: int = 2) -> EngineReport:
    return EngineReport(
        *("m", "CPU", "Q8_0", gpu_layers, 3, 2048, "f16", n_threads), *(1, 1, 1), load_ms=1.0, engine_build="x"
    )


def request(target: str = "local:m") -> RunRequest:
    provider, _, model = target.partition(":")
    return RunRequest("run-1", Target(provider, model), Prompt.ask("Q"))


class Scripted:
    """Counters that go on by half a second at each reading, with `others` cores used beside two threads of ours."""

    others: Iterator[float]

    def __init__(self, _children: object) -> None:
        self._now = CpuSample(0, 0.0, 0.0, 0.0)

    def read(self, _at_ns: int) -> CpuSample:
        now = self._now
        others = next(self.others, 0.0) if now.at_ns else 0.0
        self._now = CpuSample(now.at_ns + S // 2, now.machine_s + (2 + others) / 2, now.window_s, now.children_s + 1)
        return self._now


class Broken:
    def __init__(self, _children: object) -> None:
        pass

    def read(self, _at_ns: int) -> CpuSample:
        raise PermissionError


async def ran(
    monkeypatch: pytest.MonkeyPatch,
    others: list[float],
    *,
    loaded: EngineReport | None = None,
    target: str = "local:m",
    counters: type = Scripted,
    steps: int | None = None,
) -> list[Event]:
    """A run that decodes until `others` was read, step by step."""
    Scripted.others = iter(others)
    monkeypatch.setattr(module, "cores_here", lambda: 2)
    monkeypatch.setattr(module, "CpuCounters", counters)
    monkeypatch.setattr(module, "STEP_S", 0.0)
    events: list[Event] = []
    async with busy_watch(request(target), events.append) as emit:
        await decode(request(target), emit, loaded or report(), len(others) if steps is None else steps)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1, "nobody reads counters when the run is over"
    return events


async def decode(asked: RunRequest, emit: Emit, loaded: EngineReport, steps: int) -> None:
    tally = Tally(asked, emit)
    tally.started()
    tally.loaded(loaded)
    born_ns = tally.sent()
    tally.text_arrived("word", n_tokens=1, at_ns=born_ns)
    for n in range(steps):
        await asyncio.sleep(0)
        tally.text_arrived("word", n_tokens=1, at_ns=born_ns + n)  # long before it comes through the pipe
    tally.finished("stop")


def marks(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice) and event.code == MACHINE_BUSY]


def kept(events: list[Event]) -> OtherWork | None:
    assert isinstance(events[-1], Finished)
    return events[-1].result.other_work


async def test_a_busy_run_is_marked_while_it_goes_on_and_in_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    events = await ran(monkeypatch, [1.0] * 8)
    assert len(marks(events)) == 1, "once, not at every look"
    assert "other programs used 1.0 of 2 cores" in marks(events)[0]
    work = kept(events)
    assert work is not None
    assert work.busy
    at = [event.at_ns for event in events]
    assert at == sorted(at), "stamps never decrease"


async def test_a_blip_takes_its_own_mark_back(monkeypatch: pytest.MonkeyPatch) -> None:
    events = await ran(monkeypatch, [1.5, 1.5, *[0.0] * 20])
    assert [bool(text) for text in marks(events)] == [True, False]
    work = kept(events)
    assert work is not None
    assert not work.busy
    assert 0 < work.busy_share < 0.2


async def test_a_quiet_run_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    events = await ran(monkeypatch, [0.05] * 8)
    assert marks(events) == []
    work = kept(events)
    assert work is not None
    assert work.busy_share == 0.0


@pytest.mark.parametrize(
    ("gpu_layers", "target", "looked"),
    [(0, "local:m", True), (2, "local:m", True), (3, "local:m", False), (0, "practice:demo", False)],
)
async def test_only_runs_that_decode_on_the_cpu_are_watched(
    monkeypatch: pytest.MonkeyPatch, gpu_layers: int, target: str, looked: bool
) -> None:
    events = await ran(monkeypatch, [1.5] * 8, loaded=report(gpu_layers), target=target)
    assert (kept(events) is not None) is looked
    assert bool(marks(events)) is looked


async def test_counters_that_cannot_be_read_cost_the_mark_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    events = await ran(monkeypatch, [], counters=Broken, steps=8)
    assert kept(events) is None
    assert sum(isinstance(event, Delta) for event in events) == 9


async def test_the_worker_of_an_engine_is_no_other_program() -> None:
    engine = LocalEngine(model_file(DEMO))
    try:
        await engine.probe()
        assert engine.worker_pid in running_children()
    finally:
        await engine.close()


def test_history_and_json_keep_the_mark() -> None:
    work = OtherWork(0.4, 0.7, 1.75, 2)
    result = replace(BLANK_RESULT, other_work=work)
    assert result_from_json(result_as_json(result)).other_work == work
    assert result_from_json({**result_as_json(result), "other_work": {"cores": "many"}}).other_work is None
    line = event_as_json(Finished("run-1", 1, result), "local:m")
    assert line is not None
    found = line["result"]
    assert isinstance(found, dict)
    assert found["other_work"] == {
        "busy": True, "busy_share": 0.4, "used_cores": 0.7, "busy_cores": 1.75, "cores": 2,
    }  # fmt: skip


def test_an_export_for_people_says_it() -> None:
    def line(work: OtherWork | None) -> str:
        result = replace(BLANK_RESULT, decode_tok_s=12.5, other_work=work)
        now = datetime.now(UTC)
        run = RunRecord("run-1", 0, "local:m", "finished", now, "text", "", result, None)
        return as_markdown([ComparisonRecord("cmp-1", now, Prompt.ask("Q"), Sampling(), "sequence", (run,))])

    assert "12.5 tok/s (the machine was busy)" in line(OtherWork(1.0, 1.8, 1.8, 2))
    assert "busy" not in line(OtherWork(0.1, 0.2, 1.8, 2)) + line(None)


async def test_a_real_run_beside_real_work_is_marked(tmp_path: Path) -> None:
    model = write_script(tmp_path / "m.gguf", [f" w{n}".encode() for n in range(20)], loop_to=0, n_ctx_train=65_536)
    bench = Workbench(app_paths())
    bench.change(n_ctx=65_536)
    asked = RunRequest("run-1", Target("local", str(model)), Prompt.ask("go"), Sampling(ENOUGH, temperature=0))
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, Notice) and event.code == MACHINE_BUSY:
            comparison.stop_all()  # it came: the run need not go on

    comparison = Comparison([asked], bench.engine_for, emit)
    try:
        async with asyncio.timeout(LIMIT_S):
            with computing():
                await bench.run(comparison, [asked])
    finally:
        await bench.close()
    assert any(isinstance(event, Loaded) for event in events)
    assert len(marks(events)) == 1, [event for event in events if is_terminal(event)]
    assert "other programs used" in marks(events)[0]
    assert isinstance(events[-1], Cancelled)
    work = events[-1].result.other_work
    assert work is not None
    assert work.busy
