"""What a model thinks aloud, folded away above its answer. Must not know runs; the text is never read as Markdown."""

from __future__ import annotations

from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import QPlainTextEdit, QVBoxLayout, QWidget

from widgets import parts, theme

MAX_HEIGHT = 140


class ReasoningBox(QWidget):
    """Hidden while there is none. Text is queued by `append` and painted by `flush`."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[str] = []
        self._n_chars = 0
        self._painted = 0
        tip = "What the model wrote before its answer. It is not part of TTFT or tok/s."
        self._toggle = parts.button("Reasoning", tip, icon="brain", kind="quiet", tone="muted")
        self._toggle.setCheckable(True)
        self._toggle.toggled.connect(self._open)
        self._text = QPlainTextEdit()
        self._text.setReadOnly(True)
        self._text.setUndoRedoEnabled(False)
        self._text.setTabChangesFocus(True)
        self._text.setMaximumHeight(MAX_HEIGHT)
        self._text.setAccessibleName("Reasoning")
        self._text.setVisible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.HAIR)
        line = parts.row(self._toggle)
        line.addStretch(1)
        layout.addLayout(line)
        layout.addWidget(self._text)
        self.hide()

    def clear(self) -> None:
        self._parts.clear()
        self._n_chars = self._painted = 0
        self._text.clear()
        self._toggle.setChecked(False)
        self.hide()

    def append(self, text: str) -> None:
        self._parts.append(text)
        self._n_chars += len(text)
        self.show()

    def flush(self) -> None:
        """Paint what came since the last time; nothing while folded but the count."""
        if self._painted == len(self._parts):
            return
        self._toggle.setText(f"Reasoning, {self._n_chars:,} characters")
        if self._toggle.isChecked():
            cursor = QTextCursor(self._text.document())
            cursor.movePosition(QTextCursor.MoveOperation.End)
            cursor.insertText("".join(self._parts[self._painted :]))
            self._painted = len(self._parts)

    def text(self) -> str:
        return "".join(self._parts)

    def painted_text(self) -> str:
        return self._text.toPlainText()

    def tab_stops(self) -> list[QWidget]:
        return [self._toggle, self._text]

    def _open(self, opened: bool) -> None:
        self._text.setVisible(opened)
        self.flush()
