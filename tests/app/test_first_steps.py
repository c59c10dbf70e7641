"""The first start at the real window: machine, offer, download over loopback, a comparison that works. Shown once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.session import Session
from backends.local_models import LocalModels
from backends.paths import app_paths
from backends.workbench import Workbench
from tests.app.models_command import REPO
from tests.app.models_window import TALKS, ModelsWindow, hub, press
from tests.app.test_window import compare, phases, texts, wait_for
from tests.fakes.hub_server import HubServer
from tests.gguf_factory import write_script
from widgets import theme
from widgets.ask_dialog import ImportDialog
from widgets.assistant import Assistant
from widgets.busy_bar import BusyBar
from widgets.licence_dialog import LicenceDialog
from widgets.token_dialog import TokenDialog


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with hub(tmp_path / "hub") as made:
        monkeypatch.setenv("NEARFAR_HUB_URL", made.url)
        yield made


class FirstStart(ModelsWindow):
    """A session as a new user starts it; its catalogue has one model, which the stand-in hub serves."""

    def __init__(self, qtbot: QtBot, qapp: QApplication) -> None:
        self.qtbot = qtbot
        bench = Workbench(app_paths())
        smallest = min(bench.models.catalogue(), key=lambda model: model.parameters)
        quant = replace(smallest.quants[-1], ref=TALKS, quality=None)
        bench.models.catalogue = lambda: (replace(smallest, quants=(quant,)),)  # type: ignore[method-assign]
        self.session = Session(qapp, bench, first_steps=True)
        self.page = self.session.models_page
        self.state = self.session.models.state
        self.session.window.show()

    def download_state(self) -> str:
        line = self.sheet().shown().download
        return "" if line is None else line.state

    def offered(self) -> list[str]:
        return [row.ref for row in self.sheet().shown().offers or ()]

    def sheet(self) -> Assistant:
        self.wait(lambda: self.session.first_steps.sheet is not None)
        sheet = self.session.first_steps.sheet
        assert sheet is not None
        return sheet


@pytest.fixture
def first(qtbot: QtBot, qapp: QApplication, server: HubServer) -> Iterator[FirstStart]:
    made = FirstStart(qtbot, qapp)
    yield made
    made.close(qapp)


def started_again(qtbot: QtBot, qapp: QApplication) -> bool:
    """Whether the assistant comes up at the next start."""
    session = Session(qapp, Workbench(app_paths()), first_steps=True)
    session.window.show()
    wait_for(qtbot, lambda: session.status.begun)
    qtbot.wait(500)
    shown = session.first_steps.sheet is not None
    session.window.close()
    session.window.deleteLater()
    theme.apply(qapp, "light")
    return shown


def test_from_the_first_paint_to_a_comparison_with_a_model_that_fits(
    first: FirstStart, qtbot: QtBot, server: HubServer
) -> None:
    sheet, session = first.sheet(), first.session
    first.wait(lambda: sheet.shown().machine.devices)
    assert not server.cdn_seen, "looking at the machine contacts nobody"
    press(sheet, "Next")
    assert sheet.step() == 2
    first.wait(first.offered)
    assert first.offered() == [TALKS]
    press(sheet, "Download")
    first.accept_licence(LicenceDialog)
    lane = session.compare.lane(session.compare.lane_ids[0])
    first.wait(lambda: lane.target == f"local:{TALKS}")
    first.wait(lambda: first.download_state() == "done")
    press(sheet, "Start comparing")
    assert session.window.current_page() == "compare"
    assert session.bench.settings.first_start_done
    compare(qtbot, session, "go")
    assert phases(session) == ["done", "done"]
    assert "word39" in texts(session)[0]
    assert "(predicted " in lane.head.detail_text()


def test_skip_leaves_lanes_that_work_and_it_never_comes_back_by_itself(
    first: FirstStart, qtbot: QtBot, qapp: QApplication, server: HubServer
) -> None:
    sheet, session = first.sheet(), first.session
    sheet.reject()
    assert session.first_steps.sheet is None
    assert session.bench.settings.first_start_done
    assert [session.compare.lane(each).target for each in session.compare.lane_ids] == ["local:demo", "practice"]
    session.settings.first_steps_requested.emit()
    assert first.sheet().step() == 1, "unless it is asked for"
    first.sheet().reject()
    session.window.close()
    assert not started_again(qtbot, qapp)
    assert not server.cdn_seen


def test_who_has_a_history_is_not_shown_around(qtbot: QtBot, qapp: QApplication) -> None:
    session = Session(qapp, Workbench(app_paths()))
    session.window.show()
    wait_for(qtbot, lambda: session.status.begun)
    compare(qtbot, session)
    session.window.close()
    session.window.deleteLater()
    assert not session.bench.settings.first_start_done
    assert not started_again(qtbot, qapp)


def test_a_licence_that_is_not_accepted_downloads_nothing(first: FirstStart, server: HubServer) -> None:
    sheet = first.sheet()
    sheet.go_to(2)
    first.wait(first.offered)
    press(sheet, "Download")
    first.dialog(LicenceDialog).reject()
    assert first.session.first_steps.sheet is sheet
    assert sheet.shown().download is None
    assert not server.cdn_seen


def test_a_hub_that_is_not_there_is_told_here_and_can_be_tried_again(
    qtbot: QtBot, qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARFAR_HUB_URL", "http://127.0.0.1:9")
    first = FirstStart(qtbot, qapp)
    sheet = first.sheet()
    sheet.go_to(2)
    first.wait(first.offered)
    press(sheet, "Download")
    first.wait(lambda: first.download_state() == "failed")
    told = sheet.shown().download
    assert told is not None
    assert told.problem is not None
    assert told.problem.code == "hub_unreachable"
    press(sheet, "Try again")
    assert first.download_state() == "queued", "it says at once that the hub is being asked"
    first.wait(lambda: first.download_state() == "failed")
    first.close(qapp)


def test_a_file_of_ones_own_ends_it_too(first: FirstStart, tmp_path: Path) -> None:
    sheet, session = first.sheet(), first.session
    mine = write_script(tmp_path / "mine-Q8_0.gguf", [f" own{number}".encode() for number in range(20)])
    sheet.go_to(2)
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"no model at all")
    sheet.import_requested.emit((str(bad),))
    press(first.dialog(ImportDialog), "Import")
    first.wait(lambda: sheet.shown().problem is not None)
    sheet.import_requested.emit((str(mine),))
    press(first.dialog(ImportDialog), "Import")
    first.wait(lambda: session.first_steps.sheet is None)
    assert session.compare.lane(session.compare.lane_ids[0]).target.startswith("local:mine")
    assert session.bench.settings.first_start_done


async def never(*_args: object, **_kwargs: object) -> None:
    await asyncio.Event().wait()


def test_while_the_hub_thinks_it_says_so_and_can_be_cancelled(
    first: FirstStart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first.session.bench.models, "plan_for", never)
    sheet = first.sheet()
    sheet.go_to(2)
    first.wait(first.offered)
    press(sheet, "Download")
    told = sheet.shown().download
    assert told is not None
    assert told.asking_hub
    assert any(bar.isVisible() and bar.accessibleName() == "Asking the hub" for bar in sheet.findChildren(BusyBar))
    press(sheet, "Cancel")
    assert sheet.shown().download is None
    assert not first.state.planning


def test_a_token_that_is_not_given_is_told_here(first: FirstStart, server: HubServer) -> None:
    server.gated.add(REPO)
    sheet = first.sheet()
    sheet.go_to(2)
    first.wait(first.offered)
    press(sheet, "Download")
    first.wait(lambda: first.open_dialogs(LicenceDialog) or first.open_dialogs(TokenDialog))
    if first.open_dialogs(LicenceDialog):
        first.accept_licence(LicenceDialog)
    first.dialog(TokenDialog).reject()
    first.wait(lambda: first.download_state() == "failed")


def test_the_machine_is_shown_before_its_memory_was_measured(
    qtbot: QtBot, qapp: QApplication, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalModels, "measure_memory", never)
    first = FirstStart(qtbot, qapp)
    first.wait(lambda: first.sheet().shown().machine.devices)
    first.close(qapp)


def test_offers_come_again_once_the_memory_was_measured(
    qtbot: QtBot, qapp: QApplication, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = LocalModels.measure_memory
    go = threading.Event()

    async def when_told(self: LocalModels, patience_s: float = 1.5) -> None:
        await asyncio.to_thread(go.wait)
        await measured(self, 0.0)

    monkeypatch.setattr(LocalModels, "measure_memory", when_told)
    first = FirstStart(qtbot, qapp)
    first.wait(lambda: first.sheet().shown().machine.devices)
    qtbot.wait(500)
    assert first.sheet().shown().offers is None, "nothing is said to be unfit before the speed is known"
    go.set()
    first.wait(first.offered)
    first.close(qapp)


def test_an_import_that_was_cancelled_closes_nothing_later(first: FirstStart, tmp_path: Path) -> None:
    sheet, session = first.sheet(), first.session
    mine = write_script(tmp_path / "mine-Q8_0.gguf", [b" own"])
    sheet.import_requested.emit((str(mine),))
    first.dialog(ImportDialog).reject()
    session.models.library.bring_in([str(mine)], "copy")
    first.wait(lambda: "mine-Q8_0" in {model.ref for model in first.state.installed})
    QApplication.processEvents()
    assert session.first_steps.sheet is sheet
    assert session.compare.lane(session.compare.lane_ids[0]).target == "local:demo"
