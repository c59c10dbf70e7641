"""The key dialog at the real window: a refused key is asked for anew, and a cancelled dialog is no consent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.session import Session
from tests.app.test_window import opened, phases, type_prompt, use, wait_for
from tests.fakes.openai_server import OpenAIServer, answer, error
from widgets.key_dialog import KeyDialog


@pytest.fixture
def session(qtbot: QtBot, qapp: QApplication) -> Iterator[Session]:
    yield from opened(qtbot, qapp)


def test_a_refused_key_is_asked_for_anew(qtbot: QtBot, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["sk-wrong", "sk-right"])
    monkeypatch.setattr(KeyDialog, "exec", lambda dialog: dialog.key_entered.emit("openai", next(typed)))
    with OpenAIServer(error(401), answer("Hello")) as server:
        monkeypatch.setenv("NEARFAR_OPENAI_BASE_URL", server.base_url)
        use(session, 1, "openai:gpt-4o")
        type_prompt(qtbot, session, "Hello?")
        session.compare.prompt_box.submit()
        wait_for(qtbot, lambda: not session.runs.busy)
        assert phases(session)[1] == "failed"
        session.compare.lane_retry_requested.emit(session.compare.lane_ids[1])
        wait_for(qtbot, lambda: not session.runs.busy)
    assert phases(session)[1] == "done"
    assert next(typed, None) is None


def test_a_cancelled_dialog_is_no_consent(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KeyDialog, "exec", lambda _dialog: 0)
    session.compare.target_chosen.emit(session.compare.lane_ids[1], "openai:gpt-4o")
    assert session.bench.settings.local_only is None
    assert session.bench.egress.policy.local_only
