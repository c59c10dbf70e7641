from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QLabel, QLineEdit, QListView
from pytestqt.qtbot import QtBot

from backends.errors import Problem
from tests.widgets import samples
from tests.widgets.conftest import Show
from widgets.history_page import HistoryPage
from widgets.parts import Switch


def shown_page(show: Show, n: int = 12) -> HistoryPage:
    shown = show("local:demo")
    shown.window.open_page("history")
    shown.history.show_lines(samples.history(n), samples.NOW)
    return shown.history


def listed(page: HistoryPage) -> QListView:
    found = page.findChild(QListView)
    assert found is not None
    return found


def said(page: HistoryPage) -> str:
    return " ".join(label.text() for label in page.findChildren(QLabel) if label.isVisible())


def test_a_click_reopens_a_comparison(show: Show, qtbot: QtBot) -> None:
    page = shown_page(show)
    rows = listed(page)
    opened: list[str] = []
    page.open_requested.connect(opened.append)
    spot = rows.visualRect(rows.model().index(2, 0)).center()
    qtbot.mouseClick(rows.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(spot))
    assert opened == ["cmp-2"]


def test_enter_reopens_and_delete_asks_to_delete(show: Show, qtbot: QtBot) -> None:
    page = shown_page(show)
    rows = listed(page)
    opened: list[str] = []
    deleted: list[str] = []
    page.open_requested.connect(opened.append)
    page.delete_requested.connect(deleted.append)
    rows.setFocus()
    rows.setCurrentIndex(rows.model().index(1, 0))
    qtbot.keyClick(rows, Qt.Key.Key_Down)
    qtbot.keyClick(rows, Qt.Key.Key_Return)
    qtbot.keyClick(rows, Qt.Key.Key_Delete)
    assert opened == ["cmp-2"]
    assert deleted == ["cmp-2"]


def test_search_is_told_once_after_typing(show: Show, qtbot: QtBot) -> None:
    page = shown_page(show)
    searched: list[str] = []
    page.search_changed.connect(searched.append)
    field = page.findChild(QLineEdit)
    assert field is not None
    qtbot.keyClicks(field, " quant ")
    qtbot.waitUntil(lambda: bool(searched), timeout=10_000)
    assert searched == ["quant"]
    page.show_lines((), samples.NOW)
    assert "No prompt or answer contains “quant”." in said(page)


def test_the_empty_state_says_what_comes_here(show: Show) -> None:
    page = shown_page(show, 0)
    assert "No comparisons yet" in said(page)
    assert "on this machine only" in said(page)
    page.set_keep_history(False)
    assert "Keep nothing is on" in said(page)
    assert "once Keep history is on" in said(page)


def test_the_switch_asks_and_shows(show: Show, qtbot: QtBot) -> None:
    page = shown_page(show)
    wanted: list[bool] = []
    page.keep_history_toggled.connect(wanted.append)
    switch = page.findChild(Switch)
    assert switch is not None
    qtbot.mouseClick(switch, Qt.MouseButton.LeftButton)
    assert wanted == [False]
    page.set_keep_history(True)
    assert switch.isChecked()


def test_a_refresh_keeps_the_selected_row(show: Show) -> None:
    page = shown_page(show)
    rows = listed(page)
    rows.setCurrentIndex(rows.model().index(3, 0))
    newer = replace(samples.history(1)[0], comparison_id="cmp-new")
    page.show_lines([newer, *samples.history(12)], samples.NOW)
    assert rows.currentIndex().row() == 4


def test_the_end_of_the_list_asks_for_more(show: Show, qtbot: QtBot) -> None:
    page = shown_page(show, 40)
    bar = listed(page).verticalScrollBar()
    with qtbot.waitSignal(page.more_requested, timeout=1000):
        bar.setValue(bar.maximum())
    page.add_lines([replace(samples.history(1)[0], comparison_id="cmp-old")], samples.NOW)
    assert listed(page).model().rowCount() == 41


def test_a_problem_is_shown_above_the_list(show: Show) -> None:
    page = shown_page(show)
    page.show_problem(Problem("history", "The history file cannot be read.", "Your file was not changed.", "Try."))
    assert "The history file cannot be read." in said(page)


def test_a_row_says_everything_to_a_screen_reader(show: Show) -> None:
    rows = listed(shown_page(show))
    spoken = rows.model().index(2, 0).data(Qt.ItemDataRole.AccessibleTextRole)
    assert spoken.startswith("Summarise this contract clause in two sentences: The supplier")
    assert spoken.endswith("Yesterday 19:41. Llama 3.2 3B Instruct, Q4_K_M. 1 failed")
