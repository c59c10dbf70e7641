"""The real window beside programs that compute: the mark comes while a model writes, stays, and is in the history."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.session import Session
from tests.app.test_window import ask_endlessly, opened, wait_for
from tests.gguf_factory import write_script
from tests.processes import computing

BUSY = {"tok/s": "busy"}


@pytest.fixture
def session(qtbot: QtBot, qapp: QApplication) -> Iterator[Session]:
    yield from opened(qtbot, qapp)


def test_the_mark_comes_stays_and_is_kept(qtbot: QtBot, session: Session, tmp_path: Path) -> None:
    words = [f" word{number}".encode() for number in range(40)]
    model = write_script(tmp_path / "endless.gguf", words, loop_to=0, n_ctx_train=65_536)
    session.bench.change(n_ctx=65_536)
    lane = session.compare.lane(session.compare.lane_ids[0])
    with computing():
        ask_endlessly(qtbot, session, model)
        wait_for(qtbot, lambda: lane.strip.marks() == BUSY)
        assert session.runs.busy
        assert lane.banner.text() == ""
        lane.stop_requested.emit(lane.lane_id)
        wait_for(qtbot, lambda: lane.state.ended)
    assert lane.strip.marks() == BUSY
    assert "other programs" in lane.strip.tips()["tok/s"]
    wait_for(qtbot, lambda: not session.runs.busy)
    session.window.open_page("history")
    wait_for(qtbot, lambda: len(session.history.shown_ids()) == 1)
    session.history.open_requested.emit(session.history.shown_ids()[0])
    wait_for(qtbot, lambda: session.window.current_page() == "compare")
    again = session.compare.lane(session.compare.lane_ids[0])
    wait_for(qtbot, lambda: again.state.ended)
    assert again.state.report is None, "from the file, not from this session's run"
    assert again.strip.marks() == BUSY
