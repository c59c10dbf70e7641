from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLabel, QLineEdit, QPushButton, QToolButton
from pytestqt.qtbot import QtBot

from widgets.key_dialog import KeyDialog


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
