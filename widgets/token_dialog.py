"""Asks for a Hugging Face access token where a repo is gated. Must not know where tokens are kept."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from widgets.assistant_values import HUB_HOST
from widgets.secret_dialog import SecretDialog


class TokenDialog(SecretDialog):
    """`token_entered` carries the repo (OWNER/REPO) and the token when the person accepts; cancelling says nothing."""

    token_entered = Signal(str, str)

    def __init__(self, repo: str, *, host: str = HUB_HOST, parent: QWidget | None = None) -> None:
        says = (
            f"{repo} gives its files only to people who accepted its terms. Accept them on {host}, make a token with "
            f"read access in your account there, and paste it. It is sent to {host} and nowhere else."
        )
        super().__init__("token", "Access token for a gated repo", says, parent=parent)
        self._repo = repo

    def give(self, secret: str) -> None:
        self.token_entered.emit(self._repo, secret)
