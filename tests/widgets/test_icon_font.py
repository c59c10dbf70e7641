"""Every icon that the window asks for is in the font, is drawn in its colour, and stays sharp."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QIcon
from pytestqt.qtbot import QtBot

from widgets import icon_font, icons

SOURCES = Path(icons.__file__).parents[1]
RED, GREY = QColor("#ff0000"), QColor("#808080")


def colours(icon: QIcon, size: int, mode: QIcon.Mode = QIcon.Mode.Normal) -> set[str]:
    """The colours of the pixels that are wholly covered."""
    picture = icon.pixmap(QSize(size, size), mode).toImage()
    points = ((x, y) for x in range(picture.width()) for y in range(picture.height()))
    drawn = (picture.pixelColor(x, y) for x, y in points)
    return {each.name() for each in drawn if each.alpha() == 255}


@pytest.mark.parametrize("size", [16, 24, 64])
def test_an_icon_is_drawn_in_its_colours_at_any_size(qtbot: QtBot, size: int) -> None:
    icon = icon_font.icon("stop-fill", RED, GREY)
    assert colours(icon, size) == {RED.name()}
    assert colours(icon, size, QIcon.Mode.Disabled) == {GREY.name()}
    detached = QIcon(icon)
    detached.setIsMask(True)  # from here on it has a clone of the engine
    assert colours(detached, size) == {RED.name()}


def test_a_name_that_the_font_lacks_is_an_error(qtbot: QtBot) -> None:
    with pytest.raises(KeyError):
        icon_font.icon("no-such-picture", RED, GREY)


def test_names_of_filled_icons_in_the_source_are_in_the_font(qtbot: QtBot) -> None:
    found = {
        name
        for folder in ("widgets", "app")
        for source in (SOURCES / folder).glob("*.py")
        for name in re.findall(r'"([a-z-]+-(?:thin|light|bold|fill|duotone))"', source.read_text(encoding="utf-8"))
        if not name.startswith("-")
    }
    assert "stop-fill" in found
    for name in (*found, *icons.NAMES.values()):
        icon_font.icon(name, RED, GREY)
