"""Windows and dialogs on a screen as small as a laptop's at 200 %: nothing out of sight that must be pressed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint, QRect, QSize
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLabel, QWidget
from pytestqt.qtbot import QtBot

from tests.widgets import assistant_samples as told
from tests.widgets import model_samples as ms
from tests.widgets.models_shown import settle, the
from widgets.assistant import Assistant
from widgets.assistant_model import ModelStep
from widgets.download_list import DownloadList
from widgets.main_window import MainWindow
from widgets.models_page import ModelsPage
from widgets.repo_dialog import AddRepoDialog
from widgets.screen_room import FRAME, keep_inside, largest

pytestmark = pytest.mark.usefixtures("dressed")


@pytest.fixture
def small() -> QRect:
    screen = next(each for each in QGuiApplication.screens() if each.name() == "small")
    return screen.availableGeometry()


def owner_on(qtbot: QtBot, room: QRect) -> QWidget:
    made = QWidget()
    qtbot.addWidget(made)
    made.setGeometry(room)
    made.show()
    return made


def inside(widget: QWidget, room: QRect) -> bool:
    return room.contains(QRect(widget.mapToGlobal(QPoint(0, 0)), widget.size()))


def test_the_window_opens_as_large_as_its_screen_has_room(qtbot: QtBot, small: QRect) -> None:
    window = MainWindow()
    qtbot.addWidget(window)
    assert (window.width(), window.height()) == (1280, 800), "where there is room"
    other = owner_on(qtbot, small)
    assert largest(other) == QSize(small.width(), small.height() - FRAME)


def test_on_a_screen_that_is_smaller_the_window_is_too() -> None:
    """In a process of its own, since the first screen of this one is large; Qt's own offscreen one has 800 by 800."""
    script = (
        "from PySide6.QtWidgets import QApplication; from widgets.main_window import MainWindow; q = QApplication([]); "
        "w = MainWindow(); w.show(); q.processEvents(); print(w.width(), w.height(), w.pos().x() >= 0)"
    )
    env = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["800", str(800 - FRAME), "True"]


def test_a_window_that_hangs_over_the_edge_comes_back(qtbot: QtBot, small: QRect) -> None:
    made = QWidget()
    qtbot.addWidget(made)
    made.setGeometry(QRect(small.topLeft() + QPoint(300, 200), small.size() / 2))
    made.show()
    assert not inside(made, small)
    keep_inside(made)
    assert inside(made, small)


def test_the_assistant_has_its_buttons_in_sight(qtbot: QtBot, small: QRect) -> None:
    owner = owner_on(qtbot, small)
    sheet = Assistant(owner)
    sheet.show_view(told.FOUND)
    sheet.open()
    for step in (1, 2):
        sheet.go_to(step)
        settle()
        assert inside(sheet, small)
        shown = [button for button in (sheet._next, sheet._skip) if button.isVisible()]
        assert all(inside(button, small) for button in shown)
    sheet.close()


def test_the_list_of_a_repo_does_not_push_the_button_off_the_screen(qtbot: QtBot, small: QRect) -> None:
    owner = owner_on(qtbot, small)
    dialog = AddRepoDialog(owner)
    dialog.open()
    dialog.move(small.left() + 20, small.bottom() - dialog.height())
    dialog.type_repo("maker/Tiny-GGUF")
    dialog.look_up()
    dialog.show_listing(told.REPO_FILES * 4)
    settle()
    assert inside(dialog, small)
    assert inside(dialog._download, small)
    dialog.close()


def test_the_dialogs_name_the_hub_that_is_asked(qtbot: QtBot) -> None:
    dialog = AddRepoDialog(host="hub.example:8443")
    qtbot.addWidget(dialog)
    assert any("asks hub.example:8443 for the list" in each.text() for each in dialog.findChildren(QLabel))
    step = ModelStep()
    qtbot.addWidget(step)
    step.show_view(replace(told.FOUND, hub_host="hub.example:8443"))
    assert any("contacts hub.example:8443" in each.text() for each in step.findChildren(QLabel))


def test_downloads_leave_room_for_the_catalogue(qtbot: QtBot) -> None:
    page = ModelsPage()
    qtbot.addWidget(page)
    page.resize(1200, 640)
    page.show_view(replace(ms.on_4090(), downloads=ms.DOWNLOADS))
    page.show()
    settle()
    downloads = the(page, DownloadList)
    assert downloads.isVisible()
    assert downloads.height() <= page.height() * 0.2
