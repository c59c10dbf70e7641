"""The models on this disk: what each is, whether it was checked, what it takes, and what can be done with it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QFileDialog
from pytestqt.qtbot import QtBot

from tests.widgets import model_samples as ms
from tests.widgets.models_shown import Models, button, buttons, models, press, said, settle, the
from widgets.installed_list import InstalledList
from widgets.model_values import InstalledLine, ModelsView
from widgets.models_head import ON_DISK

pytestmark = pytest.mark.usefixtures("dressed")
OURS, THEIRS, CHECKING, MISSING = ms.INSTALLED
OWN = "Llama 3.2 3B Instruct, Q8_0"


def disk(qtbot: QtBot, view: ModelsView | None = None, size: tuple[int, int] = (1280, 800)) -> Models:
    shown = models(qtbot, view, size)
    shown.page.show_section(ON_DISK)
    settle()
    return shown


def list_of(shown: Models) -> InstalledList:
    return the(shown.page, InstalledList)


def row_text(shown: Models, line: InstalledLine) -> str:
    return said(list_of(shown).row(line.ref))


def holding(*lines: InstalledLine) -> ModelsView:
    return replace(ms.on_4090(), installed=lines)


def test_each_model_says_what_it_is(qtbot: QtBot) -> None:
    shown = disk(qtbot)
    assert row_text(shown, OURS).split("\n") == [
        OWN,
        "Verified",
        "3.19 GiB  ·  last used Today 07:41",
        "Last load: predicted 4.39 GiB, really 4.37 GiB (as predicted)",
        OURS.path,
    ]
    assert "Not verified\n4.07 GiB  ·  not used yet  ·  LM Studio's file, used where it lies" in row_text(shown, THEIRS)
    assert "File missing" in row_text(shown, MISSING)
    assert row_text(shown, MISSING).startswith("tiny-story\n"), "no quant is known, so none is shown"


def test_the_sum_and_the_folder(qtbot: QtBot) -> None:
    text = said(list_of(disk(qtbot)))
    assert "4 models, 46.9 GiB together  ·  412 GiB free on the disk of the models folder" in text
    assert "Models folder: /home/maria/.local/share/nearfar/models" in text


def test_what_can_be_done_with_each(qtbot: QtBot) -> None:
    shown = disk(qtbot)
    rows = list_of(shown)
    press(qtbot, rows, f"Use in Compare: {OWN}")
    press(qtbot, rows, f"Verify: {OWN}")
    press(qtbot, rows, f"Remove: {OWN}")
    press(qtbot, rows, "Stop checking: Llama 3.1 70B Instruct, Q4_K_M")
    press(qtbot, rows, "Change folder")
    assert shown.heard == [
        ("use_requested", OURS.ref), ("verify_requested", OURS.ref), ("remove_requested", OURS.ref),
        ("stop_verify_requested", CHECKING.ref), ("folder_requested",),
    ]  # fmt: skip
    names = [made.accessibleName() for made in buttons(rows.row(THEIRS.ref))]
    assert not any(name.startswith("Remove") for name in names), "another program's file is never removed from here"
    gone = buttons(rows.row(MISSING.ref))
    assert [made.isEnabled() for made in gone if made.accessibleName().startswith(("Use", "Verify"))] == [False, False]


def test_checking_shows_how_far_and_keeps_the_focus(qtbot: QtBot) -> None:
    shown = disk(qtbot, holding(OURS))
    verify = button(list_of(shown), f"Verify: {OWN}")
    verify.setFocus()
    shown.show_view(holding(replace(OURS, check="checking", checked_share=0.1)))
    assert "Checking, 10 %" in row_text(shown, OURS)
    assert button(list_of(shown), f"Stop checking: {OWN}").hasFocus()
    shown.show_view(holding(OURS))
    assert "Checking" not in row_text(shown, OURS)
    assert button(list_of(shown), f"Verify: {OWN}").hasFocus()


def test_rows_are_kept_while_they_change(qtbot: QtBot) -> None:
    shown = disk(qtbot)
    row = list_of(shown).row(THEIRS.ref)
    shown.show_view(holding(THEIRS, OURS))
    assert list_of(shown).refs() == (THEIRS.ref, OURS.ref)
    assert list_of(shown).row(THEIRS.ref) is row
    assert row.y() < list_of(shown).row(OURS.ref).y()


def test_tab_goes_through_rows_from_top_to_bottom(qtbot: QtBot) -> None:
    shown = disk(qtbot, holding(OURS))
    shown.show_view(holding(THEIRS, OURS))
    button(list_of(shown), "Change folder").setFocus()
    reached = []
    for _ in range(3):
        focused = QApplication.focusWidget()
        assert focused is not None
        qtbot.keyClick(focused, Qt.Key.Key_Tab)
        reached.append(getattr(QApplication.focusWidget(), "accessibleName", str)())
    mistral = "Mistral 7B Instruct v0.3, Q4_K_M"
    assert reached == [f"Use in Compare: {mistral}", f"Verify: {mistral}", f"Use in Compare: {OWN}"]


def test_an_empty_disk_says_how_to_begin(qtbot: QtBot) -> None:
    shown = disk(qtbot, ms.without_gpu())
    text = said(list_of(shown))
    assert "No models on this disk yet" in text
    assert "drop a .gguf file on this page" in text
    press(qtbot, list_of(shown), "Find models of other programs")
    assert shown.heard == [("find_requested",)]
    shown.show_view(ms.on_4090())
    assert "No models on this disk yet" not in said(list_of(shown))


def test_files_are_imported_by_dialog(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    picked = ["/tmp/a.gguf", "/tmp/b.gguf"]
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_args: (picked, ""))
    shown = disk(qtbot, ms.without_gpu())
    press(qtbot, list_of(shown), "Import a file")
    assert shown.heard == [("import_requested", picked)]
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_args: ([], ""))
    press(qtbot, list_of(shown), "Import a file")
    assert len(shown.heard) == 1, "nothing chosen, nothing asked"


def test_the_buttons_of_all_rows_stand_in_columns(qtbot: QtBot) -> None:
    shown = disk(qtbot)
    uses = [made for made in buttons(list_of(shown)) if made.accessibleName().startswith("Use in Compare")]
    assert len({made.mapTo(shown.page, made.rect().topLeft()).x() for made in uses}) == 1


def test_a_row_is_named_whole(qtbot: QtBot) -> None:
    spoken = list_of(disk(qtbot)).row(OURS.ref).accessibleName()
    assert spoken.startswith(f"{OWN}. Verified. 3.19 GiB")
