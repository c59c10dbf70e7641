"""The privacy chip says what the door would let pass: the lanes that are shown, and whatever else is allowed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtWidgets import QApplication, QPushButton
from pytestqt.qtbot import QtBot

from app.engine_thread import EngineThread
from app.status_controller import StatusController
from backends.paths import app_paths
from backends.targets import parse_target
from backends.workbench import Workbench
from widgets import theme
from widgets.main_window import MainWindow
from widgets.privacy_chip import PrivacyChip

HERE, AWAY = ["local:demo", "practice"], ["local:demo", "openai:gpt-4o"]


class Bar:
    """The top bar of a window whose lanes show `lanes`."""

    def __init__(self, qtbot: QtBot) -> None:
        self.lanes = HERE
        self.bench = Workbench(app_paths())
        self.window = MainWindow()
        qtbot.addWidget(self.window)
        self.engine = EngineThread(self.window)
        self.status = StatusController(self.window, self.engine, self.bench, lambda: self.lanes)

    def show(self, lanes: list[str]) -> str:
        self.lanes = lanes
        self.bench.access.keep_only(lanes)  # as the session does when lanes change
        self.status.show_privacy()
        return self.chip.text()

    @property
    def chip(self) -> PrivacyChip:
        return next(each for each in self.window.findChildren(QPushButton) if isinstance(each, PrivacyChip))

    def card(self) -> str:
        return " ".join(self.chip._lines())


@pytest.fixture
def bar(qtbot: QtBot, qapp: QApplication) -> Iterator[Bar]:
    made = Bar(qtbot)
    made.engine.start()
    yield made
    made.engine.stop(made.bench.close())
    theme.apply(qapp, "light")


def choose(bar: Bar, name: str) -> None:
    """As the session does when a person chooses a target."""
    if bar.bench.access.consent([parse_target(name)]):
        bar.bench.change(local_only=False)


def test_back_on_practice_nothing_may_be_contacted(bar: Bar) -> None:
    assert bar.show(HERE).startswith("Local only, 0 connections")
    choose(bar, "openai:gpt-4o")
    assert bar.show(AWAY) == "May contact: api.openai.com"
    assert bar.show(HERE).startswith("All lanes local, 0 connections")
    assert "api.openai.com" not in bar.card()


def test_hosts_that_were_contacted_stay_on_the_card(bar: Bar) -> None:
    choose(bar, "openai:gpt-4o")
    bar.bench.egress.begin("chat", "api.openai.com", 443)
    assert bar.show(HERE).startswith("All lanes local, 1 connection since")
    assert "No lane chosen now leaves this machine." in bar.card()
    assert "api.openai.com, 1 connection." in bar.card()


def test_a_host_that_is_still_allowed_is_named_although_no_lane_is(bar: Bar) -> None:
    choose(bar, "openai:gpt-4o")
    bar.bench.egress.allow("left.over.example")
    bar.lanes = HERE
    bar.status.show_privacy()
    assert bar.chip.text() == "May contact: api.openai.com +1"
    assert bar.show(HERE).startswith("All lanes local")
    assert not bar.bench.egress.policy.allows("left.over.example")
    assert not bar.bench.egress.policy.allows("api.openai.com")


@pytest.mark.parametrize("decided", [None, False])
def test_a_stored_lane_after_a_restart_says_whom_it_may_contact(bar: Bar, decided: bool | None) -> None:
    """Nobody has allowed the host in this run yet, but pressing Run would."""
    if decided is not None:
        bar.bench.change(local_only=decided)
    assert bar.bench.egress.snapshot().allowed_hosts == ()
    assert bar.show(AWAY) == "May contact: api.openai.com"


def test_a_list_that_was_asked_for_is_why_local_only_ended(bar: Bar) -> None:
    assert bar.show(HERE).startswith("Local only")
    assert "Local only ended" not in bar.card()
    endpoint = bar.bench.access.endpoint(parse_target("openai:gpt-4o"))
    assert endpoint is not None
    bar.bench.servers.consent(endpoint)
    assert bar.show(HERE).startswith("All lanes local")
    assert "Local only ended when you asked for: list models (api.openai.com)." in bar.card()
    bar.bench.change(local_only=True)
    bar.show(HERE)
    assert "Local only ended" not in bar.card()


def test_local_only_says_whom_it_refuses(bar: Bar) -> None:
    bar.bench.change(local_only=True)
    assert bar.show(AWAY).startswith("Local only, 0 connections")
    assert "Local only refuses api.openai.com" in bar.card()


def test_a_provider_moved_to_this_machine_or_to_nowhere_is_no_host(bar: Bar, monkeypatch: pytest.MonkeyPatch) -> None:
    bar.bench.change(local_only=False)
    monkeypatch.setenv("NEARFAR_OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")
    assert bar.show(AWAY).startswith("All lanes local")
    monkeypatch.setenv("NEARFAR_OPENAI_BASE_URL", "foo")
    assert bar.show(AWAY).startswith("All lanes local")
    assert bar.show(["", "local:demo"]).startswith("All lanes local")
