"""Two windows and a command on one settings file: none undoes what another chose, and each shows what holds."""

from __future__ import annotations

import asyncio
import json
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
