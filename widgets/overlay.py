"""What every dialog of the app has in common: modal to its window, which is dimmed meanwhile. Must not know any."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QHideEvent, QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QDialog, QWidget

from widgets import theme

SHADE = 0.35  # how much darker the window behind is, in both themes


class Overlay(QDialog):
    """Opened by `open()`: the event loop goes on, and signals tell what the person chose. Esc rejects."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowModality(Qt.WindowModality.WindowModal)
        self._scrim: _Scrim | None = None

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        owner = self.parentWidget()
        if owner is not None and self._scrim is None:
            self._scrim = _Scrim(owner.window())

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        if self._scrim is not None:
            self._scrim.hide()
            self._scrim.deleteLater()
            self._scrim = None

    def paintEvent(self, event: QPaintEvent) -> None:
        """A line around it, for desktops that give dialogs no frame."""
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setPen(theme.color("outline"))
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))


class _Scrim(QWidget):
    """Covers a window; it takes no focus and says nothing to screen readers."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setGeometry(window.rect())
        window.installEventFilter(self)
        self.show()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and isinstance(watched, QWidget):
            self.setGeometry(watched.rect())
        return False

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setOpacity(SHADE)
        painter.fillRect(self.rect(), Qt.GlobalColor.black)
