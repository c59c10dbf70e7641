"""The Models page as a whole: sections, adding models, dropping files, problems, and whose memory the bars show."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QFileDialog, QLineEdit, QMenu
from pytestqt.qtbot import QtBot

from backends.errors import Problem
from tests.contracts.places import sources
from tests.widgets import model_samples as ms
from tests.widgets.models_shown import Models, button, drop, models, press, said, settle, the
from widgets import theme
from widgets.banner import Banner
from widgets.machine_card import MachineCard
from widgets.model_values import ModelsView
from widgets.models_page import ModelsPage
from widgets.recommendation_card import RecommendationCard

pytestmark = pytest.mark.usefixtures("dressed")
DISK = Problem("folder_unusable", "The models folder cannot be read.", "No file was changed.", "Choose another folder.")


def machine_of(shown: Models) -> str:
    return said(the(shown.page, MachineCard))


def test_the_page_shows_itself_before_anything_is_known(qtbot: QtBot) -> None:
    text = said(models(qtbot, ModelsView()).page)
    for words in ("Looking at this machine…", "Looking for a model that fits…", "The catalogue is being read…"):
        assert words in text


def test_the_sections_switch_by_mouse_and_by_keyboard(qtbot: QtBot) -> None:
    shown = models(qtbot)
    assert shown.page.section() == "catalogue"
    press(qtbot, shown.page, "Models: On this disk (4)")
    assert shown.page.section() == "disk"
    assert "412 GiB free" in said(shown.page)
    assert "Recommended for this machine" not in said(shown.page)
    qtbot.keyClick(button(shown.page, "Models: On this disk (4)"), Qt.Key.Key_Left)
    assert "Recommended for this machine" in said(shown.page)
    assert shown.heard == []


def test_models_are_added_from_one_menu(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_args: (["/tmp/x.gguf"], ""))
    shown = models(qtbot)
    menu = button(shown.page, "Add models").menu()
    assert isinstance(menu, QMenu)
    assert [action.text() for action in menu.actions()] == [
        "From a Hugging Face repo…", "A .gguf file of your own…", "Find models of other programs",
    ]  # fmt: skip
    for action in menu.actions():
        action.trigger()
    assert shown.heard == [("add_repo_requested",), ("import_requested", ["/tmp/x.gguf"]), ("find_requested",)]


def test_files_dropped_anywhere_are_imported(qtbot: QtBot) -> None:
    shown = models(qtbot)
    seen: list[bool] = []
    assert drop(shown.page, ["/tmp/a.gguf", "/tmp/B.GGUF", "/tmp/notes.txt"], over=lambda: seen.append(
        "Drop to add this file" in said(shown.page)
    )) == (True, True)  # fmt: skip
    assert seen == [True], "while it is dragged the page says what would happen"
    assert "Drop to add this file" not in said(shown.page)
    assert shown.heard == [("import_requested", ["/tmp/a.gguf", "/tmp/B.GGUF"])]


@pytest.mark.parametrize("paths", [["/tmp/notes.txt"], ["https://example.org/a.gguf"], []])
def test_other_things_are_not_taken(qtbot: QtBot, paths: list[str]) -> None:
    shown = models(qtbot)
    assert drop(shown.page, paths) == (False, False)
    assert shown.heard == []


def test_no_part_of_the_page_swallows_a_dropped_file(qtbot: QtBot) -> None:
    shown = models(qtbot)
    takers = [made for made in shown.page.findChildren(QLineEdit) if made.acceptDrops()]
    assert takers == []


def test_a_problem_is_shown_on_top_and_goes(qtbot: QtBot) -> None:
    shown = models(qtbot, size=(800, 560))
    bar = shown.page._scroll.verticalScrollBar()
    bar.setValue(bar.maximum())
    shown.page.show_problem(DISK)
    settle()
    banner = next(made for made in shown.page.findChildren(Banner) if made.isVisible())
    assert banner.text() == DISK.sentence
    assert bar.value() == 0, "where it can be seen"
    shown.page.show_problem(None)
    assert not banner.isVisible()


def test_the_bars_say_whose_memory_they_show(qtbot: QtBot) -> None:
    shown = models(qtbot)
    assert "9.62 GiB recommended model" in machine_of(shown)
    ref = "llama-3.3-70b:Q3_K_M"
    shown.page.select(ref)
    settle()
    assert "9.62 GiB recommended model" in machine_of(shown), "until the figures of the selected one are there"
    shown.show_view(ms.wanted(ms.on_4090(), ref))
    assert "14.2 GiB selected model" in machine_of(shown)
    shown.show_view(ms.wanted(ms.on_4090(), "llama-3.1-8b:Q6_K"))
    assert "Llama 3.1 8B Instruct, Q6_K" in machine_of(shown), "a view that is about neither names its model"


def test_selecting_from_outside_makes_no_signal(qtbot: QtBot) -> None:
    shown = models(qtbot)
    shown.page.show_section("disk")
    shown.page.select("llama-3.1-8b:Q6_K")
    settle()
    assert shown.page.section() == "catalogue"
    assert shown.page.selected_ref() == "llama-3.1-8b:Q6_K"
    assert shown.heard == []


def test_opening_the_page_puts_the_keyboard_on_the_main_button(qtbot: QtBot) -> None:
    shown = models(qtbot)
    card = the(shown.page, RecommendationCard)
    shown.page.focus_main()
    assert QApplication.focusWidget() is button(card, "Download: Llama 3.1 8B Instruct, Q8_0")
    shown.show_view(replace(ms.on_4090(), local_only=True))
    shown.page.focus_main()
    assert the(shown.page, QLineEdit).hasFocus()
    shown.page.show_section("disk")
    shown.page.focus_main()
    assert button(shown.page, "Models: On this disk (4)").hasFocus()


def test_find_goes_to_the_search(qtbot: QtBot) -> None:
    shown = models(qtbot)
    shown.page.show_section("disk")
    shown.page.focus_main()
    qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    assert shown.page.section() == "catalogue"
    assert the(shown.page, QLineEdit).hasFocus()


def test_a_view_every_two_seconds_disturbs_nobody(qtbot: QtBot) -> None:
    shown = models(qtbot, size=(800, 560))
    search = the(shown.page, QLineEdit)
    search.setFocus()
    qtbot.keyClicks(search, "8b")
    qtbot.waitUntil(lambda: "of 97 quants" in said(shown.page))
    bar = shown.page._scroll.verticalScrollBar()
    bar.setValue(120)
    for used in (9.1, 9.3, 12.0):
        devices = (ms.gpu("NVIDIA GeForce RTX 4090", 24, used, ""), ms.ram(64, 20))
        view = replace(ms.on_4090(), machine=replace(ms.RTX_4090, devices=devices))
        shown.show_view(view)
    assert search.hasFocus()
    assert search.text() == "8b"
    assert bar.value() == 120
    assert "11.8 of 24.0 GiB free" in machine_of(shown)
    assert shown.heard == []


def test_the_theme_changes_under_it(qapp: QApplication, qtbot: QtBot) -> None:
    shown = models(qtbot)
    table = shown.page._catalogue.table()
    assert table.grab().toImage().pixelColor(170, 60).name() == theme.color("surface").name() == "#ffffff"
    theme.apply(qapp, "dark")
    settle()
    assert table.grab().toImage().pixelColor(170, 60).name() == theme.color("surface").name() != "#ffffff"


@pytest.mark.parametrize("path", sources("widgets"), ids=lambda path: path.stem)
def test_widgets_know_no_engine_room(path: Path) -> None:
    """Values only: what fits, downloads and reads devices stays behind the signals."""
    forbidden = ("backends.models", "backends.fit", "backends.devices", "backends.egress")
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        assert not [name for name in names if name.startswith(forbidden)]


def test_the_page_is_built_without_icons_or_theme(qtbot: QtBot) -> None:
    made = ModelsPage()
    qtbot.addWidget(made)
    made.show_view(ms.on_eight_h100())
    made.show()
    settle()
    assert made.selected_ref() == "llama-3.1-405b:Q8_0"
