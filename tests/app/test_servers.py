"""Servers in the real window: looked for, listed, added, and what is offered where a model is gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.choices import target_choices
from app.server_choices import actions
from app.session import Session
from backends.cloud.providers import variable_of
from backends.keys import Secret
from backends.records import Target
from tests.app.test_window import choose, opened, press_run, type_prompt, use, wait_for
from tests.fakes.openai_server import Exchange, OpenAIServer, by_path, error
from widgets.progress_dialog import ProgressDialog
from widgets.target_list import detail_of
from widgets.values import GROUP_OWN, GROUP_SERVERS, TargetChoice

OLLAMA = {
    "/api/version": {"version": "0.14.2"},
    "/v1/models": {"data": [{"id": "llama3.2:3b"}, {"id": "gpt-oss:120b-cloud"}, {"id": "nomic-embed-text"}]},
}


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever really runs on the machine that tests: ports where nothing listens stand for the usual ones."""
    for kind in ("ollama", "llamacpp", "lmstudio", "vllm", "tgi"):
        monkeypatch.setenv(variable_of(kind), "http://127.0.0.1:9/v1")


@pytest.fixture
def session(qtbot: QtBot, qapp: QApplication) -> Iterator[Session]:
    yield from opened(qtbot, qapp)


def act(qtbot: QtBot, session: Session, key: str) -> None:
    session.compare.action_wanted.emit(session.compare.lane_ids[0], key)
    wait_for(qtbot, lambda: not session.servers.busy)
    picker = session.compare.lane(session.compare.lane_ids[0]).head.picker
    shown = picker.target_list()
    if shown is not None:
        shown.hide()


def listed(session: Session) -> dict[str, TargetChoice]:
    return {choice.name: choice for choice in target_choices(session.bench)}


def labels(session: Session) -> dict[str, Any]:
    return {action.key: action for action in actions(session.bench)}


