"""The Keys section of the Settings page: whose key is where. Must not see a key, nor know how it is kept."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from widgets import parts, theme
from widgets.key_dialog import DeleteKeyDialog
from widgets.key_test_line import KeyOutcome, TryButton
from widgets.key_values import KeyLine, KeyringNote, Tone, section_words
from widgets.settings_rows import section


class KeyRow(QWidget):
    """One provider: its name, where its key is, and what can be done about it."""

    enter = Signal()
    test = Signal()
    test_stopped = Signal()
    delete = Signal()

    def __init__(self, line: KeyLine) -> None:
        super().__init__()
        self._says = parts.label(tone="muted", wrap=True)
        self._enter = parts.button("Enter…", "")
        self._test = TryButton(f"the key for {line.label}")
        self._delete = parts.button("Delete…", "Delete this key", name=f"Delete the key for {line.label}")
        self._outcome = KeyOutcome(f"The key for {line.label}")
        self._enter.clicked.connect(self.enter)
        self._test.wanted.connect(self._start_test)
        self._test.stopped.connect(self._stop_test)
        self._delete.clicked.connect(self.delete)
        words = parts.column(parts.label(line.label, "strong"), self._says, gap=theme.HAIR)
        head = parts.row(self._enter, self._test, self._delete)
        head.insertLayout(0, words, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.TIGHT)
        layout.addLayout(head)
        layout.addWidget(self._outcome)
        self.line = line
        self.show_line(line)

    def show_line(self, line: KeyLine) -> None:
        if line.place != self.line.place:
            self._outcome.clear()  # it spoke of another key
        self.line = line
        has_key = line.place != "none"
        self._says.setText(line.says)
        self._enter.setText("Replace…" if has_key else "Enter…")
        name = f"{'Replace' if has_key else 'Enter'} the key for {line.label}"
        self._enter.setAccessibleName(name)
        self._enter.setAccessibleDescription(f"{line.says} It is sent to {line.host}." if line.host else line.says)
        parts.set_tip(self._enter, f"{name}; it is sent to {line.host}" if line.host else name)
        self._enter.setEnabled(bool(line.host))
        self._test.setEnabled(has_key and bool(line.host))
        self._delete.setEnabled(has_key)

    def show_test(self, sentence: str, tone: Tone) -> None:
        self._test.show_running(False)
        self._outcome.show_result(sentence, tone)

    def test_text(self) -> str:
        return self._outcome.text()

    def _start_test(self) -> None:
        self._test.show_running(True)
        self._outcome.show_running()
        self.test.emit()

    def _stop_test(self) -> None:
        self._test.show_running(False)
        self._outcome.clear()
        self.test_stopped.emit()


class KeySettings(QWidget):
    """Each signal carries the name that a provider's key has; deleting has been asked about already."""

    enter_requested = Signal(str)
    test_requested = Signal(str)
    test_cancelled = Signal(str)
    delete_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._words = parts.label(tone="muted", wrap=True)
        self._rows: dict[str, KeyRow] = {}
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._section: QWidget | None = None
        self.show_keyring(None)
        self.show_keys(())

    def show_keyring(self, keyring: KeyringNote | None) -> None:
        self._words.setText(section_words(keyring))

    def show_keys(self, lines: Sequence[KeyLine]) -> None:
        """Rows stay where they are, with the keyboard in them, unless there are others now."""
        if self._section is None or [line.name for line in lines] != list(self._rows):
            self._build(lines)
        for line in lines:
            self._rows[line.name].show_line(line)

    def show_test(self, name: str, sentence: str, tone: Tone) -> None:
        if name in self._rows:
            self._rows[name].show_test(sentence, tone)

    def row(self, name: str) -> KeyRow:
        """Raises KeyError."""
        return self._rows[name]

    def words(self) -> str:
        return self._words.text()

    def _build(self, lines: Sequence[KeyLine]) -> None:
        old = self._section
        self._rows = {line.name: self._row(line) for line in lines}
        self._section = section("Keys", [self._words, *self._rows.values()])
        self._layout.addWidget(self._section)
        if old is not None:
            self._layout.removeWidget(old)
            old.deleteLater()

    def _row(self, line: KeyLine) -> KeyRow:
        made, name = KeyRow(line), line.name
        made.enter.connect(lambda: self.enter_requested.emit(name))
        made.test.connect(lambda: self.test_requested.emit(name))
        made.test_stopped.connect(lambda: self.test_cancelled.emit(name))
        made.delete.connect(lambda: self._ask_delete(made))
        return made

    def _ask_delete(self, row: KeyRow) -> None:
        dialog = DeleteKeyDialog(row.line, self.window())
        dialog.confirmed.connect(self.delete_requested)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()
