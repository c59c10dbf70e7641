"""The Keys section of Settings: what it says of each provider, and what it asks for."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLabel, QPushButton
from pytestqt.qtbot import QtBot

from tests.widgets.conftest import Show
from tests.widgets.test_accessibility import unnamed
from widgets.key_dialog import DeleteKeyDialog
from widgets.key_values import KeyLine, KeyringNote
from widgets.settings_keys import KeySettings

LINES = (
    KeyLine("openai", "OpenAI", "api.openai.com", "keyring"),
    KeyLine("groq", "Groq", "api.groq.com", "session", "The keyring did not answer in 3 seconds."),
    KeyLine("custom:lab", "lab", "127.0.0.1"),
    KeyLine("custom:gone", "gone", "", "keyring"),
)


@pytest.fixture
def section(show: Show) -> KeySettings:
    shown = show("local:demo")
    shown.window.open_page("settings")
    shown.settings.keys.show_keys(LINES)
    QApplication.processEvents()
    return shown.settings.keys


def button(section: KeySettings, name: str) -> QPushButton:
    return next(b for b in section.findChildren(QPushButton) if b.accessibleName() == name)


def test_each_row_says_where_its_key_is_and_what_can_be_done(section: KeySettings) -> None:
    assert section.row("openai").line.says == "In the keyring."
    assert section.row("groq").line.says == "In memory, for this session only. The keyring did not answer in 3 seconds."
    assert section.row("custom:lab").line.says == "No key."
    can = {b.accessibleName(): b.isEnabled() for b in section.findChildren(QPushButton)}
    assert [name for name, enabled in can.items() if not enabled] == [
        "Test the key for lab",
        "Delete the key for lab",
        "Replace the key for gone",
        "Test the key for gone",
    ]
    assert can["Enter the key for lab"]
    assert can["Delete the key for gone"], "its address is gone, and its key can still be deleted"
    assert unnamed(section.window()) == []


def test_what_is_wished_carries_the_name_of_the_key(section: KeySettings, qtbot: QtBot) -> None:
    heard: list[tuple[str, str]] = []
    section.enter_requested.connect(lambda name: heard.append(("enter", name)))
    section.test_requested.connect(lambda name: heard.append(("test", name)))
    section.test_cancelled.connect(lambda name: heard.append(("stop", name)))
    for name in ("Enter the key for lab", "Test the key for Groq", "Stop testing the key for Groq"):
        qtbot.mouseClick(button(section, name), Qt.MouseButton.LeftButton)
    assert heard == [("enter", "custom:lab"), ("test", "groq"), ("stop", "groq")]


def test_deleting_asks_first_and_cancel_is_the_default(section: KeySettings, qtbot: QtBot) -> None:
    heard: list[str] = []
    section.delete_requested.connect(heard.append)
    for answer in ("Cancel", "Delete"):
        qtbot.mouseClick(button(section, "Delete the key for OpenAI"), Qt.MouseButton.LeftButton)
        dialog = section.window().findChildren(DeleteKeyDialog)[-1]
        made = next(b for b in dialog.findChildren(QPushButton) if b.text() == answer)
        assert made.isDefault() == (answer == "Cancel")
        qtbot.mouseClick(made, Qt.MouseButton.LeftButton)
    assert heard == ["openai"]


def test_the_outcome_of_a_test_goes_when_the_key_goes_and_the_keyboard_stays(section: KeySettings) -> None:
    enter = button(section, "Replace the key for OpenAI")
    enter.setFocus()
    section.show_test("openai", "The key works.", "here")
    section.show_keys(LINES)
    assert section.row("openai").test_text() == "The key works."
    section.show_keys((KeyLine("openai", "OpenAI", "api.openai.com"), *LINES[1:]))
    assert section.row("openai").test_text() == ""
    assert section.window().focusWidget() is enter
    assert enter.text() == "Enter…"


def test_a_machine_without_keyring_is_told_plainly(section: KeySettings) -> None:
    section.show_keyring(KeyringNote("none", False, False, "This machine has no keyring."))
    assert section.words() == (
        "This machine has no keyring. Keys are kept in memory for this session only, and asked for again at the next "
        "start. They are never written to a file."
    )
    section.show_keyring(KeyringNote("Secret Service", True, True))
    assert "(Secret Service)" in section.words()


def test_a_row_says_that_its_key_goes_without_encryption(section: KeySettings) -> None:
    section.show_keys([KeyLine("custom:lab", "lab", "lab.example", "session", in_the_clear=True)])
    assert section.row("custom:lab").line.says == (
        "In memory, for this session only. The connection to lab.example is not encrypted: others on the way can read "
        "the key."
    )
    assert any("not encrypted" in label.text() for label in section.row("custom:lab").findChildren(QLabel))
