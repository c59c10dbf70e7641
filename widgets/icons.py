"""Icons by name, from the Phosphor font, loaded after the first paint. Must not know what a button does.

Reading the font takes some milliseconds, so buttons are born with an empty icon of the right size and get their
picture from `load`, and again from `recolour` when the theme changes.
"""

from __future__ import annotations

import weakref

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QIcon, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QAbstractButton, QPushButton, QWidget
from shiboken6 import isValid

from widgets import icon_font, theme

NAMES = {  # ours: Phosphor's
    "compare": "columns",
    "models": "stack",
    "history": "clock-counter-clockwise",
    "settings": "gear-six",
}
TEXT_GAP = 6  # Qt leaves too little room between a button's icon and its text
_loaded = False
_dressed: weakref.WeakKeyDictionary[QAbstractButton, tuple[str, str]] = weakref.WeakKeyDictionary()
_marks: weakref.WeakSet[IconMark] = weakref.WeakSet()


def load() -> None:
    """Read the icon font and dress every button that waits; cheap when done before."""
    global _loaded
    if not _loaded:
        icon_font.load()
        _loaded = True
        recolour()


_made: dict[tuple[str, int, int], QIcon] = {}


def recolour() -> None:
    """Draw every icon again in the colours of the current theme."""
    for button in list(_dressed):
        if isValid(button):  # Python may hold a button longer than its window lives
            _draw(button)
    for mark in list(_marks):
        if isValid(mark):
            mark.update()


def dress(button: QAbstractButton, name: str, tone: str = "text", size: int = theme.ICON) -> None:
    """Give a button an icon; `tone` is a palette field. Calling again changes it."""
    _dressed[button] = (name, tone)
    beside_text = isinstance(button, QPushButton) and bool(button.text())
    button.setIconSize(QSize(size + (TEXT_GAP if beside_text else 0), size))
    _draw(button)


def icon(name: str, tone: str = "text") -> QIcon:
    """An icon in a palette colour; empty before `load`."""
    if not _loaded:
        blank = QPixmap(1, 1)
        blank.fill(Qt.GlobalColor.transparent)
        return QIcon(blank)
    colour, disabled = theme.color(tone), theme.color("outline")
    key = (name, colour.rgba(), disabled.rgba())
    if key not in _made:  # making one costs more than painting a row of a table
        _made[key] = icon_font.icon(NAMES.get(name, name), colour, disabled)
    return _made[key]


def _draw(button: QAbstractButton) -> None:
    name, tone = _dressed[button]
    button.setIcon(icon(name, tone))


class IconMark(QWidget):
    """A picture beside words that say the same; not focusable and silent for screen readers."""

    def __init__(self, name: str, tone: str = "text", size: int = theme.ICON, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name, self._tone = name, tone
        self.setFixedSize(size, size)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        _marks.add(self)

    def show_icon(self, name: str, tone: str) -> None:
        if (name, tone) != (self._name, self._tone):
            self._name, self._tone = name, tone
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        icon(self._name, self._tone).paint(painter, QRectF(self.rect()).toRect())
