"""Two windows and a command on one settings file: none undoes what another chose, and each shows what holds."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.session import Session
from backends.paths import app_paths
from backends.workbench import Workbench
from tests.app.test_window import choose, opened, press_run, type_prompt, use, wait_for
from tests.fakes.openai_server import OpenAIServer, answer


def stored() -> dict[str, Any]:
    found = json.loads(app_paths().settings_file.read_text())
    assert isinstance(found, dict)
    return found


@pytest.fixture
def session(qtbot: QtBot, qapp: QApplication) -> Iterator[Session]:
    choose(local_only=False, lanes=("custom:far/slow", "local:demo"), custom_servers={"far": "http://10.0.0.1/v1"})
    yield from opened(qtbot, qapp)


@pytest.fixture
def other(qtbot: QtBot, qapp: QApplication, session: Session) -> Iterator[Session]:
    yield from opened(qtbot, qapp)


def chip(session: Session) -> str:
    return session.window._privacy.text()


def test_a_theme_in_one_window_does_not_undo_local_only_of_the_other(
    qtbot: QtBot, session: Session, other: Session
) -> None:
    assert "May contact" in chip(session)
    other.window._privacy.toggle()
    wait_for(qtbot, lambda: stored()["local_only"] is True)
    session.settings.changed.emit(replace(session.settings.settings(), theme="dark"))
    wait_for(qtbot, lambda: stored()["theme"] == "dark")
    assert stored()["local_only"] is True
    wait_for(qtbot, lambda: "Local only" in chip(session))


def test_a_window_shows_what_another_chose(qtbot: QtBot, session: Session) -> None:
    choose(local_only=True, month_budget_usd=5.0, kept_keys=("openai",))
    session.window.activated.emit()
    wait_for(qtbot, lambda: "Local only" in chip(session))
    shown = session.settings.settings()
    assert (shown.local_only, shown.month_budget_usd) == (True, 5.0)


def test_a_close_undoes_nothing(qtbot: QtBot, qapp: QApplication) -> None:
    choose(local_only=False)
    for session in opened(qtbot, qapp):
        session.watch.end()  # so that it learns of nothing before it closes
        choose(local_only=True, month_budget_usd=5.0, kept_keys=("openai",), lanes=("practice",))
    kept = stored()
    assert (kept["local_only"], kept["month_budget_usd"], kept["kept_keys"]) == (True, 5.0, ["openai"])
    assert kept["lanes"] == ["practice"], "the lanes of this window are as they were"


def test_a_run_is_refused_at_once_where_another_window_switched_local_only_on(
    qtbot: QtBot, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("egress", "egress_policy", "egress_http", "cloud.providers"):
        monkeypatch.setattr(f"backends.{module}.on_this_machine", lambda host: host != "localhost")
    with OpenAIServer(answer("Hi")) as server:
        monkeypatch.setenv("NEARFAR_NEAR_BASE_URL", f"http://localhost:{server.port}/v1")
        use(session, 0, "custom:near/slow")
        session.watch._timer.stop()
        other = Workbench(app_paths())
        other.change(local_only=True)
        assert asyncio.run(other.save()) is None
        type_prompt(qtbot, session, "Hello")
        press_run(qtbot, session)
        assert "Local only is switched on" in session.compare.problem_text()
        assert not session.runs.busy
        wait_for(qtbot, lambda: "Local only" in chip(session))
        assert server.received == []


def test_lanes_and_parameters_are_kept_without_an_orderly_close(qtbot: QtBot, session: Session) -> None:
    use(session, 1, "practice")
    session.compare.target_chosen.emit(session.compare.lane_ids[1], "practice")  # as the picker does
    wait_for(qtbot, lambda: stored()["lanes"] == ["custom:far/slow", "practice"])
    box = session.compare.prompt_box
    box.parameters.set_sampling(replace(box.sampling(), temperature=1.25))
    wait_for(qtbot, lambda: stored()["temperature"] == 1.25)


KILLED = """
import os, signal, sys
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from app.session import Session
from backends.paths import app_paths
from backends.workbench import Workbench

qt = QApplication([])
session = Session(qt, Workbench(app_paths()))
session.window.show()

def choose():
    session.compare.lane(session.compare.lane_ids[1]).set_target("openai:gpt-4o-mini")
    session.compare.target_chosen.emit(session.compare.lane_ids[1], "openai:gpt-4o-mini")
    QTimer.singleShot(0, look)

def look():
    if "gpt-4o-mini" in app_paths().settings_file.read_text():
        os.kill(os.getpid(), signal.SIGKILL)
    QTimer.singleShot(50, look)

session.window.shown.connect(choose)
QTimer.singleShot(30_000, qt.quit)
sys.exit(qt.exec())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_lane_survives_a_kill() -> None:
    choose(lanes=("local:demo", "practice"), local_only=True)
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert stored()["lanes"] == ["local:demo", "openai:gpt-4o-mini"]
