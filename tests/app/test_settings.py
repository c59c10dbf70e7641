"""The Settings page in the real window: what is changed there holds, is kept, and is shown after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.session import Session
from backends.paths import app_paths
from tests.app.models_window import press
from tests.app.test_window import choose, opened, wait_for
from tests.gguf_factory import write_script
from widgets.ask_dialog import MoveFolderDialog
from widgets.context_slider import ContextSlider
from widgets.values import AcceptedLicence, SettingsView


@pytest.fixture
def session(qtbot: QtBot, qapp: QApplication) -> Iterator[Session]:
    yield from opened(qtbot, qapp)


def change(session: Session, **values: Any) -> None:
    """As the page does: all settings, one of them another."""
    session.settings.changed.emit(replace(session.settings.settings(), **values))


def view(session: Session) -> SettingsView:
    return session.settings.settings()


def test_what_is_changed_holds_and_survives_a_restart(qtbot: QtBot, qapp: QApplication) -> None:
    choose(accepted_licences=("llama3.1", "other@some/repo"), added_repos=("maker/Tiny-GGUF",))
    for session in opened(qtbot, qapp):
        assert [each.tag for each in view(session).accepted_licences] == ["llama3.1", "other@some/repo"]
        assert view(session).accepted_licences[0].name.startswith("Llama 3.1")
        change(session, n_ctx=4096)
        change(session, kv_type="q8_0")
        change(session, download_limit_mb_s=2.5)
        change(session, accepted_licences=(AcceptedLicence("llama3.1"),))
        change(session, added_repos=())
        settings = session.bench.settings
        assert (settings.n_ctx, settings.kv_type) == (4096, "q8_0")
        assert session.bench.local.wish().n_ctx == 4096
        assert session.models.state.wish.kv_type == "q8_0"
    for session in opened(qtbot, qapp):
        again = view(session)
        assert (again.n_ctx, again.kv_type, again.download_limit_mb_s) == (4096, "q8_0", 2.5)
        assert [each.tag for each in again.accepted_licences] == ["llama3.1"]
        assert again.added_repos == ()


def test_opening_the_page_changes_no_choice_about_the_network(session: Session) -> None:
    change(session, n_ctx=4096)
    assert session.bench.settings.local_only is None, "still undecided"


def move(qtbot: QtBot, session: Session, old: Path, new: Path) -> None:
    wait_for(qtbot, lambda: len(session.models.state.installed) == 1)
    session.window.open_page("settings")
    wait_for(qtbot, lambda: view(session).models_folder_free_bytes is not None)
    assert view(session).models_folder == str(old)
    session.settings.folder_chosen.emit(str(new))
    wait_for(qtbot, lambda: bool(session.window.findChildren(MoveFolderDialog)))
    press(session.window.findChildren(MoveFolderDialog)[0], "Change folder")
    wait_for(qtbot, lambda: view(session).models_folder == str(new))
    wait_for(qtbot, lambda: bool(list(new.rglob("*.gguf"))) and not list(old.rglob("*.gguf")))


def test_the_folder_moves_with_its_models(qtbot: QtBot, qapp: QApplication, tmp_path: Path) -> None:
    old, new = app_paths().models, tmp_path / "elsewhere"
    old.mkdir(parents=True)
    write_script(old / "mine-Q8_0.gguf", [b" one", b" two"])
    for session in opened(qtbot, qapp):
        move(qtbot, session, old, new)


def test_a_folder_that_cannot_be_used_is_told_on_this_page(qtbot: QtBot, session: Session, tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.write_text("no folder")
    session.window.open_page("settings")
    before = view(session).models_folder
    session.settings.folder_chosen.emit(str(file / "inside"))
    wait_for(qtbot, lambda: bool(session.settings.problem_text()))
    assert view(session).models_folder == before
    session.window.open_page("compare")
    session.window.open_page("settings")
    assert session.settings.problem_text() == ""


def test_settings_that_cannot_be_saved_are_told_where_the_person_is(qtbot: QtBot, session: Session) -> None:
    app_paths().settings_file.mkdir(parents=True)
    session.window.open_page("settings")
    change(session, n_ctx=4096)
    wait_for(qtbot, lambda: "could not be saved" in session.settings.problem_text())
    assert "could not be saved" not in session.compare.problem_text()


def test_nothing_on_the_page_is_cut_off(qtbot: QtBot, session: Session) -> None:
    session.window.resize(1280, 800)
    session.window.open_page("settings")
    slider = session.settings.findChildren(ContextSlider)[0]
    wait_for(qtbot, slider.isVisible)
    qtbot.wait(100)
    assert slider.height() >= slider.minimumSizeHint().height()
