"""Retry at the real window: the question that the page shows, in the place where it was asked."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.session import Session
from backends.history.records import ComparisonRecord
from tests.app.test_window import choose, compare, opened, phases, texts, use, wait_for
from tests.gguf_factory import write_script


@pytest.fixture
def session(qtbot: QtBot, qapp: QApplication) -> Iterator[Session]:
    yield from opened(qtbot, qapp)


def recorded(qtbot: QtBot, session: Session) -> list[ComparisonRecord]:
    """What the history holds, newest first."""
    found: list[ComparisonRecord] = []

    async def read() -> list[ComparisonRecord]:
        history = session.bench.history
        whole = [await history.show(each.id) for each in await history.list()]
        return [record for record in whole if record is not None]

    session.engine.ask(read(), found.extend)
    wait_for(qtbot, lambda: bool(found))
    return found


def is_answering(session: Session) -> bool:
    return "word5" in texts(session)[1]


def is_idle(session: Session) -> bool:
    return not session.runs.busy


def retry(qtbot: QtBot, session: Session, place: int) -> None:
    session.compare.lane_retry_requested.emit(session.compare.lane_ids[place])
    assert session.runs.busy
    wait_for(qtbot, lambda: not session.runs.busy)


def test_after_reopening_it_asks_the_reopened_question(qtbot: QtBot, session: Session) -> None:
    compare(qtbot, session, "What is TTFT?")
    compare(qtbot, session, "What does fit mean?")
    older = recorded(qtbot, session)[1]
    session.history.open_requested.emit(older.id)
    wait_for(qtbot, lambda: session.compare.prompt_box.prompt() == "What is TTFT?")
    retry(qtbot, session, 0)
    newest, oldest = recorded(qtbot, session)
    assert len(newest.runs) == 2
    assert oldest.prompt.text == "What is TTFT?"
    assert [run.position for run in oldest.runs] == [0, 0, 1]


def test_a_lane_keeps_its_place_when_another_is_removed(qtbot: QtBot, session: Session) -> None:
    session.compare.add_lane("local:demo")
    compare(qtbot, session)
    session.compare.remove_lane(session.compare.lane_ids[0])
    retry(qtbot, session, 1)
    assert sorted(run.position for run in recorded(qtbot, session)[0].runs) == [0, 1, 2, 2]


def test_it_does_not_end_what_another_lane_is_answering(qtbot: QtBot, qapp: QApplication, tmp_path: Path) -> None:
    words = tuple(f" word{number}".encode() for number in range(40))
    endless = write_script(tmp_path / "endless.gguf", words, loop_to=0, n_ctx_train=65_536)
    choose(max_tokens=None)
    for session in opened(qtbot, qapp):
        use(session, 1, f"local:{endless}")
        session.compare.set_prompt("What is TTFT?")
        session.compare.prompt_box.submit()
        wait_for(qtbot, partial(is_answering, session))
        session.compare.lane_retry_requested.emit(session.compare.lane_ids[0])
        qtbot.wait(300)
        assert phases(session)[1] == "answering"
        assert phases(session)[0] == "queued"
        session.compare.stop_requested.emit()
        wait_for(qtbot, partial(is_idle, session))
        assert phases(session) == ["stopped", "stopped"]
