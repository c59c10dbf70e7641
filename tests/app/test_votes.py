"""A person votes at the real window, and finds the vote again. Must not call controllers or lanes to vote."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QToolButton
from pytestqt.qtbot import QtBot

from app.session import Session
from backends.paths import app_paths
from backends.workbench import Workbench
from tests.app.test_cli import lines, nearfar
from tests.app.test_window import compare, opened, phases, wait_for
from tests.backends.history.helpers import keep, look, raw
from tests.backends.history.helpers import opened as opened_history

GOOD, POOR = "Good answer", "Poor answer"
NO_VOTE = (False, False)
UP, DOWN = (True, False), (False, True)


@pytest.fixture
def session(qtbot: QtBot, qapp: QApplication) -> Iterator[Session]:
    yield from opened(qtbot, qapp)


def button(session: Session, place: int, name: str) -> QToolButton:
    lane = session.compare.lane(session.compare.lane_ids[place])
    return next(each for each in lane.findChildren(QToolButton) if each.accessibleName() == name)


def click(qtbot: QtBot, session: Session, place: int, name: str) -> None:
    wait_for(qtbot, lambda: button(session, place, name).isVisible(), 5_000)
    QTest.mouseClick(button(session, place, name), Qt.MouseButton.LeftButton)


def painted(session: Session, place: int) -> tuple[bool, bool]:
    """Which of the two buttons are down: (good, poor)."""
    return button(session, place, GOOD).isChecked(), button(session, place, POOR).isChecked()


def stored() -> list[str]:
    """The votes in the file, oldest run first."""
    return [row[0] for row in look(app_paths().history_file, "SELECT vote FROM runs ORDER BY key")]


def wait_for_votes(qtbot: QtBot, votes: list[str]) -> None:
    wait_for(qtbot, lambda: stored() == votes, 10_000)


def reopen(qtbot: QtBot, session: Session, place: int) -> None:
    """Open the comparison at this place of the history, the newest being the first."""
    session.window.open_page("history")
    wait_for(qtbot, lambda: len(session.history.shown_ids()) > place)
    session.history.open_requested.emit(session.history.shown_ids()[place])
    wait_for(qtbot, lambda: session.window.current_page() == "compare")
    wait_for(qtbot, lambda: not session.compare.tick())


def test_a_vote_is_kept_with_its_run_changed_and_taken_back(qtbot: QtBot, session: Session) -> None:
    compare(qtbot, session)
    assert phases(session) == ["done", "done"]
    assert stored() == ["", ""]
    click(qtbot, session, 1, GOOD)
    wait_for_votes(qtbot, ["", "up"])
    click(qtbot, session, 0, POOR)
    wait_for_votes(qtbot, ["down", "up"])
    click(qtbot, session, 1, POOR)
    wait_for_votes(qtbot, ["down", "down"])
    assert painted(session, 1) == DOWN
    click(qtbot, session, 1, POOR)
    wait_for_votes(qtbot, ["down", ""])
    assert (painted(session, 0), painted(session, 1)) == (DOWN, NO_VOTE)


def test_a_new_run_begins_without_a_vote_and_reopening_shows_the_old_one(qtbot: QtBot, session: Session) -> None:
    compare(qtbot, session)
    click(qtbot, session, 0, GOOD)
    wait_for_votes(qtbot, ["up", ""])
    compare(qtbot, session, "What is TTFT?")
    assert (painted(session, 0), painted(session, 1)) == (NO_VOTE, NO_VOTE)
    click(qtbot, session, 1, POOR)
    wait_for_votes(qtbot, ["up", "", "", "down"])
    reopen(qtbot, session, 1)
    assert (painted(session, 0), painted(session, 1)) == (UP, NO_VOTE)
    click(qtbot, session, 1, GOOD)
    wait_for_votes(qtbot, ["up", "up", "", "down"])
    click(qtbot, session, 0, GOOD)
    wait_for_votes(qtbot, ["", "up", "", "down"])
    reopen(qtbot, session, 0)
    assert (painted(session, 0), painted(session, 1)) == (NO_VOTE, DOWN)
    assert stored() == ["", "up", "", "down"], "showing a vote gives none"


def test_a_retried_lane_votes_for_its_newest_run(qtbot: QtBot, session: Session) -> None:
    compare(qtbot, session)
    click(qtbot, session, 0, POOR)
    wait_for_votes(qtbot, ["down", ""])
    session.compare.lane_retry_requested.emit(session.compare.lane_ids[0])
    assert painted(session, 0) == NO_VOTE
    assert not button(session, 0, GOOD).isEnabled(), "nothing to vote on yet"
    wait_for(qtbot, lambda: not session.runs.busy)
    click(qtbot, session, 0, GOOD)
    wait_for_votes(qtbot, ["down", "", "up"])
    reopen(qtbot, session, 0)
    assert (painted(session, 0), painted(session, 1)) == (UP, NO_VOTE)
    click(qtbot, session, 0, POOR)
    wait_for_votes(qtbot, ["down", "", "down"])


def test_a_vote_given_just_before_closing_is_there_after_a_restart(qtbot: QtBot, qapp: QApplication) -> None:
    for session in opened(qtbot, qapp):
        compare(qtbot, session)
        click(qtbot, session, 1, POOR)
    assert stored() == ["", "down"]
    for session in opened(qtbot, qapp):
        reopen(qtbot, session, 0)
        assert (painted(session, 0), painted(session, 1)) == (NO_VOTE, DOWN)


async def one_comparison() -> None:
    """Of a demo and a cloud lane, with a vote for the second."""
    async with opened_history(app_paths().history_file) as history:
        await keep(history, "cmp-1")
        history.recorder.vote("cmp-1-b", "up")


async def keep_nothing_from_now_on() -> None:
    bench = Workbench(app_paths())
    bench.change(keep_history=False)
    assert await bench.save() is None
    await bench.close()


def test_keep_nothing_keeps_no_vote(qtbot: QtBot, qapp: QApplication) -> None:
    asyncio.run(one_comparison())
    asyncio.run(keep_nothing_from_now_on())
    before = raw(app_paths().history_file)
    for session in opened(qtbot, qapp):
        assert not session.bench.settings.keep_history
        compare(qtbot, session)
        click(qtbot, session, 0, GOOD)
        assert painted(session, 0) == UP, "the button still answers"
        reopen(qtbot, session, 0)
        assert (painted(session, 0), painted(session, 1)) == (NO_VOTE, UP), "what was kept before is shown"
        click(qtbot, session, 0, POOR)
        assert session.compare.problem_text() == ""
    assert raw(app_paths().history_file) == before


async def test_the_command_line_shows_votes() -> None:
    await one_comparison()
    (listed,) = lines(nearfar("history", "list", "--json"))
    assert [run["vote"] for run in listed["runs"]] == ["", "up"]
    (shown,) = lines(nearfar("history", "show", "cmp-1", "--json"))
    assert [run["vote"] for run in shown["runs"]] == ["", "up"]
    text = nearfar("history", "show", "cmp-1").stdout
    assert "local:demo (finished)\n" in text
    assert "openai:gpt-4o (finished, voted up)\n" in text
