"""The dialogs of the model flows: what they say, what is preselected, and what each answer means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QCheckBox, QLabel, QLineEdit, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from tests.widgets import assistant_samples as told
from tests.widgets.assistant_gallery import DIALOGS
from tests.widgets.test_accessibility import unnamed
from tests.widgets.test_layout import cut_texts, overlaps
from widgets import model_words as words
from widgets import theme
from widgets.ask_dialog import ImportDialog, MoveFolderDialog, RemoveDialog
from widgets.choice_card import ChoiceCard
from widgets.dialog import Dialog
from widgets.lever_button import LeverButton
from widgets.licence_dialog import LicenceDialog
from widgets.load_warning_dialog import LoadWarningDialog
from widgets.token_dialog import TokenDialog

Made = TypeVar("Made", bound=Dialog)
Open = Callable[[Made], Made]


@pytest.fixture
def opened(dressed: None, qtbot: QtBot) -> Open[Made]:
    """Shows a dialog the way the app does: without a loop of its own."""

    def show(dialog: Made) -> Made:
        qtbot.addWidget(dialog)
        with qtbot.waitActive(dialog):
            dialog.open()
            dialog.activateWindow()
        return dialog

    return show


def said(dialog: QWidget) -> str:
    QApplication.processEvents()
    return " ".join(label.text() for label in dialog.findChildren(QLabel) if label.isVisible()).replace("\u200b", "")


def button(dialog: QWidget, starts: str) -> QPushButton:
    return next(b for b in dialog.findChildren(QPushButton) if b.text().startswith(starts))


def press(qtbot: QtBot, made: QWidget) -> None:
    qtbot.mouseClick(made, Qt.MouseButton.LeftButton)


def test_a_licence_is_accepted_by_a_tick_and_a_button_and_by_nothing_less(
    opened: Open[LicenceDialog], qtbot: QtBot
) -> None:
    dialog = opened(LicenceDialog(told.LICENCE, "Llama 3.1 8B Instruct, Q6_K", size_bytes=told.EIGHT.file_bytes))
    accepted: list[str] = []
    links: list[str] = []
    dialog.licence_accepted.connect(accepted.append)
    dialog.link_requested.connect(links.append)
    for part in ("Llama 3.1 8B Instruct, Q6_K", told.COMMUNITY, "Built with Llama", told.LICENCE.notice):
        assert part in said(dialog)
    tick = dialog.findChild(QCheckBox)
    assert tick is not None
    assert not tick.isChecked()
    assert not button(dialog, "Download 6.14 GiB").isEnabled()
    press(qtbot, button(dialog, "Read the licence"))
    assert links == [told.LICENCE.url]
    assert dialog.isVisible()
    tick.setFocus()
    qtbot.keyClick(tick, Qt.Key.Key_Space)
    qtbot.keyClick(tick, Qt.Key.Key_Return)
    assert accepted == ["llama3.1"]
    assert not dialog.isVisible()


def test_escape_accepts_no_licence(opened: Open[LicenceDialog], qtbot: QtBot) -> None:
    dialog = opened(LicenceDialog(told.LICENCE, "Llama 3.1 8B Instruct, Q6_K"))
    accepted: list[str] = []
    dialog.licence_accepted.connect(accepted.append)
    tick = dialog.findChild(QCheckBox)
    assert tick is not None
    tick.click()
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert accepted == []
    assert dialog.result() == Dialog.DialogCode.Rejected


def test_a_token_is_given_once_masked_and_forgotten(opened: Open[TokenDialog], qtbot: QtBot) -> None:
    dialog = opened(TokenDialog("meta-llama/Llama-3.1-8B"))
    given: list[tuple[str, str]] = []
    dialog.token_entered.connect(lambda repo, token: given.append((repo, token)))
    assert "this session only" in said(dialog)
    assert "huggingface.co and nowhere else" in said(dialog)
    field = dialog.findChild(QLineEdit)
    assert field is not None
    qtbot.keyClicks(field, "hf_secret")
    assert "hf_secret" not in field.displayText()
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert given == [("meta-llama/Llama-3.1-8B", "hf_secret")]
    assert field.text() == ""


def test_a_load_that_would_not_fit_says_why_and_does_nothing_by_itself(
    opened: Open[LoadWarningDialog], qtbot: QtBot
) -> None:
    dialog = opened(LoadWarningDialog(told.WARNING))
    risked: list[bool] = []
    dialog.load_anyway.connect(lambda: risked.append(True))
    text = said(dialog)
    assert "It needs 5.90 GiB on NVIDIA GeForce RTX 4090, where 3.10 GiB is free: 2.80 GiB too little." in text
    assert "Google Chrome and ollama hold memory there." in text
    assert dialog.windowTitle() == "Llama 3.1 8B Instruct, Q6_K would not fit now"
    focused = dialog.focusWidget()
    assert focused is button(dialog, "Cancel")
    qtbot.keyClick(focused, Qt.Key.Key_Return)
    assert risked == []
    assert dialog.result() == Dialog.DialogCode.Rejected


def test_levers_checking_again_and_loading_anyway(opened: Open[LoadWarningDialog], qtbot: QtBot) -> None:
    dialog = opened(LoadWarningDialog(told.WARNING))
    heard: list[object] = []
    dialog.lever_chosen.connect(heard.append)
    dialog.load_anyway.connect(lambda: heard.append("anyway"))
    dialog.recheck_requested.connect(lambda: heard.append("again"))
    press(qtbot, button(dialog, "Check again"))
    assert dialog.isVisible(), "it waits for the new figures"
    dialog.show_warning(replace(told.WARNING, free_bytes=6_000_000_000, in_use_by=(), levers=told.LEVERS[1:]))
    assert "5.59 GiB is free" in said(dialog)
    assert "Close programs that use NVIDIA GeForce RTX 4090" in said(dialog)
    levers = [made for made in dialog.findChildren(LeverButton) if made.isVisible()]
    assert [made.accessibleName().split(".")[0] for made in levers] == [
        words.lever(line)[0] for line in told.LEVERS[1:]
    ]
    press(qtbot, levers[0])
    assert heard == ["again", told.LEVERS[1]]
    assert not dialog.isVisible()
    second = opened(LoadWarningDialog(told.WARNING))
    second.load_anyway.connect(lambda: heard.append("anyway"))
    press(qtbot, button(second, "Load anyway"))
    assert heard[2:] == ["anyway"]


def test_removing_is_asked_and_enter_keeps_the_file(opened: Open[RemoveDialog], qtbot: QtBot) -> None:
    gone: list[str] = []
    for sure in (False, True):
        dialog = opened(RemoveDialog(told.INSTALLED))
        dialog.remove_confirmed.connect(gone.append)
        assert "frees 6.14 GiB" in said(dialog)
        assert told.INSTALLED.path in said(dialog)
        if sure:
            press(qtbot, button(dialog, "Remove"))
        else:
            qtbot.keyClick(dialog, Qt.Key.Key_Return)
        assert not dialog.isVisible()
        assert gone == ([told.INSTALLED.ref] if sure else [])


def test_a_file_of_another_program_is_only_forgotten(opened: Open[RemoveDialog], qtbot: QtBot) -> None:
    dialog = opened(RemoveDialog(told.FOREIGN))
    text = said(dialog)
    assert "it belongs to LM Studio, and nothing is deleted" in text
    assert "frees" not in text
    gone: list[str] = []
    dialog.remove_confirmed.connect(gone.append)
    press(qtbot, button(dialog, "Forget"))
    assert gone == [told.FOREIGN.ref]


def test_importing_copies_unless_told_otherwise(opened: Open[ImportDialog], qtbot: QtBot) -> None:
    heard: list[tuple[object, str]] = []
    for way in ("copy", "in_place"):
        dialog = opened(ImportDialog(told.IMPORT))
        dialog.import_chosen.connect(lambda paths, how: heard.append((paths, how)))
        if way == "in_place":
            qtbot.keyClick(dialog.findChildren(ChoiceCard)[0], Qt.Key.Key_Down)
        qtbot.keyClick(dialog, Qt.Key.Key_Return)
        assert heard[-1] == (told.IMPORT.paths, way)


def test_a_copy_that_has_no_room_cannot_be_chosen(opened: Open[ImportDialog], qtbot: QtBot) -> None:
    dialog = opened(ImportDialog(replace(told.IMPORT, folder_free_bytes=2**30)))
    copies, lies = dialog.findChildren(ChoiceCard)
    assert not copies.isEnabled()
    assert lies.isChecked()
    assert "Not enough space: 5.34 GiB. 1.00 GiB is free there." in said(dialog)


def test_many_files_are_named_up_to_three(opened: Open[ImportDialog]) -> None:
    paths = tuple(f"/models/{n}.gguf" for n in range(5))
    text = said(opened(ImportDialog(replace(told.IMPORT, paths=paths))))
    assert "Import 5 model files" in text
    assert "/models/2.gguf" in text
    assert "/models/3.gguf" not in text
    assert "and 2 more" in text


def test_another_folder_moves_models_or_leaves_them(opened: Open[MoveFolderDialog], qtbot: QtBot) -> None:
    heard: list[tuple[str, str]] = []
    for way in ("move", "switch"):
        dialog = opened(MoveFolderDialog(told.MOVE))
        dialog.move_chosen.connect(lambda folder, how: heard.append((folder, how)))
        assert "3 models, 14.0 GiB together" in said(dialog)
        if way == "switch":
            qtbot.keyClick(dialog.findChildren(ChoiceCard)[0], Qt.Key.Key_Down)
        press(qtbot, button(dialog, "Change folder"))
        assert heard[-1] == ("/data/models", way)


@pytest.mark.parametrize("points", [10.0, 13.0])
@pytest.mark.parametrize("name", list(DIALOGS))
def test_nothing_is_cut_and_everything_is_named(
    dressed: None, qapp: QApplication, qtbot: QtBot, name: str, points: float
) -> None:
    font = qapp.font()
    font.setPointSizeF(points)
    qapp.setFont(font)
    theme.apply(qapp, "light")
    dialog = DIALOGS[name]()
    qtbot.addWidget(dialog)
    dialog.show()
    for _ in range(3):
        QApplication.processEvents()
    assert cut_texts(dialog) == []
    assert overlaps(dialog) == []
    assert unnamed(dialog) == []
