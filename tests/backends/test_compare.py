"""Order, race and stop, with scripted engines. Must not test any real engine: the conformance class does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from backends.compare import Comparison, Mode
from backends.engine import Engine
from backends.errors import ModelMissing
from backends.events import Cancelled, Emit, Event, Failed, Finished, Started, is_terminal
from backends.records import Prompt, RunRequest, Target
from backends.tally import Tally


class Scripted:
    """Speaks a word, waits at a gate, finishes; as an engine must, it ends its books when cancelled."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.active = 0
        self.most_active = 0

    async def run(self, request: RunRequest, emit: Emit) -> None:
        tally = Tally(request, emit)
        tally.started()
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            tally.sent()
            tally.text_arrived("word", n_tokens=1)
            self.entered.set()
            await self.gate.wait()
            tally.finished("stop")
        except asyncio.CancelledError:
            tally.cancelled()
            raise
        finally:
            self.active -= 1

    async def close(self) -> None:
        pass


def no_events() -> list[Event]:
    return []


def always(engine: Engine) -> Callable[[Target], Engine]:
    return lambda _target: engine


class Broken:
    async def run(self, request: RunRequest, emit: Emit) -> None:
        Tally(request, emit).started()
        raise ZeroDivisionError

    async def close(self) -> None:
        pass


def requests(n: int) -> list[RunRequest]:
    return [RunRequest(f"run-{i}", Target("local", f"m{i}"), Prompt.ask("Q")) for i in range(n)]


def terminals(events: list[Event]) -> dict[str, type]:
    return {event.run_id: type(event) for event in events if is_terminal(event)}


@pytest.mark.parametrize(("mode", "most"), [("sequence", 1), ("race", 3)])
async def test_lanes_run_one_after_another_or_together(mode: Mode, most: int) -> None:
    engine, events = Scripted(), no_events()
    task = asyncio.create_task(Comparison(requests(3), lambda _target: engine, events.append, mode).run())
    await engine.entered.wait()
    await asyncio.sleep(0)
    engine.gate.set()
    await task
    assert engine.most_active == most
    assert set(terminals(events).values()) == {Finished}


async def test_one_lane_stopped_leaves_the_others() -> None:
    engine, events = Scripted(), no_events()
    comparison = Comparison(requests(3), lambda _target: engine, events.append)
    task = asyncio.create_task(comparison.run())
    await engine.entered.wait()
    comparison.stop("run-0")
    comparison.stop("run-2")
    engine.gate.set()
    await task
    assert terminals(events) == {"run-0": Cancelled, "run-1": Finished, "run-2": Cancelled}


async def test_cancelling_all_ends_every_run_once_and_raises() -> None:
    for mode in ("sequence", "race"):
        engine, events = Scripted(), no_events()
        task = asyncio.create_task(Comparison(requests(3), always(engine), events.append, mode).run())
        await engine.entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert terminals(events) == {"run-0": Cancelled, "run-1": Cancelled, "run-2": Cancelled}
        assert sum(is_terminal(event) for event in events) == 3


async def test_stopping_before_the_first_step_still_ends_the_run() -> None:
    events: list[Event] = []
    comparison = Comparison(requests(1), lambda _target: Scripted(), events.append)
    task = asyncio.create_task(comparison.run())
    comparison.stop("run-0")
    await task
    assert [type(event) for event in events] == [Started, Cancelled]


async def test_a_target_without_an_engine_fails_alone() -> None:
    engine, events = Scripted(), no_events()
    engine.gate.set()

    def engine_for(target: Target) -> Scripted:
        if target.model == "m0":
            raise ModelMissing("There is no such model.")
        return engine

    await Comparison(requests(2), engine_for, events.append).run()
    assert terminals(events) == {"run-0": Failed, "run-1": Finished}


async def test_a_defect_in_an_engine_ends_in_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    events: list[Event] = []
    await Comparison(requests(1), lambda _target: Broken(), events.append).run()
    assert terminals(events) == {"run-0": Failed}
    assert "ZeroDivisionError" in caplog.text
