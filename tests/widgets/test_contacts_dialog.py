"""The table of connections and the network settings as widgets."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit
from pytestqt.qtbot import QtBot

from widgets.contacts_dialog import ContactsDialog, summary
from widgets.settings_network import PROXY_WRONG, NetworkSettings, proxy_of
from widgets.values import ContactLine, SettingsView

NOW = datetime(2026, 11, 25, 9, 30).astimezone()
HERE = ContactLine(NOW - timedelta(minutes=3), "practice", "127.0.0.1", "closed", True, "", 10, 20)
AWAY = ContactLine(NOW - timedelta(minutes=2), "ask a model", "api.openai.com", "closed", False, "", 900, 5000)
PROXIED = ContactLine(NOW, "model download", "huggingface.co", "failed", False, "proxy.example:3128")
REFUSED = ContactLine(NOW, "update of prices", "prices.example", "refused")


def test_the_summary_counts_what_left_this_machine() -> None:
    assert summary([HERE]) == "Nothing went to another machine."
    assert summary([HERE, REFUSED]) == "Nothing went to another machine. 1 attempt was refused."
    assert summary([HERE, AWAY, PROXIED]) == "2 connections to api.openai.com, huggingface.co: 900 bytes sent."


def test_lines_come_newest_first_and_this_machine_on_demand(dressed: None, qtbot: QtBot) -> None:
    dialog = ContactsDialog()
    qtbot.addWidget(dialog)
    dialog.show_lines([], NOW)
    assert "No connection yet." in dialog.text()
    dialog.show_lines([HERE, AWAY, PROXIED], NOW)
    assert dialog.shown() == (PROXIED, AWAY)
    assert "huggingface.co, through proxy.example:3128\tfailed" in dialog.text()
    dialog._here.setChecked(True)
    assert dialog.shown() == (PROXIED, AWAY, HERE)
    assert "127.0.0.1 (this machine)" in dialog.text()


@pytest.mark.parametrize(
    "wrong", ["proxy.example:3128", "https://proxy.example", "http://me:secret@proxy.example", "http://", "http://a:0"]
)
def test_a_wrong_proxy_is_said_and_not_taken(dressed: None, qtbot: QtBot, wrong: str) -> None:
    page = NetworkSettings()
    qtbot.addWidget(page)
    page.show()
    field = page.findChild(QLineEdit)
    assert isinstance(field, QLineEdit)
    field.setText(wrong)
    with qtbot.assertNotEmitted(page.proxy_chosen):
        field.editingFinished.emit()
    assert page.problem_text() == PROXY_WRONG
    page.show_settings(SettingsView())
    assert field.text() == wrong, "what was typed is not lost"
    field.clear()
    QTest.keyClicks(field, "http://proxy.example:3128/")
    with qtbot.waitSignal(page.proxy_chosen) as told:
        field.editingFinished.emit()
    assert told.args == ["http://proxy.example:3128"]
    assert page.problem_text() == ""


def test_no_proxy_is_an_empty_field() -> None:
    assert proxy_of("  ") is None