def test_servers_are_looked_for_by_a_click_and_remembered(
    qtbot: QtBot, qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenAIServer(by_path(OLLAMA)) as server:
        monkeypatch.setenv(variable_of("ollama"), server.base_url)
        choose(local_only=True)
        for session in opened(qtbot, qapp):
            assert server.received == []
            assert session.bench.egress.log() == ()
            act(qtbot, session, "look")
            found = listed(session)
            assert found["ollama:llama3.2:3b"].group == GROUP_SERVERS
            assert found["ollama:llama3.2:3b"].is_here
            assert found["ollama:llama3.2:3b"].disabled_reason is None
            passed_on = found["ollama:gpt-oss:120b-cloud"]
            assert (passed_on.where, passed_on.disabled_reason) == ("ollama.com", "Local only is on")
            assert "ollama:nomic-embed-text" not in found
            assert session.compare.problem_text() == ""
        asked = len(server.received)
        for session in opened(qtbot, qapp):
            assert "ollama:llama3.2:3b" in listed(session)
        assert len(server.received) == asked


def test_nothing_found_says_what_was_asked(qtbot: QtBot, session: Session) -> None:
    act(qtbot, session, "look")
    assert "No model server answers on this machine" in session.compare.problem_text()
    assert session.bench.egress.snapshot().connections == 0


def test_a_server_that_is_gone_is_not_offered_any_more(
    qtbot: QtBot, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenAIServer(by_path(OLLAMA)) as server:
        monkeypatch.setenv(variable_of("ollama"), server.base_url)
        act(qtbot, session, "look")
        assert "ollama:llama3.2:3b" in listed(session)
    act(qtbot, session, "look")
    assert "ollama:llama3.2:3b" not in listed(session)


def test_a_providers_list_is_laid_over_the_shipped_table(
    qtbot: QtBot, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [{"id": "gpt-4o", "shutdown_date": "2027-02-28"}, {"id": "gpt-7-nova", "shutdown_date": None}]
    with OpenAIServer(by_path({"/v1/models": {"data": data}})) as server:
        monkeypatch.setenv(variable_of("openai"), server.base_url)
        session.bench.keys.put("openai", Secret("sk-test"))
        act(qtbot, session, "list:openai")
        assert len(server.received) == 1
    found = {name: choice for name, choice in listed(session).items() if name.startswith("openai:")}
    assert list(found) == ["openai:gpt-4o", "openai:gpt-7-nova"]
    assert found["openai:gpt-4o"].retires_on == "2027-02-28"
    assert labels(session)["list:openai"].label == "List the models of OpenAI again…"
    assert session.compare.problem_text() == ""


def test_a_refused_list_says_so_and_forgets_the_key(
    qtbot: QtBot, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenAIServer(error(401)) as server:
        monkeypatch.setenv(variable_of("openai"), server.base_url)
        session.bench.keys.put("openai", Secret("sk-test"))
        act(qtbot, session, "list:openai")
    assert "did not accept the API key" in session.compare.problem_text()
    assert session.bench.access.needs_key(Target("openai", "gpt-4o"))


def test_a_key_that_may_not_list_is_kept(qtbot: QtBot, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer(error(403)) as server:
        monkeypatch.setenv(variable_of("openai"), server.base_url)
        session.bench.keys.put("openai", Secret("sk-test"))
        act(qtbot, session, "list:openai")
    assert "does not let this key list models" in session.compare.problem_text()
    assert not session.bench.access.needs_key(Target("openai", "gpt-4o"))


def test_under_local_only_a_server_that_was_not_listed_is_named(qtbot: QtBot, qapp: QApplication) -> None:
    choose(local_only=True, custom_servers={"lab": "https://lab.example.org/v1"})
    for session in opened(qtbot, qapp):
        said = detail_of(listed(session)["custom:lab/default"])
        assert "lab" in said
        assert said.endswith("Local only is on")


def test_under_local_only_no_list_is_fetched(qtbot: QtBot, qapp: QApplication) -> None:
    choose(local_only=True)
    for session in opened(qtbot, qapp):
        assert labels(session)["list:openai"].disabled_reason == "Local only is on"
        assert labels(session)["look"].disabled_reason is None
        act(qtbot, session, "list:openai")
        assert "Local only is switched on" in session.compare.problem_text()
        assert session.bench.egress.log() == ()


def test_a_server_of_ones_own_is_added_listed_used_and_removed(qtbot: QtBot, session: Session) -> None:
    page = session.settings.servers
    with OpenAIServer(by_path({"/v1/models": {"data": [{"id": "phi-4"}]}})) as server:
        session.window.open_page("settings")
        page.add_wanted.emit("Lab!", server.base_url)
        assert "cannot be the name of a server" in page.trouble_text()
        page.add_wanted.emit("openai", server.base_url)
        assert "a provider's name" in page.trouble_text()
        page.add_wanted.emit("lab", "foo")
        assert "does not begin with http" in page.trouble_text()
        assert "Nothing was changed." in page.trouble_text()
        assert "Nothing was started." not in page.trouble_text()
        page.add_wanted.emit(" lab ", server.base_url + "/")
        assert page.trouble_text() == ""
        assert page.names() == ["lab"]
        assert dict(session.bench.settings.custom_servers) == {"lab": server.base_url}
        page.add_wanted.emit("lab", server.base_url)
        assert "already" in page.trouble_text()
        assert listed(session)["custom:lab/default"].group == GROUP_OWN
        assert server.received == []
        page.list_wanted.emit("lab")
        wait_for(qtbot, lambda: not session.servers.busy)
    assert [name for name in listed(session) if name.startswith("custom:")] == ["custom:lab/phi-4"]
    assert session.settings.problem_text() == ""
    page.removed.emit("lab")
    assert page.names() == []
    assert not any(name.startswith("custom:") for name in listed(session))


def test_the_key_of_a_removed_server_is_forgotten(qtbot: QtBot, session: Session) -> None:
    page = session.settings.servers
    target = Target("custom", "lab/phi-4")
    with OpenAIServer(by_path({"/v1/models": {"data": [{"id": "phi-4"}]}})) as server:
        page.add_wanted.emit("lab", server.base_url)
        session.bench.access.keep_key(target, Secret("sk-test-lab"))
        page.removed.emit("lab")
        wait_for(qtbot, lambda: not any(key_of(session, server)))
        page.add_wanted.emit("lab", server.base_url)
        page.list_wanted.emit("lab")
        wait_for(qtbot, lambda: not session.servers.busy)
        assert "authorization" not in server.received[-1].headers


def key_of(session: Session, server: OpenAIServer) -> list[bool]:
    return [session.bench.keys.has(name) for name in ("custom:lab", f"custom:lab@127.0.0.1:{server.port}")]


def test_where_a_model_is_gone_another_is_offered(
    qtbot: QtBot, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenAIServer(error(404, code="model_not_found", message="The model does not exist")) as server:
        monkeypatch.setenv(variable_of("openai"), server.base_url)
        session.bench.keys.put("openai", Secret("sk-test"))
        use(session, 1, "openai:gpt-4.1-nano")
        session.compare.remove_lane(session.compare.lane_ids[0])
        type_prompt(qtbot, session, "hello")
        press_run(qtbot, session)
        wait_for(qtbot, lambda: not session.runs.busy)
    lane = session.compare.lane(session.compare.lane_ids[0])
    assert lane.state.problem is not None
    assert lane.state.problem.code == "cloud_model_unknown"
    assert lane.banner.offered_text() == "Use gpt-6-luna"
    assert "Choose gpt-6-luna, which OpenAI offers" in lane.banner.text()


def test_a_stopped_look_changes_nothing(qtbot: QtBot, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.until_gone()

    with OpenAIServer(silent) as server:
        monkeypatch.setenv(variable_of("openai"), server.base_url)
        session.bench.keys.put("openai", Secret("sk-test"))
        session.compare.action_wanted.emit(session.compare.lane_ids[0], "list:openai")
        wait_for(qtbot, lambda: bool(server.received))
        dialog = session.window.findChild(ProgressDialog)
        assert dialog is not None
        wait_for(qtbot, lambda: dialog.isVisible())
        dialog.reject()
        wait_for(qtbot, lambda: not session.servers.busy)
        assert server.gone.wait(1.0)
    assert session.compare.problem_text() == ""
    assert session.bench.known_models.of(server.base_url) is None
