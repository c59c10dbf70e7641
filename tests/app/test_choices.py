"""What the picker lists where an address cannot be used. Real settings file, real environment."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.choices import target_choices
from app.session import Session
from backends.access import Access
from backends.cloud import known_models
from backends.cloud.offers import ModelList
from backends.cloud.providers import CloudModel
from backends.keys import Secret
from backends.paths import app_paths
from backends.workbench import Workbench
from tests.app.test_window import opened, wait_for
from widgets import theme
from widgets.values import TargetChoice


def settings_with(**stored: object) -> Workbench:
    path = app_paths().settings_file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(stored))
    return Workbench(app_paths())


def listed(bench: Workbench) -> dict[str, TargetChoice]:
    return {choice.name: choice for choice in target_choices(bench)}


@pytest.mark.parametrize("address", ["foo", "http://0.0.0.0:1/v1", "https://u:p@h/", "http://[bad", "http://h:99999"])
def test_a_bad_address_disables_its_provider_alone(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NEARFAR_OPENAI_BASE_URL", address)
    choices = listed(Workbench(app_paths()))
    reason = choices["openai:gpt-4o"].disabled_reason
    assert reason is not None
    assert reason.startswith("OpenAI: ")
    assert not choices["openai:gpt-4o"].is_here
    others = [each for name, each in choices.items() if not name.startswith("openai:")]
    assert len(others) > 2
    assert all(each.disabled_reason is None for each in others)


def test_a_list_of_thousands_is_made_once_and_no_address_is_read_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Workbench(app_paths())
    many = tuple(CloudModel(f"m-{number}") for number in range(2000))
    bench.known_models.keep(ModelList("https://openrouter.ai/api/v1", many, datetime.now(UTC)))
    monkeypatch.setattr(Access, "endpoint", None)
    first, second = target_choices(bench), target_choices(bench)
    served = [each for each in first if each.name.startswith("openrouter:")]
    assert len(served) == 2000
    assert {id(each) for each in served} <= {id(each) for each in second}
    bench.change(local_only=True)
    assert listed(bench)["openrouter:m-7"].disabled_reason == "Local only is on"
    bench.change(local_only=False)
    bench.keys.put("openrouter", Secret("sk-test"))
    assert not listed(bench)["openrouter:m-7"].needs_key


def _offers(session: Session, name: str) -> bool:
    return name in listed(session.bench)


def test_the_window_reads_lists_on_the_engine_thread(
    qtbot: QtBot, qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Workbench(app_paths())
    bench.known_models.keep(ModelList("https://api.openai.com/v1", (CloudModel("gpt-9"),), datetime.now(UTC)))
    threads: list[bool] = []
    read = known_models._read

    def watched(path: Path) -> dict[str, ModelList]:
        threads.append(threading.current_thread() is threading.main_thread())
        return read(path)

    monkeypatch.setattr(known_models, "_read", watched)
    for session in opened(qtbot, qapp):
        wait_for(qtbot, partial(_offers, session, "openai:gpt-9"))
    assert threads == [False]


def test_servers_of_ones_own_with_names_and_addresses_that_cannot_be() -> None:
    servers = {
        "practice": "http://127.0.0.1:1/v1",
        "local": "http://127.0.0.1:1/v1",
        "openai": "http://0.0.0.0:1/v1",
        "nowhere": "http://0.0.0.0:8080/v1",
        "lab": "http://127.0.0.1:8080/v1",
    }
    choices = listed(settings_with(custom_servers=servers))
    said = {name: choice.disabled_reason for name, choice in choices.items() if name.startswith("custom:")}
    assert said.pop("custom:lab/default") is None
    assert set(said) == {"custom:practice/default", "custom:local/default", "custom:nowhere/default"}
    assert all(said.values())
    assert choices["openai:gpt-4o"].disabled_reason is not None


def test_the_window_opens_with_a_stored_lane_at_a_bad_address(
    qtbot: QtBot, qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARFAR_OPENAI_BASE_URL", "foo")
    session = Session(qapp, settings_with(lanes=["local:demo", "openai:gpt-4o"], local_only=False))
    qtbot.addWidget(session.window)
    session.window.show()
    qtbot.waitUntil(lambda: session.status.begun)
    session.compare.set_prompt("hello")
    session.compare.prompt_box.submit()
    assert "does not begin with http" in session.compare.problem_text()
    assert session.compare.prompt_box.prompt() == "hello"
    session.window.close()
    theme.apply(qapp, "light")
