"""Draws the Phosphor font that QtAwesome brings, without QtAwesome itself. Must not know which icon means what.

Importing QtAwesome takes 0.15 s and loads a dozen fonts with 13,000 names, 25 MB; the window needs one font and some
forty of its glyphs.
"""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QIcon, QIconEngine, QPainter, QPixmap

PACKAGE = "qtawesome"
OTHER_WEIGHTS = ("-thin", "-light", "-bold", "-duotone")  # of the same pictures: four sixths of the names
FILL = 0.875  # of the square that an icon has, as QtAwesome draws


_clones: list[QIconEngine] = []
"""Qt holds a clone, and PySide6 does not know it: without this Python would free what Qt still draws."""


class FontMissing(Exception):
    """QtAwesome, or the font in it, is not there."""


class _Glyph(QIconEngine):
    """One glyph in a colour, drawn sharp at any size and scale."""

    def __init__(self, text: str, colour: QColor, disabled: QColor) -> None:
        super().__init__()
        self._text, self._colour, self._disabled = text, colour, disabled

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, _state: QIcon.State) -> None:
        font = QFont(_font()[0])
        font.setPixelSize(max(1, round(rect.height() * FILL)))
        painter.save()
        painter.setFont(font)
        painter.setPen(self._disabled if mode == QIcon.Mode.Disabled else self._colour)
        painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, self._text)
        painter.restore()

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        picture = QPixmap(size)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        self.paint(painter, QRect(QPoint(0, 0), size), mode, state)
        painter.end()
        return picture

    def clone(self) -> QIconEngine:
        copy = _Glyph(self._text, self._colour, self._disabled)
        _clones.append(copy)
        return copy


def icon(name: str, colour: QColor, disabled: QColor) -> QIcon:
    """The icon that Phosphor calls `name`; raises KeyError for one it does not have, FontMissing."""
    return QIcon(_Glyph(_font()[1][name], colour, disabled))


def load() -> None:
    """Read the font now rather than at the first icon; raises FontMissing."""
    _font()


@cache
def _font() -> tuple[str, dict[str, str]]:
    """The font's family, and its glyphs by name."""
    spec = importlib.util.find_spec(PACKAGE)
    folder = Path(spec.origin).parent / "fonts" if spec is not None and spec.origin is not None else Path()
    font, names = next(folder.glob("phosphor-[0-9]*.ttf"), None), next(folder.glob("phosphor-charmap-*.json"), None)
    families = QFontDatabase.applicationFontFamilies(QFontDatabase.addApplicationFont(str(font))) if font else []
    if names is None or not families:
        raise FontMissing(f"no Phosphor font in {folder}")
    codes: dict[str, str] = json.loads(names.read_text(encoding="utf-8"))
    return families[0], {name: chr(int(code, 16)) for name, code in codes.items() if not name.endswith(OTHER_WEIGHTS)}
