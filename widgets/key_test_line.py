"""Asks for a test of a key and says in one sentence what came of it. Must not hold the key, nor know any server."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QPushButton, QWidget

from widgets import icons, parts, theme
from widgets.busy_bar import BusyBar
from widgets.key_values import Tone

ICONS: dict[Tone, str] = {"here": "check-circle", "caution": "info", "danger": "warning-circle"}


class KeyOutcome(QWidget):
    """The sentence, or a line that moves while the answer is awaited; takes no room while there is neither."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._busy = BusyBar(f"{name}: being tested")
        self._mark = icons.IconMark("info", "caution", 16)
        self._words = parts.label(wrap=True)
        line = parts.row(self._mark, self._words)
        line.setStretch(1, 1)
        column = parts.column(self._busy, gap=theme.HAIR)
        column.addLayout(line)
        self.setLayout(column)
        self.clear()

    def clear(self) -> None:
        self.hide()
        self._words.clear()

    def show_running(self) -> None:
        self._words.clear()
        self._mark.hide()
        self._words.hide()
        self._busy.show()
        self.show()

    def show_result(self, sentence: str, tone: Tone) -> None:
        self._busy.hide()
        self._mark.show_icon(ICONS[tone], tone)
        self._words.setText(sentence)
        parts.set_tone(self._words, tone)
        self._mark.show()
        self._words.show()
        self.show()

    def text(self) -> str:
        return self._words.text()

    @property
    def is_running(self) -> bool:
        return not self.isHidden() and not self._busy.isHidden()


class TryButton(QPushButton):
    """Test, and Stop while a test is under way. `wanted` and `stopped` say which of them was pressed."""

    wanted = Signal()
    stopped = Signal()

    def __init__(self, name: str) -> None:
        super().__init__("Test")
        self._name = name
        self._running = False
        self.clicked.connect(self._pressed)
        self.show_running(False)

    def show_running(self, running: bool) -> None:
        self._running = running
        self.setText("Stop" if running else "Test")
        tip = "Stop the test" if running else "Ask the server for its models, to see whether it takes this key"
        self.setAccessibleName(f"{'Stop testing' if running else 'Test'} {self._name}")
        self.setAccessibleDescription(tip)
        parts.set_tip(self, tip)

    def _pressed(self) -> None:
        (self.stopped if self._running else self.wanted).emit()
