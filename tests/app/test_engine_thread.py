"""The bridge between the engine loop and the GUI thread, with a real loop and a real Qt event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from pytestqt.qtbot import QtBot

from app import engine_thread
from app.engine_thread import EngineThread, Inbox
from backends.events import Event, Sent


def put_many(inbox: Inbox) -> None:
    for number in range(1000):
        inbox.put(Sent("r", number))


@pytest.fixture
def engine(qtbot: QtBot) -> Iterator[EngineThread]:
    thread = EngineThread()
    thread.start()
    yield thread
    thread.stop()


def test_an_answer_comes_back_on_the_gui_thread(qtbot: QtBot, engine: EngineThread) -> None:
    seen: list[tuple[str, int]] = []

    async def work() -> str:
        return threading.current_thread().name

    engine.ask(work(), lambda name: seen.append((name, threading.get_ident())))
    qtbot.waitUntil(lambda: bool(seen))
    assert seen == [("engine", threading.get_ident())]


def test_a_failure_comes_back_too(qtbot: QtBot, engine: EngineThread) -> None:
    seen: list[BaseException] = []

    async def work() -> None:
        raise ValueError("no")

    engine.ask(work(), lambda _none: None, seen.append)
    qtbot.waitUntil(lambda: bool(seen))
    assert isinstance(seen[0], ValueError)


def test_whatever_becomes_of_it_the_end_is_told(qtbot: QtBot) -> None:
    """Also where neither outcome comes: dropped before the start, or cancelled."""
    ended: list[str] = []
    thread = EngineThread()

    async def work() -> None:
        await asyncio.Event().wait()

    thread.ask(work(), lambda _none: None, None, lambda: ended.append("dropped"))
    assert ended == ["dropped"]
    thread.start()
    thread.ask(work(), lambda _none: None, None, lambda: ended.append("cancelled")).cancel()
    qtbot.waitUntil(lambda: ended == ["dropped", "cancelled"])
    thread.stop()


def test_stopping_cancels_what_runs_and_then_says_goodbye(qtbot: QtBot) -> None:
    order: list[str] = []
    began = threading.Event()

    async def work() -> None:
        began.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            order.append("cancelled")
            raise

    async def goodbye() -> None:
        order.append("goodbye")

    engine = EngineThread()
    engine.start()
    engine.submit(work())
    assert began.wait(5)
    engine.stop(goodbye())
    assert order == ["cancelled", "goodbye"]


def test_after_the_end_work_is_dropped(qtbot: QtBot) -> None:
    async def work() -> None:
        raise AssertionError("must not run")

    engine = EngineThread()
    assert engine.submit(work()).cancelled()
    engine.start()
    engine.stop()
    assert engine.ask(work(), lambda _none: None).cancelled()


def test_the_timer_runs_only_while_there_is_work(qtbot: QtBot) -> None:
    shown: list[Event] = []

    def show(batch: list[Event]) -> bool:
        shown.extend(batch)
        return False

    inbox = Inbox(show)
    assert inbox.resting
    inbox.work_began()
    threading.Thread(target=put_many, args=(inbox,)).start()
    qtbot.waitUntil(lambda: len(shown) == 1000)
    assert not inbox.resting
    inbox.put(Sent("r", 1001))
    inbox.work_ended()
    qtbot.waitUntil(lambda: inbox.resting)
    assert [event.at_ns for event in shown] == [*range(1000), 1001]


def test_what_is_queued_is_painted_between_two_looks_at_events(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lanes take turns: the second does not wait for the next look, and nothing new comes in meanwhile."""
    monkeypatch.setattr(engine_thread, "EVENTS_MS", 60_000)
    batches: list[int] = []

    def show(batch: list[Event]) -> bool:
        batches.append(len(batch))
        return len(batches) < 4

    inbox = Inbox(show)
    put_many(inbox)
    inbox.work_began()
    qtbot.waitUntil(lambda: bool(batches))
    put_many(inbox)
    qtbot.waitUntil(lambda: len(batches) == 4)
    qtbot.wait(5 * engine_thread.TICK_MS)
    assert batches == [1000, 0, 0, 0]
    inbox.work_ended()
    inbox.wake()
    qtbot.waitUntil(lambda: inbox.resting)
    assert batches[4:] == [1000]
