"""Asks for a provider's API key. Must not know where keys are kept nor what they open."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from widgets.secret_dialog import SecretDialog

KEPT_TEXT = "The key is kept in memory for this session only. It is never written to a file, a log or the history."


class KeyDialog(SecretDialog):
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
        says = f"It is sent to {host} with each prompt you run on this provider, and nowhere else."
        super().__init__("key", f"API key for {title}", says, kept, parent=parent)
        self._provider = provider

    def give(self, secret: str) -> None:
        self.key_entered.emit(self._provider, secret)
