from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from backends.records import Sampling
from tests.widgets.conftest import Show
from widgets.parts import Switch
from widgets.settings_page import SettingsPage
from widgets.values import SettingsView


def opened(show: Show) -> tuple[SettingsPage, list[SettingsView]]:
    shown = show("local:demo")
    shown.window.open_page("settings")
    changes: list[SettingsView] = []
    shown.settings.changed.connect(changes.append)
    return shown.settings, changes


def test_each_change_gives_all_settings_back(show: Show, qtbot: QtBot) -> None:
    page, changes = opened(show)
    page.show_settings(SettingsView(sampling=Sampling(seed=7)))
    for name in ("Theme: Dark", "Lane order: Race"):
        made = next(b for b in page.findChildren(QPushButton) if b.accessibleName() == name)
        qtbot.mouseClick(made, Qt.MouseButton.LeftButton)
    for switch in page.findChildren(Switch):
        switch.setFocus()
        qtbot.keyClick(switch, Qt.Key.Key_Space)
    assert changes[0] == SettingsView(theme="dark", sampling=Sampling(seed=7))
    assert changes[-1] == SettingsView("dark", False, True, "race", Sampling(seed=7))
    assert len(changes) == 4


def test_showing_settings_tells_nothing(show: Show) -> None:
    page, changes = opened(show)
    page.show_settings(SettingsView("light", False, True, "race"))
    assert changes == []
    assert page.settings() == SettingsView("light", False, True, "race")
    assert sorted(switch.isChecked() for switch in page.findChildren(Switch)) == [False, True]
