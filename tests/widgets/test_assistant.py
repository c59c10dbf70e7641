"""The first-start assistant: what it says, how it is walked through, and that nothing happens unasked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QFileDialog, QLabel, QPushButton, QRadioButton, QWidget
from pytestqt.qtbot import QtBot

from tests.widgets import assistant_samples as told
from tests.widgets.conftest import Show
from tests.widgets.test_accessibility import unnamed
from tests.widgets.test_layout import cut_texts, overlaps
from widgets import theme
from widgets.assistant import Assistant
from widgets.assistant_step import Step
from widgets.assistant_values import AssistantView
from widgets.busy_bar import BusyBar
from widgets.choice_card import ChoiceCard

NO_DOWNLOAD = replace(told.RUNNING, state="cancelled")


class Opened:
    """An assistant over a window, with all it said."""

    def __init__(self, dialog: Assistant) -> None:
        self.dialog = dialog
        self.heard: list[tuple[str, object]] = []
        for name in ("download_requested", "use_requested", "import_requested", "fix_copied", "step_changed"):
            getattr(dialog, name).connect(lambda value, name=name: self.heard.append((name, value)))
        for name in ("skipped", "completed"):
            getattr(dialog, name).connect(lambda name=name: self.heard.append((name, None)))

    def text(self) -> str:
        QApplication.processEvents()  # what was added since shows with the next layout
        return " ".join(label.text() for label in self.dialog.findChildren(QLabel) if label.isVisible())

    def button(self, starts: str) -> QPushButton:
        return next(b for b in self.dialog.findChildren(QPushButton) if b.isVisible() and b.text().startswith(starts))

    def buttons(self) -> list[str]:
        return [b.text() for b in self.dialog.findChildren(QPushButton) if b.isVisible()]

    def is_busy(self) -> bool:
        return any(bar.isVisible() for bar in self.dialog.findChildren(BusyBar))

    def cards(self) -> list[ChoiceCard]:
        return [card for card in self.dialog.findChildren(ChoiceCard) if card.isVisible()]


@pytest.fixture
def opened(show: Show, qtbot: QtBot) -> Opened:
    window = show("local:demo").window
    dialog = Assistant(window)
    qtbot.addWidget(dialog)
    with qtbot.waitActive(dialog):
        dialog.open()
        dialog.activateWindow()
    return Opened(dialog)


def press(qtbot: QtBot, button: QWidget) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


# -- step one ----------------------------------------------------------------------------------------------------


def test_it_looks_without_blocking(opened: Opened, qtbot: QtBot) -> None:
    assert "Looking at graphics card" in opened.text()
    assert opened.is_busy()
    press(qtbot, opened.button("Next"))
    assert opened.heard == [("step_changed", 2)]
    assert "Weighing" in opened.text()


def test_it_says_what_was_found_in_plain_words(opened: Opened) -> None:
    opened.dialog.show_view(told.FOUND)
    said = opened.text()
    assert "Models can run on your graphics card, RTX 4090" in said
    assert "21.0 of 24.0 GiB free" in said
    assert "RTX 4090: driver 580.95, 1,008 GB/s" in said
    assert not opened.is_busy()
    opened.dialog.show_view(told.NO_GPU)
    assert "No graphics card that models can use: models run on the processor, slower." in opened.text()


def test_a_problem_has_its_fix_to_copy(opened: Opened, qtbot: QtBot) -> None:
    opened.dialog.show_view(told.TROUBLED)
    assert "the fix is below" in opened.text()
    assert "which is the fast way" not in opened.text()
    press(qtbot, opened.button("Copy"))
    assert QApplication.clipboard().text() == "make llama GPU=cuda"
    assert opened.heard == [("fix_copied", "make llama GPU=cuda")]
    QApplication.clipboard().clear()


# -- step two ----------------------------------------------------------------------------------------------------


def at_models(opened: Opened, view: AssistantView = told.FOUND) -> Opened:
    opened.dialog.show_view(view)
    opened.dialog.go_to(2)
    opened.heard.clear()
    return opened


def test_three_offers_with_reason_size_speed_and_licence(opened: Opened) -> None:
    first = at_models(opened).cards()[0]
    assert [card.title() for card in opened.cards()] == [
        "Llama 3.1 8B Instruct, Q6_K", "Llama 3.2 3B Instruct, Q4_K_M", "Llama 3.3 70B Instruct, IQ3_M",
    ]  # fmt: skip
    said = " ".join(label.text() for label in first.findChildren(QLabel))
    for words in ("Recommended", told.EIGHT.reason, "6.14 GiB to download", "faster than you read", told.COMMUNITY):
        assert words in said
        assert words in f"{first.accessibleName()} {first.accessibleDescription()}"
    assert "Built with Llama" in opened.text()
    assert "contacts huggingface.co" in opened.text()
    assert first.isChecked()
    assert opened.dialog.focusWidget() is first


def test_download_is_asked_for_once_and_goes_on_in_the_background(opened: Opened, qtbot: QtBot) -> None:
    at_models(opened)
    press(qtbot, opened.cards()[1])
    assert opened.heard == [], "choosing alone contacts nobody"
    press(qtbot, opened.button("Download 1.88 GiB"))
    assert opened.heard == [("download_requested", "llama-3.2-3b:Q4_K_M")]
    opened.dialog.show_view(told.DOWNLOADING)
    assert "2.46 of 6.14 GiB" in opened.text()
    assert "goes on in the background" in opened.text()
    assert opened.cards() == []
    press(qtbot, opened.button("Start comparing"))
    assert opened.heard[1:] == [("completed", None)]
    assert not opened.dialog.isVisible()


def test_arrow_keys_choose_and_enter_downloads(opened: Opened, qtbot: QtBot) -> None:
    at_models(opened)
    qtbot.keyClick(opened.cards()[0], Qt.Key.Key_Down)
    assert opened.cards()[1].isChecked()
    qtbot.keyClick(opened.cards()[1], Qt.Key.Key_Return)
    assert opened.heard == [("download_requested", "llama-3.2-3b:Q4_K_M")]


def test_newer_figures_keep_the_choice_and_the_focus(opened: Opened, qtbot: QtBot) -> None:
    at_models(opened)
    qtbot.keyClick(opened.cards()[0], Qt.Key.Key_Down)
    slower = replace(told.THREE, tok_s_low=20.0, tok_s_high=30.0)
    opened.dialog.show_view(replace(told.FOUND, offers=(told.EIGHT, slower, told.SEVENTY)))
    assert opened.cards()[1].isChecked()
    assert opened.dialog.focusWidget() is opened.cards()[1]
    assert "20.0 to 30.0 tok/s" in opened.text()
    opened.dialog.show_view(replace(told.FOUND, offers=(slower, told.EIGHT)))
    assert opened.button("Download").text() == "Download 1.88 GiB", "another order, the same choice"
    opened.dialog.show_view(replace(told.FOUND, offers=(told.EIGHT,)))
    assert opened.button("Download").text() == "Download 6.14 GiB"


def test_while_models_are_weighed_enter_neither_downloads_nor_skips(opened: Opened, qtbot: QtBot) -> None:
    at_models(opened, replace(told.FOUND, offers=None))
    assert not opened.button("Download").isEnabled()
    focused = opened.dialog.focusWidget()
    assert focused is not None
    assert focused.accessibleName() == "Back"
    opened.dialog.show_view(told.FOUND)
    assert opened.dialog.focusWidget() is opened.cards()[0], "what was waited for takes the keyboard"


def test_a_model_that_is_here_is_used_and_not_fetched(opened: Opened, qtbot: QtBot) -> None:
    at_models(opened, replace(told.FOUND, offers=(replace(told.EIGHT, state="installed"),)))
    assert "contacts" not in opened.text()
    press(qtbot, opened.button("Use this model"))
    assert opened.heard == [("use_requested", told.EIGHT.ref), ("completed", None)]


def test_nothing_fits(opened: Opened, qtbot: QtBot) -> None:
    at_models(opened, told.NOTHING_FITS)
    assert told.NOTHING_FITS.no_offer in opened.text()
    press(qtbot, opened.button("Start with the demo model"))
    assert opened.heard == [("completed", None)]


def test_local_only_lets_nothing_be_downloaded(opened: Opened) -> None:
    at_models(opened, replace(told.FOUND, local_only=True))
    assert not opened.button("Download").isEnabled()
    assert "Local only is on" in opened.text()
    assert opened.button("Use a model file").isEnabled()


def test_a_full_disk_is_said_before(opened: Opened) -> None:
    at_models(opened, replace(told.FOUND, folder_free_bytes=2**30))
    assert "has 1.00 GiB free, and this model needs 6.14 GiB" in opened.text()


def test_a_failed_download_says_why_and_can_be_tried_again(opened: Opened, qtbot: QtBot) -> None:
    at_models(opened, told.FAILED)
    assert "huggingface.co does not answer." in opened.text()
    press(qtbot, opened.button("Try again"))
    assert opened.heard == [("download_requested", told.EIGHT.ref)]
    opened.dialog.show_view(replace(told.FOUND, download=NO_DOWNLOAD))
    assert "does not answer" not in opened.text()
    assert len(opened.cards()) == 3


def test_a_file_of_ones_own(opened: Opened, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    at_models(opened)
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([], ""))
    press(qtbot, opened.button("Use a model file"))
    assert opened.heard == []
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: (["/models/mine.gguf"], ""))
    press(qtbot, opened.button("Use a model file"))
    assert opened.heard == [("import_requested", ("/models/mine.gguf",))]


@pytest.mark.parametrize(
    ("url", "taken"), [("file:///models/mine.gguf", ("/models/mine.gguf",)), ("https://a.example/x.gguf", None)]
)
def test_only_files_of_this_machine_can_be_dropped(opened: Opened, url: str, taken: tuple[str, ...] | None) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl(url)])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    entering = QDragEnterEvent(QPoint(9, 9), Qt.DropAction.CopyAction, mime, buttons, keys)
    entering.ignore()
    QApplication.sendEvent(opened.dialog, entering)
    assert entering.isAccepted() == (taken is not None)
    QApplication.sendEvent(opened.dialog, QDropEvent(QPointF(9, 9), Qt.DropAction.CopyAction, mime, buttons, keys))
    assert opened.heard == ([("import_requested", taken)] if taken else [])


# -- both --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 2])
def test_each_step_can_be_skipped_by_escape_and_by_button(opened: Opened, qtbot: QtBot, step: int) -> None:
    at_models(opened)
    opened.dialog.go_to(step)
    opened.heard.clear()
    if step == 1:
        qtbot.keyClick(opened.dialog, Qt.Key.Key_Escape)
    else:
        press(qtbot, opened.button("Not now: use the built-in demo model"))
    assert opened.heard == [("skipped", None)]
    assert not opened.dialog.isVisible()


def test_back_and_forth_by_keyboard(opened: Opened, qtbot: QtBot) -> None:
    opened.dialog.show_view(told.FOUND)
    assert "Back" not in opened.buttons()
    next_button = opened.button("Next")
    assert opened.dialog.focusWidget() is next_button
    qtbot.keyClick(next_button, Qt.Key.Key_Return)
    assert opened.dialog.accessibleName() == "First steps, step 2 of 2: A model that fits"
    qtbot.keyClick(opened.dialog, Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
    assert opened.heard == [("step_changed", 2), ("step_changed", 1)]
    opened.dialog.go_to(0)
    opened.dialog.go_to(3)
    assert opened.dialog.step() == 1


def test_a_third_step_is_one_more_page(opened: Opened, qtbot: QtBot) -> None:
    class Key(Step):
        title = heading = "A key"

        def show_view(self, view: AssistantView) -> None:
            del view

    opened.dialog.add_step(Key())
    at_models(opened, told.DOWNLOADING)
    press(qtbot, opened.button("Start comparing"))
    assert opened.heard == [("step_changed", 3)]
    press(qtbot, opened.button("Next"))
    assert opened.heard[1:] == [("completed", None)]


@pytest.mark.parametrize("view", [AssistantView(), told.TROUBLED, told.DOWNLOADING, told.FAILED])
def test_every_control_has_a_name(opened: Opened, view: AssistantView) -> None:
    opened.dialog.show_view(view)
    assert unnamed(opened.dialog) == []
    opened.dialog.go_to(2)
    assert unnamed(opened.dialog) == []


def test_tab_reaches_all_and_comes_round(opened: Opened, qtbot: QtBot) -> None:
    at_models(opened)
    reached: list[str] = []
    while (focused := opened.dialog.focusWidget()) is not None and focused.accessibleName() not in reached:
        reached.append(focused.accessibleName())
        qtbot.keyClick(focused, Qt.Key.Key_Tab)
    assert reached == [
        "Recommended: Llama 3.1 8B Instruct, Q6_K", "Use a model file I have…", "Not now: use the built-in demo model",
        "Back", "Download 6.14 GiB",
    ]  # fmt: skip


@pytest.mark.parametrize("points", [10.0, 13.0])
@pytest.mark.parametrize("view", [told.TROUBLED, replace(told.FOUND, local_only=True, folder_free_bytes=2**30)])
def test_nothing_is_cut(show: Show, qapp: QApplication, qtbot: QtBot, points: float, view: AssistantView) -> None:
    font = qapp.font()
    font.setPointSizeF(points)
    qapp.setFont(font)
    theme.apply(qapp, "light")
    window = show("local:demo", size=(800, 560)).window
    dialog = Assistant(window)
    qtbot.addWidget(dialog)
    dialog.show_view(view)
    dialog.open()
    for step in (1, 2):
        dialog.go_to(step)
        for _ in range(3):
            QApplication.processEvents()
        assert cut_texts(dialog) == []
        assert overlaps(dialog) == []
    assert dialog.width() <= window.width()
    assert dialog.height() <= window.height()


def test_offers_are_radio_buttons_for_screen_readers(opened: Opened) -> None:
    assert all(isinstance(card, QRadioButton) for card in at_models(opened).cards())


def test_the_window_is_dimmed_while_a_dialog_is_over_it(opened: Opened) -> None:
    window = opened.dialog.parentWidget()
    assert window is not None
    QApplication.processEvents()
    dimmed = window.grab().toImage().pixelColor(600, 20)
    window.resize(1400, 900)
    QApplication.processEvents()
    assert window.grab().toImage().pixelColor(1390, 890).lightness() < 200, "all of it, also when it grows"
    opened.dialog.reject()
    QApplication.processEvents()
    assert window.grab().toImage().pixelColor(600, 20).lightness() > dimmed.lightness()
