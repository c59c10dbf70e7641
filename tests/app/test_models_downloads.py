"""Downloads from the window: licence, pause, token, repos, local only, an answer by what came. Real loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication, QLabel, QLineEdit
from pytestqt.qtbot import QtBot

from backends.paths import app_paths
from backends.workbench import Workbench
from tests.app.models_command import LARGE, LARGE_BYTES, REPO
from tests.app.models_window import REF, TALKS, ModelsWindow, hub, press
from tests.fakes.hub_server import HubServer
from widgets.choice_card import ChoiceCard
from widgets.download_doubt import DownloadDoubt
from widgets.licence_dialog import LicenceDialog
from widgets.repo_dialog import AddRepoDialog
from widgets.token_dialog import TokenDialog

BIG = f"hf:{REPO}/{LARGE}"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with hub(tmp_path / "hub") as made:
        monkeypatch.setenv("NEARFAR_HUB_URL", made.url)
        yield made


@pytest.fixture
def window(qtbot: QtBot, qapp: QApplication, server: HubServer) -> Iterator[ModelsWindow]:
    made = ModelsWindow(qtbot, qapp)
    yield made
    made.close(qapp)


def test_from_a_click_through_the_licence_to_an_answer(window: ModelsWindow, server: HubServer) -> None:
    session = window.session
    window.page.download_requested.emit(TALKS)
    assert window.downloads[TALKS].state == "queued"
    assert not server.cdn_seen
    dialog = window.dialog(LicenceDialog)
    assert "Built with Llama" in [label.text() for label in dialog.findChildren(QLabel)]
    window.accept_licence(LicenceDialog)
    window.wait(lambda: TALKS in window.installed)
    assert window.installed[TALKS].check == "verified"
    window.wait(lambda: window.downloads[TALKS].state == "done")
    window.page.use_requested.emit(TALKS)
    assert session.window.current_page() == "compare"
    first = session.compare.lane(session.compare.lane_ids[0])
    assert first.target == f"local:{TALKS}"
    session.compare.set_prompt("go")
    session.compare.run_requested.emit(session.compare.ask())
    window.wait(lambda: not session.runs.busy)
    window.wait(lambda: not session.compare.tick())
    assert [outcome.phase for outcome in session.compare.outcomes()] == ["done", "done"]
    assert "word39" in first.answer_text()


def test_the_licence_is_asked_once_and_closing_it_downloads_nothing(window: ModelsWindow, server: HubServer) -> None:
    window.page.download_requested.emit(REF)
    window.dialog(LicenceDialog).reject()
    window.wait(lambda: not window.downloads)
    assert not server.cdn_seen
    assert not window.session.bench.settings.accepted_licences
    window.download(REF)
    window.wait(lambda: REF in window.installed)
    window.page.download_requested.emit(TALKS)
    window.wait(lambda: TALKS in window.installed)


def rail(window: ModelsWindow) -> str:
    return window.session.window._rail._buttons["models"].accessibleName()


def test_pause_resume_and_the_ring_on_the_rail(window: ModelsWindow, server: HubServer) -> None:
    server.bytes_s = 1_000_000
    window.download(BIG)
    window.wait(lambda: BIG in window.downloads and window.downloads[BIG].received_bytes > 0)
    assert rail(window).startswith("Models page, downloading, ")
    window.page.pause_requested.emit(BIG)
    window.wait(lambda: window.downloads[BIG].state == "paused")
    assert rail(window) == "Models page"
    assert 0 < window.downloads[BIG].received_bytes < LARGE_BYTES
    server.bytes_s = None
    window.page.resume_requested.emit(BIG)
    window.wait(lambda: BIG in window.installed and window.downloads[BIG].state == "done")
    assert rail(window) == "Models page", "who looks at the page sees that it is done"
    window.session.window.open_page("compare")
    window.session.window.open_page("models")
    window.wait(lambda: BIG not in window.downloads)


def test_what_was_done_elsewhere_waits_to_be_seen(window: ModelsWindow, server: HubServer) -> None:
    server.bytes_s = 1_000_000
    window.download(BIG)
    window.wait(lambda: BIG in window.downloads and window.downloads[BIG].received_bytes > 0)
    window.session.window.open_page("compare")
    server.bytes_s = None
    window.wait(lambda: rail(window) == "Models page, a download is done")
    window.session.window.open_page("history")
    window.session.window.open_page("models")
    assert rail(window) == "Models page"
    window.wait(lambda: window.downloads[BIG].state == "done")


def test_what_does_not_fit_is_asked_about_first(window: ModelsWindow, server: HubServer) -> None:
    huge = "llama-3.1-405b:Q4_K_M"
    window.wait(lambda: huge in window.rows)
    window.page.download_requested.emit(huge)
    window.dialog(DownloadDoubt).reject()
    assert not window.state.planning
    assert not server.seen
    window.state.folder_free_bytes = 10
    small = "llama-3.2-1b:Q4_K_M"
    window.page.download_requested.emit(small)
    dialog = window.dialog(DownloadDoubt)
    assert any("only 10 bytes free" in label.text() for label in dialog.findChildren(QLabel))
    press(dialog, "Download anyway")
    assert small in window.state.planning
    window.page.cancel_requested.emit(small, True)


def test_a_download_that_the_close_paused_is_there_at_the_next_start(
    qtbot: QtBot, qapp: QApplication, server: HubServer
) -> None:
    server.bytes_s = 1_000_000
    window = ModelsWindow(qtbot, qapp)
    window.download(BIG)
    window.wait(lambda: BIG in window.downloads and window.downloads[BIG].received_bytes > 0)
    window.close(qapp)
    again = ModelsWindow(qtbot, qapp)
    again.wait(lambda: BIG in again.downloads)
    assert again.downloads[BIG].state == "paused"
    assert again.downloads[BIG].received_bytes > 0
    again.page.cancel_requested.emit(BIG, True)
    again.wait(lambda: BIG not in again.downloads)
    again.close(qapp)
    assert not list(app_paths().models.rglob("*.part"))


def test_local_only_refuses_with_its_sentence(
    qtbot: QtBot, qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the real hub's address, which a test may not reach."""
    monkeypatch.delenv("NEARFAR_HUB_URL", raising=False)
    bench = Workbench(app_paths())
    bench.change(local_only=True)
    asyncio.run(bench.save())
    window = ModelsWindow(qtbot, qapp)
    assert window.page._view.local_only
    window.page.download_requested.emit("llama-3.2-1b:Q4_K_M")
    window.wait(window.said)
    assert "huggingface.co is not contacted" in window.said()
    assert not window.downloads
    assert window.session.bench.egress.snapshot().connections == 0
    window.close(qapp)


