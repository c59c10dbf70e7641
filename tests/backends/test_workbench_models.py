"""Engines of installed models beside removing, moving and finding their files; real workers, a real library."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from backends.compare import Comparison, Mode
from backends.events import Event, Failed, Finished, Loaded, Started
from backends.ids import new_id
from backends.models.errors import InUse
from backends.models.library import Library
from backends.paths import app_paths
from backends.records import Prompt, RunRequest, Sampling, Target
from backends.targets import parse_target
from backends.workbench import Workbench
from tests.gguf_factory import write_script

WORDS = [f" word{number}".encode() for number in range(20)]


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Workbench]:
    made = Workbench(app_paths())
    yield made
    await made.close()


async def installed(bench: Workbench, name: str = "talker", *, endless: bool = False) -> Target:
    """A model in the models folder, and its target."""
    bench.models.folder.mkdir(parents=True, exist_ok=True)
    write_script(bench.models.folder / f"{name}.gguf", WORDS, loop_to=0 if endless else None, n_ctx_train=65_536)
    (model,) = [each for each in await bench.models.installed() if each.name == name]
    return parse_target(f"local:{model.ref}")


def request(target: Target, max_tokens: int = 30) -> RunRequest:
    return RunRequest(new_id("run"), target, Prompt.ask("Hi"), Sampling(max_tokens=max_tokens, temperature=0))


async def ran(bench: Workbench, *requests: RunRequest, mode: Mode = "sequence") -> list[Event]:
    events: list[Event] = []
    await bench.run(Comparison(requests, bench.engine_for, events.append, mode), requests)
    return events


async def test_a_model_of_a_lane_that_never_ran_can_be_removed(bench: Workbench) -> None:
    target = await installed(bench)
    await bench.warm_up([target])
    assert await bench.models.remove(target.model) > 0
    assert await bench.models.installed() == ()


async def test_a_model_that_no_run_uses_any_more_is_unloaded_and_removed(bench: Workbench) -> None:
    target = await installed(bench)
    assert isinstance((await ran(bench, request(target)))[-1], Finished)
    assert await bench.models.remove(target.model) > 0
    failed = (await ran(bench, request(target)))[-1]
    assert isinstance(failed, Failed)
    assert failed.problem.code == "model_missing"


async def test_removing_one_model_leaves_another_loaded(bench: Workbench) -> None:
    first, second = await installed(bench), await installed(bench, "other")
    await ran(bench, request(first))
    await bench.models.remove(second.model)
    loaded = [event for event in await ran(bench, request(first)) if isinstance(event, Loaded)]
    assert [event.report.load_ms for event in loaded] == [0.0]


async def test_a_model_that_a_run_uses_is_neither_removed_nor_moved(bench: Workbench, tmp_path: Path) -> None:
    target = await installed(bench, endless=True)
    asked = request(target, 60_000)
    started = asyncio.Event()
    comparison = Comparison([asked], bench.engine_for, lambda event: started.set())
    run = asyncio.create_task(bench.run(comparison, [asked]))
    await started.wait()
    with pytest.raises(InUse, match="is loaded now"):
        await bench.models.remove(target.model)
    with pytest.raises(InUse):
        await bench.models.move_folder(tmp_path / "elsewhere")
    comparison.stop_all()
    await run
    assert await bench.models.move_folder(tmp_path / "elsewhere")
    assert isinstance((await ran(bench, request(target)))[-1], Finished), "and it is found where it is now"


async def test_the_library_is_never_read_on_the_loop(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[threading.Thread] = []
    find, scan = Library.find, Library.scan

    def watched_find(self: Library, name: str) -> object:
        looked.append(threading.current_thread())
        return find(self, name)

    def watched_scan(self: Library) -> object:
        looked.append(threading.current_thread())
        return scan(self)

    monkeypatch.setattr(Library, "find", watched_find)
    monkeypatch.setattr(Library, "scan", watched_scan)
    missing = (await ran(bench, request(parse_target("local:nobody:Q4_0"))))[-1]
    assert isinstance(missing, Failed)
    assert missing.problem.code == "model_missing"
    assert isinstance((await ran(bench, request(await installed(bench))))[-1], Finished)
    assert looked
    assert threading.current_thread() not in looked


async def test_the_same_model_in_two_lanes_takes_changed_settings(bench: Workbench) -> None:
    target = await installed(bench)
    contexts = []
    for n_ctx in (2048, 1024):
        bench.change(n_ctx=n_ctx)
        events = await ran(bench, request(target), request(target))
        contexts.append([event.report.n_ctx for event in events if isinstance(event, Loaded)])
    assert contexts == [[2048, 2048], [1024, 1024]]


async def test_nothing_runs_beside_a_race(bench: Workbench) -> None:
    """Its speed would be taken for that of a run alone."""
    first, second = await installed(bench), await installed(bench, "other")
    events: list[Event] = []
    racers, alone = [request(first), request(second)], [request(first)]
    await asyncio.gather(
        bench.run(Comparison(racers, bench.engine_for, events.append, "race"), racers),
        bench.run(Comparison(alone, bench.engine_for, events.append), alone),
    )
    begun = [event.run_id for event in events if isinstance(event, Started)]
    ended = [index for index, event in enumerate(events) if isinstance(event, Finished)]
    last = next(
        index for index, event in enumerate(events) if isinstance(event, Started) and event.run_id == alone[0].run_id
    )
    assert begun[-1] == alone[0].run_id
    assert len([index for index in ended if index < last]) == 2
