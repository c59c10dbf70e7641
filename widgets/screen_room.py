"""Keeps windows and dialogs on the screen that they are on. Must not know what is in them."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QSize
from PySide6.QtWidgets import QWidget

FRAME = 32  # what a desktop's title bar takes, before there is one to measure


def largest(widget: QWidget) -> QSize:
    """How large a window may be on the screen of `widget`, its title bar left out."""
    room = widget.screen().availableGeometry()
    return QSize(room.width(), max(1, room.height() - FRAME))


def keep_inside(window: QWidget) -> None:
    """Move a window that hangs over an edge of its screen; one that is too large shows its upper left part."""
    room, frame = window.screen().availableGeometry(), window.frameGeometry()
    x = max(room.left(), min(frame.left(), room.right() + 1 - frame.width()))
    y = max(room.top(), min(frame.top(), room.bottom() + 1 - frame.height()))
    if (x, y) != (frame.left(), frame.top()):
        window.move(QPoint(x, y))
