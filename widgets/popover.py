"""A card that opens under a chip of the top bar and closes on Esc or a click elsewhere. Must not know its content."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QHideEvent
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from widgets import theme

WIDTH = 380


class Popover(QFrame):
    """Put widgets into `body`. `closed` comes when it goes, however that was done."""

    closed = Signal()

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setProperty("card", "popup")
        self.setAccessibleName(name)
        self.setFixedWidth(WIDTH)
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(theme.ROOM, theme.ROOM, theme.ROOM, theme.ROOM)
        self.body.setSpacing(theme.TIGHT)

    def open_below(self, anchor: QWidget) -> None:
        """Show under `anchor`, right edges aligned, inside the screen."""
        self.adjustSize()
        at = anchor.mapToGlobal(anchor.rect().bottomRight())
        room = anchor.screen().availableGeometry()
        at.setX(max(room.left(), at.x() - self.width()))
        at.setY(min(at.y() + theme.HAIR, room.bottom() - self.height()))
        self.move(at)
        self.show()
        self.setFocus(Qt.FocusReason.PopupFocusReason)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.closed.emit()