def test_a_gated_repo_asks_for_a_token_and_goes_on(window: ModelsWindow, server: HubServer) -> None:
    server.gated.add(REPO)
    window.download(REF)
    dialog = window.dialog(TokenDialog)
    assert window.downloads[REF].state == "failed"
    dialog.findChildren(QLineEdit)[0].setText(server.token)
    press(dialog, "Use this token")
    window.wait(lambda: REF in window.installed)


def test_a_repo_that_the_hub_hides_asks_for_a_token_too(window: ModelsWindow, server: HubServer) -> None:
    """A private one: the hub does not say why nobody may see it."""
    server.hidden.add(REPO)
    window.page.download_requested.emit(REF)
    dialog = window.dialog(TokenDialog)
    assert (
        "may be private or gated, or its name may be wrong" in dialog.findChildren(QLineEdit)[0].accessibleDescription()
    )
    dialog.findChildren(QLineEdit)[0].setText(server.token)
    press(dialog, "Use this token")
    window.accept_licence(LicenceDialog)
    window.wait(lambda: REF in window.installed)


def test_a_repo_is_listed_and_a_file_of_it_downloaded(window: ModelsWindow) -> None:
    window.page.add_repo_requested.emit()
    dialog = window.dialog(AddRepoDialog)
    dialog.type_repo("maker/Missing-GGUF")
    dialog.look_up()
    window.wait(lambda: dialog._banner.text())
    press(window.dialog(TokenDialog), "Cancel")
    dialog.type_repo(REPO)
    dialog.look_up()
    window.wait(lambda: dialog.findChildren(ChoiceCard))
    card = next(each for each in dialog.findChildren(ChoiceCard) if "tiny" in each.title())
    card.setChecked(True)
    press(dialog, "Download")
    window.accept_licence(LicenceDialog)
    window.wait(lambda: REF in window.installed)
    assert window.session.bench.settings.added_repos == (REPO,)
    window.wait(lambda: REF in window.rows)
    assert window.rows[REF].state == "installed"


def test_verify_finds_a_changed_byte(window: ModelsWindow) -> None:
    """Of a model whose hash the hub told."""
    window.download(REF)
    window.wait(lambda: REF in window.installed and window.installed[REF].check == "verified")
    (path,) = app_paths().models.rglob("tiny-Q8_0.gguf")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    window.page.verify_requested.emit(REF)
    window.wait(window.said)
    assert window.installed[REF].check == "changed"
    assert "tiny-Q8_0.gguf is not the file it should be: its sha256 is another." in window.said()
    assert "It was left where it is." in window.said()
