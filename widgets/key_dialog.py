"""Asks for a provider's API key. Must not know where keys are kept nor what they open."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDialog, QLineEdit, QVBoxLayout, QWidget

from widgets import parts, theme

KEPT_TEXT = "The key is kept in memory for this session only. It is never written to a file, a log or the history."
WIDTH = 460


class KeyDialog(QDialog):
    """`key_entered` carries the provider and the key when the person accepts; cancelling says nothing.

    `provider` is the target's provider (openai), `title` its name for people (OpenAI), `host` where the key is sent.
    """

    key_entered = Signal(str, str)

    def __init__(
        self,
        provider: str,
        title: str,
        host: str,
        *,
        kept: str = KEPT_TEXT,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._provider = provider
        self.setWindowTitle(f"API key for {title}")
        self.setFixedWidth(WIDTH)
        self._field = QLineEdit()
        self._field.setEchoMode(QLineEdit.EchoMode.Password)
        self._field.setAccessibleName(f"API key for {title}")
        self._field.setPlaceholderText("Paste the key here")
        self._field.textChanged.connect(self._changed)
        self._show = parts.icon_button("eye", "Show the key")
        self._show.setCheckable(True)
        self._show.toggled.connect(self._reveal)
        self._use = parts.button("Use this key", "Use this key for this provider (Enter)", kind="primary")
        self._use.setDefault(True)
        self._use.setEnabled(False)
        self._use.clicked.connect(self._accept_key)
        cancel = parts.button("Cancel", "Close without a key (Esc)")
        cancel.clicked.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.WIDE, theme.WIDE, theme.WIDE, theme.ROOM)
        layout.setSpacing(theme.GAP)
        layout.addWidget(parts.label(f"API key for {title}", "heading"))
        says = f"It is sent to {host} with each prompt you run on this provider, and nowhere else."
        layout.addWidget(parts.label(says, wrap=True))
        layout.addLayout(parts.row(self._field, self._show, gap=theme.HAIR))
        layout.addWidget(parts.label(kept, "caption", "muted", wrap=True))
        buttons = parts.row()
        buttons.addStretch(1)
        buttons.addWidget(cancel)
        buttons.addWidget(self._use)
        layout.addLayout(buttons)
        self._field.setFocus()

    def done(self, result: int) -> None:
        """Forget the typed key as soon as the dialog closes."""
        self._field.clear()
        super().done(result)

    def _key(self) -> str:
        return self._field.text().strip()

    def _changed(self) -> None:
        self._use.setEnabled(bool(self._key()))

    def _reveal(self, shown: bool) -> None:
        self._field.setEchoMode(QLineEdit.EchoMode.Normal if shown else QLineEdit.EchoMode.Password)
        self._show.setAccessibleName("Hide the key" if shown else "Show the key")
        self._show.setToolTip("Hide the key" if shown else "Show the key")

    def _accept_key(self) -> None:
        key = self._key()
        if key:
            self.key_entered.emit(self._provider, key)
            self.accept()
