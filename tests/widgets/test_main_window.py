from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QToolButton, QWidget
from pytestqt.qtbot import QtBot

from tests.widgets import samples
from tests.widgets.conftest import Show
from tests.widgets.gallery import Shown
from widgets import device_chip, privacy_chip
from widgets.main_window import MainWindow
from widgets.parts import Switch
from widgets.popover import Popover
from widgets.values import PrivacyState


def rail(window: MainWindow) -> list[QToolButton]:
    return [b for b in window.findChildren(QToolButton) if b.property("kind") == "rail"]


def chip(window: MainWindow, starts: str) -> QPushButton:
    return next(b for b in window.findChildren(QPushButton) if b.accessibleName().startswith(starts))


def test_only_pages_that_exist_are_on_the_rail(show: Show) -> None:
    window = show("local:demo").window
    assert [b.text() for b in rail(window)] == ["Compare", "History", "Settings"]


def test_pages_open_by_mouse_and_by_keyboard(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo")
    opened: list[str] = []
    shown.window.page_chosen.connect(opened.append)
    qtbot.mouseClick(rail(shown.window)[1], Qt.MouseButton.LeftButton)
    assert shown.window.current_page() == "history"
    qtbot.keyClick(shown.window, Qt.Key.Key_3, Qt.KeyboardModifier.ControlModifier)
    assert shown.window.current_page() == "settings"
    qtbot.keyClick(shown.window, Qt.Key.Key_1, Qt.KeyboardModifier.ControlModifier)
    assert opened == ["history", "settings", "compare"]
    assert shown.compare.prompt_box.editor.hasFocus()
    assert shown.window.windowTitle() == "Nearfar: Compare"


def test_the_prompt_has_the_focus_when_the_window_opens(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo")
    qtbot.waitUntil(shown.compare.prompt_box.editor.hasFocus)


def test_closing_is_told_once(show: Show) -> None:
    shown = show("local:demo")
    told: list[bool] = []
    shown.window.closing.connect(lambda: told.append(True))
    shown.window.close()
    assert told == [True]


def test_nothing_else_opens_a_window(dressed: None, qapp: QApplication, qtbot: QtBot) -> None:
    """A widget that is shown before it has a parent flashes up as a window of its own."""
    flashes = _Flashes()
    qapp.installEventFilter(flashes)
    shown = Shown()
    qtbot.addWidget(shown.window)
    shown.lanes("local:demo", "practice")
    shown.compare.show_comparison(samples.stored())
    shown.history.show_lines(samples.history(), samples.NOW)
    qapp.removeEventFilter(flashes)
    assert flashes.seen == []


class _Flashes(QObject):
    """Names widgets that are shown as windows."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
            self.seen.append(type(watched).__name__)
        return False


def test_device_chip() -> None:
    assert device_chip.chip_text([]) == "Looking at this machine…"
    assert device_chip.chip_text([samples.GPU, samples.CPU]) == "NVIDIA RTX 4090, 21.0 of 24.0 GiB free"
    assert device_chip.chip_text([samples.CPU]) == "CPU, 23.0 GiB free"
    assert device_chip.chip_text([samples.GPU, samples.GPU]) == "NVIDIA RTX 4090 +1, 21.0 of 24.0 GiB free"
    unknown = replace(samples.GPU, free_bytes=None, total_bytes=None)
    assert device_chip.chip_text([unknown]) == "NVIDIA RTX 4090, memory unknown"
    small = replace(samples.GPU, free_bytes=600 * 2**20)
    assert device_chip.chip_text([small]) == "NVIDIA RTX 4090, 600 MiB of 24.0 GiB free"


def test_privacy_chip() -> None:
    assert privacy_chip.chip_text(samples.LOCAL_ONLY) == "Local only, 0 connections since 09:12"
    assert privacy_chip.chip_text(samples.AWAY) == "May contact: api.openai.com"
    two = replace(samples.AWAY, hosts=("api.openai.com", "api.together.xyz"))
    assert privacy_chip.chip_text(two) == "May contact: api.openai.com +1"
    assert privacy_chip.chip_text(samples.QUIET) == "All lanes local, 0 connections since 09:12"


def privacy_card(window: MainWindow, qtbot: QtBot, state: PrivacyState) -> list[str]:
    window.show_privacy(state)
    qtbot.mouseClick(chip(window, "Privacy"), Qt.MouseButton.LeftButton)
    card = window.findChildren(Popover)[-1]
    said = [label.text() for label in card.findChildren(QLabel)]
    card.hide()
    return said[2:-1]


def test_the_privacy_card_tells_what_may_be_contacted_from_what_was(show: Show, qtbot: QtBot) -> None:
    window = show("local:demo").window
    been = replace(samples.QUIET, contacted=("api.openai.com",), connections=3)
    assert privacy_card(window, qtbot, been) == [
        "No lane chosen now leaves this machine.",
        "Contacted since 09:12: api.openai.com, 3 connections.",
    ]
    assert privacy_card(window, qtbot, replace(samples.AWAY, connections=0)) == [
        "Lanes chosen now may contact: api.openai.com. They get the prompt you run.",
        "0 connections to other machines since 09:12.",
    ]
    assert privacy_card(window, qtbot, replace(samples.LOCAL_ONLY, hosts=("api.openai.com",))) == [
        "Local only refuses api.openai.com, which lanes chosen now name.",
        "0 connections to other machines since 09:12.",
    ]


def test_the_device_card_lists_every_device(show: Show, qtbot: QtBot) -> None:
    window = show("local:demo").window
    qtbot.mouseClick(chip(window, "Devices"), Qt.MouseButton.LeftButton)
    card = window.findChild(Popover)
    assert card is not None
    said = [label.text() for label in card.findChildren(QLabel)]
    assert said == [
        "This machine", "NVIDIA RTX 4090", "GPU memory: 21.0 GiB free of 24.0 GiB", "driver 565.77, 1,008 GB/s",
        "AMD Ryzen 9 7950X", "Memory: 23.0 GiB free of 64.0 GiB", "16 cores, 32 threads",
    ]  # fmt: skip
    qtbot.keyClick(card, Qt.Key.Key_Escape)
    assert not card.isVisible()


def test_local_only_is_asked_for_and_shown_only_when_it_is_so(show: Show, qtbot: QtBot) -> None:
    window = show("local:demo").window
    wanted: list[bool] = []
    window.local_only_toggled.connect(wanted.append)
    qtbot.mouseClick(chip(window, "Privacy"), Qt.MouseButton.LeftButton)
    card = window.findChild(Popover)
    assert card is not None
    switch = card.findChild(Switch)
    assert switch is not None
    assert switch.hasFocus()
    qtbot.keyClick(switch, Qt.Key.Key_Space)
    assert wanted == [True]
    window.show_privacy(samples.QUIET)
    assert not switch.isChecked(), "the app refused, so the switch says so"
    window.show_privacy(samples.LOCAL_ONLY)
    assert switch.isChecked()
    assert chip(window, "Privacy").text() == "Local only, 0 connections since 09:12"
    card.hide()


def test_downloads_show_on_the_rail(show: Show) -> None:
    window = show("local:demo").window
    window.show_download_progress(0.5, failed=False)  # without a Models page there is nowhere to show it
    window.add_page("models", "Models", "cube", QWidget())
    models = next(b for b in rail(window) if b.text() == "Models")
    plain = models.grab().toImage()
    seen = [plain]
    for share, failed, name in (
        (0.42, False, "Models page, downloading, 42 %"),
        (0.9, True, "Models page, downloading, 90 %, a download failed"),
        (None, True, "Models page, a download failed"),
    ):
        window.show_download_progress(share, failed=failed)
        assert models.accessibleName() == name
        assert name.removeprefix("Models page, ").capitalize() in models.toolTip()
        seen.append(models.grab().toImage())
    assert all(one != other for at, one in enumerate(seen) for other in seen[at + 1 :]), "each looks different"
    window.show_download_progress(None, failed=False)
    assert models.accessibleName() == "Models page"
    assert models.grab().toImage() == plain


def test_devices_are_watched_while_the_card_or_the_page_is_open(show: Show, qtbot: QtBot) -> None:
    window = show("local:demo").window
    window.add_page("models", "Models", "cube", QWidget(), watching=True)
    told: list[bool] = []
    window.devices_watched.connect(told.append)
    qtbot.mouseClick(chip(window, "Devices"), Qt.MouseButton.LeftButton)
    assert told == [True]
    qtbot.keyClick(popover(window), Qt.Key.Key_Escape)
    assert told == [True, False]
    window.open_page("models")
    assert told == [True, False, True]
    qtbot.mouseClick(chip(window, "Devices"), Qt.MouseButton.LeftButton)
    popover(window).hide()
    assert told == [True, False, True], "the page still shows them"
    window.open_page("compare")
    assert told[3:] == [False]


def test_the_open_device_card_takes_newer_figures(show: Show, qtbot: QtBot) -> None:
    window = show("local:demo").window
    qtbot.mouseClick(chip(window, "Devices"), Qt.MouseButton.LeftButton)
    card = popover(window)
    window.show_devices([replace(samples.GPU, free_bytes=9 * 2**30), samples.CPU])
    assert "GPU memory: 9.00 GiB free of 24.0 GiB" in [label.text() for label in card.findChildren(QLabel)]
    window.show_devices([samples.CPU])
    qtbot.waitUntil(lambda: len(card.findChildren(QLabel)) == 4)
    assert [label.text() for label in card.findChildren(QLabel)][:2] == ["This machine", "AMD Ryzen 9 7950X"]
    card.hide()


def popover(window: MainWindow) -> Popover:
    return next(card for card in window.findChildren(Popover) if card.isVisible())
