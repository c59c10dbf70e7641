from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QApplication, QLabel, QLineEdit, QPushButton, QToolButton, QWidget
from pytestqt.qtbot import QtBot

from tests.widgets.test_accessibility import walk
from widgets.check_line import CheckLine
from widgets.key_dialog import KeyDialog
from widgets.key_values import KeyringNote


@pytest.fixture
def dialog(dressed: None, qtbot: QtBot) -> KeyDialog:
    made = KeyDialog("openai", "OpenAI", "api.openai.com")
    qtbot.addWidget(made)
    with qtbot.waitExposed(made):
        made.show()
    return made


def field(dialog: KeyDialog) -> QLineEdit:
    found = dialog.findChild(QLineEdit)
    assert found is not None
    return found


def button(dialog: KeyDialog, text: str) -> QPushButton:
    return next(b for b in dialog.findChildren(QPushButton) if b.text() == text)


def test_a_pasted_key_is_given_once_and_forgotten(dialog: KeyDialog, qtbot: QtBot) -> None:
    given: list[tuple[str, str]] = []
    dialog.key_entered.connect(lambda provider, key: given.append((provider, key)))
    QApplication.clipboard().setText("  sk-test-123\n")
    qtbot.keyClick(field(dialog), Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(field(dialog), Qt.Key.Key_Return)
    assert given == [("openai", "sk-test-123")]
    assert not dialog.isVisible()
    assert field(dialog).text() == ""
    QApplication.clipboard().clear()


def test_it_is_masked_until_shown(dialog: KeyDialog, qtbot: QtBot) -> None:
    qtbot.keyClicks(field(dialog), "sk-secret")
    assert "sk-secret" not in field(dialog).displayText()
    eye = dialog.findChild(QToolButton, options=Qt.FindChildOption.FindDirectChildrenOnly)
    assert eye is not None
    qtbot.mouseClick(eye, Qt.MouseButton.LeftButton)
    assert field(dialog).displayText() == "sk-secret"
    assert eye.accessibleName() == "Hide the key"


def test_no_key_no_use_and_cancel_says_nothing(dialog: KeyDialog, qtbot: QtBot) -> None:
    given: list[str] = []
    dialog.key_entered.connect(lambda _provider, key: given.append(key))
    assert not button(dialog, "Use this key").isEnabled()
    qtbot.keyClicks(field(dialog), "   ")
    assert not button(dialog, "Use this key").isEnabled()
    qtbot.keyClicks(field(dialog), "sk-1")
    qtbot.mouseClick(button(dialog, "Cancel"), Qt.MouseButton.LeftButton)
    assert given == []
    assert field(dialog).text() == ""


def test_it_says_where_the_key_goes_and_how_long_it_is_kept(dialog: KeyDialog) -> None:
    said = " ".join(label.text() for label in dialog.findChildren(QLabel))
    assert "api.openai.com" in said
    assert "this session only" in said


def test_it_says_that_the_key_goes_without_encryption(dressed: None, qtbot: QtBot) -> None:
    made = KeyDialog("custom:lab", "lab", "lab.example", in_the_clear=True)
    qtbot.addWidget(made)
    assert "not encrypted: others on the way can read the key." in spoken(made)
    assert any("not encrypted" in label.text() for label in made.findChildren(QLabel))


def test_a_button_pastes_and_the_field_stays_masked(dialog: KeyDialog, qtbot: QtBot) -> None:
    QApplication.clipboard().setText(" sk-CANARY\n")
    paste = next(b for b in dialog.findChildren(QToolButton) if b.accessibleName() == "Paste the key")
    qtbot.mouseClick(paste, Qt.MouseButton.LeftButton)
    QApplication.clipboard().clear()
    assert field(dialog).text() == "sk-CANARY"
    assert "CANARY" not in field(dialog).displayText()
    assert "CANARY" not in spoken(dialog)


def spoken(widget: QWidget) -> str:
    """All that a screen reader, or any program that asks as one, gets of a window."""
    top = QAccessible.queryAccessibleInterface(widget)
    assert top is not None
    kinds = (QAccessible.Text.Name, QAccessible.Text.Value, QAccessible.Text.Description, QAccessible.Text.Help)
    return " ".join(node.text(kind) for node in walk(top) for kind in kinds)


def test_it_says_the_truth_about_the_keyring_of_this_machine(dialog: KeyDialog) -> None:
    box = dialog.findChild(CheckLine)
    assert box is not None
    assert dialog.keeps_in_keyring(), "what most people want, and harmless where it fails"
    dialog.show_keyring(KeyringNote("Secret Service", usable=True, is_there=True))
    assert box.accessibleName() == "Keep the key in the keyring (Secret Service)"
    box.setChecked(False)
    assert not dialog.keeps_in_keyring()
    box.setChecked(True)
    dialog.show_keyring(KeyringNote("Secret Service", False, True, "The keyring is locked or broken (InitError)."))
    assert dialog.keeps_in_keyring(), "it may be unlocked when the key is put there"
    assert "The keyring is locked or broken" in box.accessibleDescription()
    dialog.show_keyring(KeyringNote("none", False, False, "This machine has no keyring."))
    assert not dialog.keeps_in_keyring()
    assert not box.isEnabled()
    assert "This machine has no keyring. So the key is kept in memory, for this session only." in spoken(dialog)


def test_a_test_is_told_stopped_and_forgotten_when_another_key_is_typed(dialog: KeyDialog, qtbot: QtBot) -> None:
    asked: list[str] = []
    dialog.test_requested.connect(asked.append)
    dialog.test_cancelled.connect(lambda: asked.append("stopped"))
    assert not button(dialog, "Test").isEnabled()
    qtbot.keyClicks(field(dialog), "sk-1")
    qtbot.mouseClick(button(dialog, "Test"), Qt.MouseButton.LeftButton)
    qtbot.mouseClick(button(dialog, "Stop"), Qt.MouseButton.LeftButton)
    assert asked == ["sk-1", "stopped"]
    qtbot.mouseClick(button(dialog, "Test"), Qt.MouseButton.LeftButton)
    dialog.show_test("The key works.", "here")
    assert dialog.test_text() == "The key works."
    qtbot.keyClicks(field(dialog), "2")
    assert dialog.test_text() == ""
    qtbot.mouseClick(button(dialog, "Test"), Qt.MouseButton.LeftButton)
    dialog.reject()
    assert asked == ["sk-1", "stopped", "sk-1", "sk-12", "stopped"]


def test_a_variable_is_used_by_a_click_alone(dialog: KeyDialog, qtbot: QtBot) -> None:
    chosen: list[str] = []
    dialog.variable_chosen.connect(chosen.append)
    dialog.offer_variable("OPENAI_API_KEY")
    qtbot.keyClick(field(dialog), Qt.Key.Key_Return)
    assert chosen == []
    assert dialog.isVisible()
    qtbot.mouseClick(button(dialog, "Use the key in OPENAI_API_KEY"), Qt.MouseButton.LeftButton)
    assert chosen == ["OPENAI_API_KEY"]
    assert not dialog.isVisible()
