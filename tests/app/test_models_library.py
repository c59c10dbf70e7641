"""Files from the window: import by drop, verify, remove, find, another folder. Real files, real dialogs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from backends.paths import app_paths
from backends.records import Sampling
from tests.app.models_window import LIMIT_MS, ModelsWindow, press
from tests.backends.models.library_support import write_model
from widgets.ask_dialog import ImportDialog, MoveFolderDialog, RemoveDialog


@pytest.fixture
def window(qtbot: QtBot, qapp: QApplication) -> Iterator[ModelsWindow]:
    made = ModelsWindow(qtbot, qapp)
    yield made
    made.close(qapp)


def drop(window: ModelsWindow, path: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    none = Qt.KeyboardModifier.NoModifier
    event = QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, none)
    window.page.dropEvent(event)


def imported(window: ModelsWindow, tmp_path: Path, way: str = "copy") -> Path:
    path = write_model(tmp_path / "mine.gguf")
    window.session.models.library.bring_in([str(path)], way)
    window.wait(lambda: "mine" in window.installed)
    return path


def test_a_file_that_is_dropped_is_copied_and_can_be_chosen(window: ModelsWindow, tmp_path: Path) -> None:
    path = write_model(tmp_path / "mine.gguf")
    drop(window, path)
    press(window.dialog(ImportDialog), "Import")
    window.wait(lambda: "mine" in window.installed)
    assert (app_paths().models / "imported" / "mine.gguf").read_bytes() == path.read_bytes()
    assert "can be used" in window.said()
    names = [choice.name for choice in window.session.compare._choices]
    assert "local:mine" in names


def test_a_damaged_file_is_refused_with_a_sentence(window: ModelsWindow, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"<!DOCTYPE html><p>sign in</p>" * 100)
    drop(window, path)
    press(window.dialog(ImportDialog), "Import")
    window.wait(window.said)
    assert "bad.gguf is a web page, not a model" in window.said()
    assert "Nothing was imported" in window.said()
    assert not window.installed


def test_remove_says_what_it_frees_and_deletes_the_file(window: ModelsWindow, tmp_path: Path) -> None:
    path = imported(window, tmp_path)
    window.page.remove_requested.emit("mine")
    press(window.dialog(RemoveDialog), "Remove")
    window.wait(lambda: "mine" not in window.installed)
    assert path.exists()
    assert not list(app_paths().models.rglob("mine.gguf"))


def test_a_file_used_where_it_lies_is_only_taken_off_the_list(window: ModelsWindow, tmp_path: Path) -> None:
    path = imported(window, tmp_path, "in_place")
    assert not list(app_paths().models.rglob("*.gguf"))
    window.page.remove_requested.emit("mine")
    dialog = window.dialog(RemoveDialog)
    assert dialog.windowTitle().startswith("Forget")
    press(dialog, "Forget")
    window.wait(lambda: "mine" not in window.installed)
    assert path.exists()


def test_verify_has_nothing_to_compare_a_file_of_ones_own_with(window: ModelsWindow, tmp_path: Path) -> None:
    imported(window, tmp_path)
    window.page.verify_requested.emit("mine")
    assert window.installed["mine"].check == "checking"
    window.wait(lambda: window.installed["mine"].check == "unverified")
    assert "is not the file" not in window.said()


def test_another_folder_takes_the_models_along(window: ModelsWindow, tmp_path: Path) -> None:
    imported(window, tmp_path)
    new = tmp_path / "elsewhere"
    new.mkdir()
    window.session.models.library.choose_folder(str(new))
    press(window.dialog(MoveFolderDialog), "Change folder")
    window.wait(lambda: window.page._view.folder == str(new))
    assert list(new.rglob("mine.gguf"))
    assert not list(app_paths().models.rglob("mine.gguf"))
    assert window.session.bench.settings.models_folder == str(new)
    window.wait(lambda: "mine" in window.installed)


def test_models_of_other_programs_are_found_and_used_where_they_lie(
    window: ModelsWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    window.page.find_requested.emit()
    window.wait(window.said)
    assert "No models of other programs were found" in window.said()
    write_model(tmp_path / ".lmstudio" / "models" / "maker" / "Tiny-GGUF" / "tiny-Q8_0.gguf")
    window.page.find_requested.emit()
    window.wait(lambda: "Found 1 model of LM Studio" in window.said())
    (line,) = window.installed.values()
    assert line.origin == "LM Studio"
    assert not line.can_remove


def came_back(window: ModelsWindow) -> None:
    """The person looks at another program, then at this window again."""
    other = QWidget()
    other.show()
    other.activateWindow()
    window.wait(lambda: not window.session.window.isActiveWindow())
    other.close()
    other.deleteLater()
    window.session.window.activateWindow()
    window.wait(window.session.window.isActiveWindow)


def test_what_others_bring_and_take_shows_when_the_page_or_the_window_is_looked_at(window: ModelsWindow) -> None:
    window.wait(lambda: window.rows)
    window.session.window.open_page("compare")
    path = write_model(app_paths().models / "by-hand.gguf")
    window.session.window.open_page("models")
    window.wait(lambda: "by-hand" in window.installed)
    path.rename(path.with_name("renamed.gguf"))
    came_back(window)
    window.wait(lambda: "renamed" in window.installed)
    assert "by-hand" not in window.installed
    assert "local:renamed" in [choice.name for choice in window.session.compare._choices]


def test_a_look_that_finds_nothing_new_judges_nothing_anew(window: ModelsWindow, tmp_path: Path) -> None:
    imported(window, tmp_path)
    window.wait(lambda: window.rows)
    news: list[object] = []
    window.session.models.installed_changed.connect(lambda: news.append(1))
    looked: list[object] = []
    window.session.models._installed_news.connect(looked.append)
    window.session.models.disk.look()
    window.wait(lambda: looked)
    assert news == []


def test_after_a_run_the_row_says_when_it_was_used(window: ModelsWindow, tmp_path: Path) -> None:
    imported(window, tmp_path)
    assert window.installed["mine"].last_used_at is None
    compare = window.session.compare
    compare.lane(compare.lane_ids[0]).set_target("local:mine")
    compare.prompt_box.parameters.set_sampling(Sampling(max_tokens=4))
    compare.prompt_box.editor.setPlainText("Hello")
    compare.prompt_box.submit()
    window.wait(lambda: window.session.runs.busy)
    window.wait(lambda: not window.session.runs.busy)
    window.wait(lambda: window.installed["mine"].last_used_at is not None)


def test_what_went_wrong_is_said_until_the_next_action_or_page(window: ModelsWindow, tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"<html>" * 100)

    def another_page() -> None:
        window.session.window.open_page("compare")
        window.session.window.open_page("models")

    def another_action() -> None:
        window.page.add_repo_requested.emit()

    for move_on in (another_page, another_action):
        window.session.models.library.bring_in([str(bad)], "copy")
        window.wait(window.said)
        move_on()
        window.wait(lambda: not window.said())


def test_a_lost_disk_is_said_and_choosing_the_folder_again_begins_anew(window: ModelsWindow, tmp_path: Path) -> None:
    imported(window, tmp_path)
    folder = app_paths().models
    window.session.models.disk.look()  # it learns which folder this is
    window.wait(lambda: not window.session.models.disk._looking)
    folder.rename(folder.with_name("away"))
    folder.mkdir()
    window.session.models.disk.look()
    window.wait(lambda: "its disk seems to be missing" in window.said())
    assert "mine" not in window.installed
    library = window.session.models.library
    with window.qtbot.waitSignal(library.settings_touched, timeout=LIMIT_MS):
        library.choose_folder(str(folder))
    assert not window.said()
    library.bring_in([str(tmp_path / "mine.gguf")], "copy")
    window.wait(lambda: "mine" in window.installed)


def test_a_file_whose_name_is_no_text_is_listed_and_can_be_chosen(window: ModelsWindow) -> None:
    write_model(Path(os.fsdecode(os.fsencode(app_paths().models) + b"/caf\xe9\xe2\x80\xae.gguf")))
    window.session.models.disk.look()
    window.wait(lambda: "caf\ufffd" in window.installed)
    window.page.show_section("disk")
    window.page.grab()
    window.installed["caf\ufffd"].path.encode()
    window.page.use_requested.emit("caf\ufffd")
    compare = window.session.compare
    assert "local:caf\ufffd" in [compare.lane(each).target for each in compare.lane_ids]
