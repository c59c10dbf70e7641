"""The catalogue: sorted by true values, filtered, changed in place, and keeping its selection while verdicts move."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QApplication, QLabel, QLineEdit, QTableView
from pytestqt.qtbot import QtBot

from tests.widgets import model_samples as ms
from tests.widgets.models_shown import Models, button, models, press, said, settle, the
from widgets.catalogue_table import CatalogueTable
from widgets.model_table import CELL, ROW, Column, Filter, ModelTable
from widgets.model_values import ModelRow, ModelsView
from widgets.recommendation_card import ActionButton

UP, DOWN = Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder
pytestmark = pytest.mark.usefixtures("dressed")


def table_of(shown: Models) -> CatalogueTable:
    return the(shown.page, CatalogueTable)


def rows_of(table: CatalogueTable) -> list[ModelRow]:
    model = table.model()
    return [model.index(at, 0).data(ROW) for at in range(model.rowCount())]


def cell(table: QTableView, at: int, column: Column) -> str:
    return str(table.model().index(at, column).data())


def at_row(table: CatalogueTable, ref: str) -> QModelIndex:
    return table.model().index(table.shown_refs().index(ref), 0)


def click_row(qtbot: QtBot, table: CatalogueTable, ref: str) -> None:
    index = at_row(table, ref)
    table.scrollTo(index)
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(index).center())


def test_every_row_says_all_that_matters(qtbot: QtBot) -> None:
    table = table_of(models(qtbot))
    at = table.shown_refs().index("llama-3.2-3b:Q8_0")
    shown = [cell(table, at, column) for column in Column]
    assert shown[:4] == ["Llama 3.2 3B Instruct", "Q8_0", "3.19 GiB", "Fits on the GPU"]
    assert shown[5:] == ["171–178 ✓", "Nearly same", "Installed"]
    vision = [cell(table, table.shown_refs().index(ms.VISION.ref), column) for column in Column]
    assert vision[3:] == ["Cannot run here", "–", "–", "Not measured", "Not offered"]


@pytest.mark.parametrize("order", [UP, DOWN])
@pytest.mark.parametrize("column", list(Column))
def test_columns_sort_by_true_values(qtbot: QtBot, column: Column, order: Qt.SortOrder) -> None:
    """As text, 9.62 GiB would come after 131 GiB, and unknown figures would come first."""
    table = table_of(models(qtbot))
    table.sort_by(column, order)
    keys = [table._table.key(table._table.find(row.ref) or 0, column) for row in rows_of(table)]
    known = [key for key in keys if key is not None]
    assert keys[: len(known)] == known, "what is not known comes last either way"
    assert known == sorted(known, reverse=order == DOWN)
    assert len(set(known)) > 1


def test_a_click_on_a_head_sorts_and_the_menu_says_so(qtbot: QtBot) -> None:
    shown = models(qtbot)
    table = table_of(shown)
    header = table.horizontalHeader()
    x = header.sectionViewportPosition(Column.SIZE) + 10
    spot = header.viewport().rect().center()
    spot.setX(x)
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    sizes = [row.file_bytes for row in rows_of(table)]
    assert sizes == sorted(sizes)
    assert button(shown.page, "Order: File, upwards").text() == "File, upwards"
    for _ in range(2):
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert [row.ref for row in rows_of(table)] == [row.ref for row in ms.on_4090().rows], (
        "back to the catalogue's order"
    )
    assert button(shown.page, "Order: Sort: as listed")


def test_the_menu_sorts_by_keyboard(qtbot: QtBot) -> None:
    shown = models(qtbot)
    chip = button(shown.page, "Order: Sort: as listed")
    menu = chip.menu()
    action = next(each for each in menu.actions() if each.text() == "tok/s, downwards")
    action.trigger()
    settle()
    first = rows_of(table_of(shown))[0]
    assert first.tok_s_high == max(row.tok_s_high or 0 for row in ms.on_4090().rows)


@pytest.mark.parametrize(
    ("wanted", "right"),
    [
        (Filter(text="3.1 8b q4_k"), lambda row: row.model == "Llama 3.1 8B Instruct" and row.quant.startswith("Q4_K")),
        (Filter(fits_only=True), lambda row: row.verdict != "no"),
        (Filter(installed_only=True), lambda row: row.state == "installed"),
        (Filter(model="Llama 3 8B Instruct"), lambda row: row.model == "Llama 3 8B Instruct"),
        (Filter(text="70b", fits_only=True), lambda row: "70B" in row.model and row.verdict != "no"),
    ],
)
def test_filters(qtbot: QtBot, wanted: Filter, right: object) -> None:
    assert callable(right)
    table = table_of(models(qtbot))
    table.set_filter(wanted)
    expected = [row.ref for row in ms.on_4090().rows if right(row)]
    assert list(table.shown_refs()) == expected
    assert 0 < len(expected) < 97


def test_filters_by_mouse_and_back(qtbot: QtBot) -> None:
    shown = models(qtbot)
    table = table_of(shown)
    press(qtbot, shown.page, "Only what fits")
    assert all(row.verdict != "no" for row in rows_of(table))
    fewer = table.model().rowCount()
    assert f"{fewer} of 97 quants" in said(shown.page)
    press(qtbot, shown.page, "Installed")
    assert table.shown_refs() == ("llama-3.2-3b:Q8_0",)
    search = the(shown.page, QLineEdit)
    qtbot.keyClicks(search, "405B")
    qtbot.waitUntil(lambda: "No model matches" in said(shown.page))
    press(qtbot, shown.page, "Show all models")
    assert table.model().rowCount() == 97
    assert search.text() == ""


def test_only_cells_that_changed_are_announced(qtbot: QtBot) -> None:
    rows = list(ms.on_4090().rows)
    table = ModelTable()
    table.show_rows(rows, {})
    told: list[tuple[int, int, int]] = []
    table.dataChanged.connect(lambda first, last: told.append((first.row(), last.row(), first.column())))
    resets: list[bool] = []
    table.modelReset.connect(lambda: resets.append(True))
    table.show_rows([replace(row) for row in rows], {})
    assert told == [], "the same values again are no news"
    freer = tuple(replace(part, free_bytes=1) for part in rows[3].parts)
    table.show_rows([replace(row, parts=freer) if at == 3 else row for at, row in enumerate(rows)], {})
    assert told == [], "no cell shows what is free"
    for at in (3, 4, 9):
        rows[at] = replace(rows[at], tok_s_low=77.0)
    table.show_rows(rows, {})
    assert told == [(3, 4, Column.SPEED), (9, 9, Column.SPEED)]
    assert "77" in str(table.index(4, Column.SPEED).data(CELL).text), "what was kept for painting is made anew"
    table.show_rows(rows, {rows[20].ref: 0.5})
    assert told[2:] == [(20, 20, Column.STATE)], "a download moved"
    rows[5] = replace(rows[5], verdict="no", missing_bytes=1)
    told.clear()
    table.show_rows(rows, {rows[20].ref: 0.5})
    assert [column for _, _, column in told] == list(Column), "what no longer fits is greyed in every cell"
    assert resets == []
    table.show_rows(rows[:-1], {})
    assert resets == [True]


def test_a_new_context_keeps_selection_and_scrolling(qtbot: QtBot) -> None:
    shown = models(qtbot)
    table = table_of(shown)
    table.sort_by(Column.NEEDS, UP)
    ref = "llama-3.1-8b:Q6_K"
    click_row(qtbot, table, ref)
    table.verticalScrollBar().setValue(table.verticalScrollBar().value() - 37)
    place = table.verticalScrollBar().value()
    needs = [cell(table, at, Column.NEEDS) for at in range(5)]
    shown.heard.clear()
    for n_ctx in (16384, 131072, 256, 8192, 32768):
        shown.show_view(ms.on_4090(n_ctx))
    assert [cell(table, at, Column.NEEDS) for at in range(5)] != needs, "the verdicts moved"
    sizes = [row.needs_bytes for row in rows_of(table) if row.state != "not_runnable"]
    assert sizes == sorted(sizes), "and the order with them"
    assert table.currentIndex().data(ROW).ref == ref
    assert [index.data(ROW).ref for index in table.selectionModel().selectedRows()] == [ref]
    assert table.verticalScrollBar().value() == place
    assert shown.heard == [], "showing is not choosing"


def test_a_model_that_is_added_moves_nothing(qtbot: QtBot) -> None:
    shown = models(qtbot)
    table = table_of(shown)
    click_row(qtbot, table, "llama-3.2-3b:Q6_K")
    place = table.verticalScrollBar().value()
    assert place > 0
    view = ms.on_4090()
    added = replace(view.rows[0], ref="hf:lab/new/new.gguf", model="New", rank=None)
    shown.heard.clear()
    shown.show_view(replace(view, rows=(*view.rows, added)))
    assert table.verticalScrollBar().value() == place
    assert table.currentIndex().data(ROW).ref == "llama-3.2-3b:Q6_K"
    assert shown.heard == []


def test_a_row_that_a_filter_hides_stays_the_selected_one(qtbot: QtBot) -> None:
    shown = models(qtbot)
    table = table_of(shown)
    ref = "llama-3.1-405b:F16"
    click_row(qtbot, table, ref)
    assert shown.heard == [("selected", ref)]
    press(qtbot, shown.page, "Only what fits")
    table.verticalScrollBar().setValue(0)
    assert ref not in table.shown_refs()
    assert not table.selectionModel().hasSelection(), "no other row takes its place"
    assert shown.page.selected_ref() == ref
    press(qtbot, shown.page, "Only what fits")
    assert table.currentIndex().data(ROW).ref == ref
    assert table.verticalScrollBar().value() == 0, "what a person looks at does not move to it by itself"
    assert shown.heard == [("selected", ref)]


def test_a_row_that_leaves_the_catalogue_is_no_longer_selected(qtbot: QtBot) -> None:
    shown = models(qtbot)
    table = table_of(shown)
    click_row(qtbot, table, "llama-3.1-8b:Q6_K")
    view = ms.on_4090()
    shown.show_view(replace(view, rows=tuple(row for row in view.rows if row.model != "Llama 3.1 8B Instruct")))
    assert shown.page.selected_ref() != "llama-3.1-8b:Q6_K"
    shown.show_view(view)
    assert table.currentIndex().data(ROW).ref == "llama-3.1-8b:Q6_K", "and is again when it comes back"


def test_arrows_select_and_enter_goes_to_the_button(qtbot: QtBot) -> None:
    shown = models(qtbot)
    table = table_of(shown)
    refs = table.shown_refs()
    click_row(qtbot, table, refs[2])
    qtbot.keyClick(table, Qt.Key.Key_Down)
    qtbot.keyClick(table, Qt.Key.Key_Return)
    assert shown.heard == [("selected", refs[2]), ("selected", refs[3])]
    focus = QApplication.focusWidget()
    assert isinstance(focus, ActionButton)
    qtbot.keyClick(focus, Qt.Key.Key_Space)
    assert shown.heard[2:] == [("download_requested", refs[3])], "the second key downloads"


@pytest.mark.parametrize("ref", ["llama-3.2-3b:Q8_0", "llama-3.1-405b:F16", "llama-3.1-8b:Q6_K"])
def test_a_double_click_only_selects(qtbot: QtBot, ref: str) -> None:
    """It is how people open things; 400 GiB must not start by it."""
    shown = models(qtbot)
    table = table_of(shown)
    click_row(qtbot, table, ref)
    qtbot.mouseDClick(table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(at_row(table, ref)).center())
    assert shown.heard == [("selected", ref)]


def test_enter_on_what_cannot_be_downloaded_goes_on_below(qtbot: QtBot) -> None:
    shown = models(qtbot, replace(ms.on_4090(), local_only=True))
    table = table_of(shown)
    table.setCurrentIndex(at_row(table, "llama-3.1-8b:Q4_K_M"))
    shown.heard.clear()
    qtbot.keyClick(table, Qt.Key.Key_Return)
    assert shown.heard == []


def test_letters_typed_on_the_table_search(qtbot: QtBot) -> None:
    shown = models(qtbot)
    table = table_of(shown)
    table.setFocus()
    qtbot.keyClick(table, Qt.Key.Key_Q)
    search = the(shown.page, QLineEdit)
    assert search.hasFocus()
    qtbot.keyClicks(search, "6_k")
    qtbot.waitUntil(lambda: table.model().rowCount() == 8)
    assert {row.quant for row in rows_of(table)} == {"Q6_K"}


def test_rows_and_cells_have_names_for_a_screen_reader(qtbot: QtBot) -> None:
    shown = models(qtbot)
    table = table_of(shown)
    model = table.model()
    role = Qt.ItemDataRole.AccessibleTextRole
    spoken = str(model.index(table.shown_refs().index("llama-3.1-8b:Q8_0"), 0).data(role))
    assert spoken.startswith("Recommended. Llama 3.1 8B Instruct, Q8_0. 7.95 GiB file. Fits on the GPU. needs ")
    assert all(model.index(at, column).data(role) for at in range(model.rowCount()) for column in Column)
    face = QAccessible.queryAccessibleInterface(table)
    assert face is not None
    assert face.text(QAccessible.Text.Name) == "Catalogue of models"


def test_the_recommended_row_is_in_sight_at_first_and_the_place_is_then_the_persons(qtbot: QtBot) -> None:
    shown = models(qtbot)
    table = table_of(shown)
    box = table.visualRect(at_row(table, "llama-3.1-8b:Q8_0"))
    assert table.viewport().rect().contains(box.center())
    table.verticalScrollBar().setValue(0)
    shown.show_view(ms.on_4090(16384))
    assert table.verticalScrollBar().value() == 0


def test_what_cannot_run_or_fit_is_greyed_with_its_reason(qtbot: QtBot) -> None:
    table = table_of(models(qtbot))
    assert at_row(table, ms.VISION.ref).data(CELL).ink == "muted"
    assert at_row(table, "llama-3.1-405b:F16").data(CELL).ink == "muted"
    assert at_row(table, "llama-3.1-8b:Q6_K").data(CELL).ink == "text"
    tip = at_row(table, ms.VISION.ref).data(Qt.ItemDataRole.ToolTipRole)
    assert "llama.cpp does not support" in tip


def test_text_from_a_repo_is_shown_as_written(qtbot: QtBot) -> None:
    evil = '<img src="file:///etc/hostname"><b>x'
    view = ms.on_4090()
    row = replace(view.rows[0], ref="hf:x", model=evil, quant=evil, reason=evil, quality_note=evil, licence=evil)
    shown = models(qtbot, ModelsView(view.machine, (row,)))
    shown.page.select("hf:x")
    settle()
    table = table_of(shown)
    assert cell(table, 0, Column.MODEL) == evil
    tips = [str(table.model().index(0, column).data(Qt.ItemDataRole.ToolTipRole)) for column in Column]
    assert not any("<img" in tip for tip in tips)
    for label in shown.window.findChildren(QLabel):
        assert label.textFormat() == Qt.TextFormat.PlainText
    assert "<img" not in "".join(widget.toolTip() for widget in QApplication.allWidgets())
