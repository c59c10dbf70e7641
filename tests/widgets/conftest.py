"""The window as the app builds it, dressed, for the tests that look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from tests.widgets.gallery import Shown
from widgets import icons, theme

Show = Callable[..., Shown]
OFFSCREEN_LIMITS = r"^This plugin does not support"  # raising popups, grabbing keys: said by Qt's offscreen platform


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every other Qt warning fails a test."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.qt_log_ignore(OFFSCREEN_LIMITS))


@pytest.fixture
def dressed(qapp: QApplication) -> Iterator[None]:
    """Light theme and icons; undressed afterwards, so that tests of plain widgets do not depend on order."""
    font, palette, style = qapp.font(), qapp.palette(), qapp.style().objectName()
    theme.apply(qapp, "light")
    icons.load()
    yield
    qapp.setProperty("nearfar_dressed", None)
    qapp.setStyleSheet("")
    qapp.setStyle(style)
    qapp.setPalette(palette)
    qapp.setFont(font)


@pytest.fixture
def show(dressed: None, qtbot: QtBot) -> Show:
    """`show("local:demo", "practice", size=(1280, 800))`: a shown window with these lanes."""

    def make(*targets: str, size: tuple[int, int] = (1280, 800)) -> Shown:
        shown = Shown()
        qtbot.addWidget(shown.window)
        shown.lanes(*targets)
        shown.window.resize(*size)
        with qtbot.waitExposed(shown.window):
            shown.window.show()
        return shown

    return make
