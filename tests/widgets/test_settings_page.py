from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QDoubleSpinBox, QFileDialog, QLabel, QPushButton, QToolButton
from pytestqt.qtbot import QtBot

from backends.records import Sampling
from tests.widgets import assistant_samples as told
from tests.widgets.conftest import Show
from widgets.context_slider import ContextSlider
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


def button(page: SettingsPage, name: str) -> QPushButton:
    return next(b for b in page.findChildren(QPushButton) if b.accessibleName() == name)


def limit(page: SettingsPage) -> QDoubleSpinBox:
    found = page.findChild(QDoubleSpinBox)
    assert found is not None
    return found


def test_the_settings_of_models_are_shown_and_given_back_whole(show: Show, qtbot: QtBot) -> None:
    page, changes = opened(show)
    page.show_settings(told.SETTINGS)
    said = [label.text() for label in page.findChildren(QLabel)]
    for words in (
        told.SETTINGS.models_folder,
        "210 GiB free on its disk",
        told.COMMUNITY,
        "mit",
        *told.SETTINGS.added_repos,
    ):
        assert words in said
    assert limit(page).text() == "12.5 MB/s"
    assert changes == []
    qtbot.mouseClick(button(page, "Context memory: Compact (q8_0)"), Qt.MouseButton.LeftButton)
    assert changes == [replace(told.SETTINGS, kv_type="q8_0")]


def test_a_slider_that_is_dragged_is_told_once_at_the_end(show: Show, qtbot: QtBot) -> None:
    page, changes = opened(show)
    page.show_settings(told.SETTINGS)
    slider = page.findChild(ContextSlider)
    assert slider is not None
    for n_ctx in (16384, 32768, 65536):
        slider.choose_context(n_ctx)
    page.show_settings(replace(told.SETTINGS, theme="dark"))  # an echo of another change on the way
    qtbot.waitUntil(lambda: bool(changes))
    assert [change.n_ctx for change in changes] == [65536]
    assert changes[0].theme == "dark"


def test_a_change_elsewhere_does_not_bring_an_old_context_back(show: Show, qtbot: QtBot) -> None:
    page, changes = opened(show)
    page.show_settings(told.SETTINGS)
    slider = page.findChild(ContextSlider)
    assert slider is not None
    slider.choose_context(16384)
    qtbot.waitUntil(lambda: bool(changes))
    qtbot.mouseClick(button(page, "Theme: Dark"), Qt.MouseButton.LeftButton)
    assert changes[-1] == replace(told.SETTINGS, n_ctx=16384, theme="dark")


def test_the_download_limit_is_told_when_it_is_typed_whole(show: Show, qtbot: QtBot) -> None:
    page, changes = opened(show)
    page.show_settings(told.SETTINGS)
    field = limit(page)
    field.setFocus()
    field.selectAll()
    qtbot.keyClicks(field, "25")
    assert changes == []
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert [change.download_limit_mb_s for change in changes] == [25.0]
    field.setValue(0)
    assert changes[-1].download_limit_mb_s is None
    assert field.text() == "no limit"


def test_the_wheel_scrolls_the_page_and_changes_no_limit(show: Show) -> None:
    page, changes = opened(show)
    page.show_settings(told.SETTINGS)
    at, keys = QPointF(5, 5), Qt.KeyboardModifier.NoModifier
    wheel = QWheelEvent(
        at, at, QPoint(0, 120), QPoint(0, 120), Qt.MouseButton.NoButton, keys, Qt.ScrollPhase.NoScrollPhase, False
    )
    QApplication.sendEvent(limit(page), wheel)
    assert changes == []
    assert limit(page).value() == 12.5


def test_licences_and_repos_can_be_taken_off(show: Show, qtbot: QtBot) -> None:
    page, changes = opened(show)
    page.show_settings(told.SETTINGS)
    for name in (f"Remove {told.COMMUNITY}", f"Remove {told.SETTINGS.added_repos[0]}"):
        made = next(b for b in page.findChildren(QToolButton) if b.accessibleName() == name)
        qtbot.mouseClick(made, Qt.MouseButton.LeftButton)
        page.show_settings(changes[-1])
    assert [each.tag for each in changes[-1].accepted_licences] == ["mit"]
    assert changes[-1].added_repos == ()
    QApplication.processEvents()
    said = [label.text() for label in page.findChildren(QLabel) if label.isVisible()]
    assert "None. You add one on the Models page." in said


def test_the_folder_and_the_first_steps_are_asked_for(
    show: Show, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, changes = opened(show)
    page.show_settings(told.SETTINGS)
    heard: list[str] = []
    page.folder_chosen.connect(heard.append)
    page.folder_open_requested.connect(lambda: heard.append("open"))
    page.first_steps_requested.connect(lambda: heard.append("first steps"))
    for answer in ("", told.SETTINGS.models_folder, "/data/models"):
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, answer=answer: answer)
        qtbot.mouseClick(button(page, "Change…"), Qt.MouseButton.LeftButton)
    qtbot.mouseClick(button(page, "Open the models folder"), Qt.MouseButton.LeftButton)
    qtbot.mouseClick(button(page, "Show first steps again"), Qt.MouseButton.LeftButton)
    assert heard == [told.SETTINGS.models_folder, "/data/models", "open", "first steps"]
    assert changes == []


def test_a_problem_has_a_place_on_the_page(show: Show) -> None:
    page, _ = opened(show)
    page.show_problem(told.NO_NETWORK)
    assert page.problem_text().startswith("huggingface.co does not answer.")
    page.show_problem(None)
    assert page.problem_text() == ""
