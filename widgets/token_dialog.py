"""Asks for a Hugging Face access token where a repo is gated or hidden. Must not know where tokens are kept."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from widgets.assistant_values import HUB_HOST
from widgets.secret_dialog import SecretDialog


class TokenDialog(SecretDialog):
    """`token_entered` carries the repo (OWNER/REPO) and the token when the person accepts; cancelling says nothing."""

    token_entered = Signal(str, str)

    def __init__(
        self,
        repo: str,
        *,
        hidden: bool = False,
        host: str = HUB_HOST,
        parent: QWidget | None = None,
    ) -> None:
        """`hidden`: the hub does not say whether the repo is gated, private or not there at all."""
        if hidden:
            why = (
                f"{host} shows {repo} to nobody without a token: it may be private or gated, or its name may be wrong. "
                f"If you have access to it, make a token with read access in your account on {host}, and paste it."
            )
        else:
            why = (
                f"{repo} gives its files only to people who accepted its terms. Accept them on {host}, make a token "
                "with read access in your account there, and paste it."
            )
        title = "Access token for a repo" if hidden else "Access token for a gated repo"
        super().__init__("token", title, f"{why} It is sent to {host} and nowhere else.", parent=parent)
        self._repo = repo

    def give(self, secret: str) -> None:
        self.token_entered.emit(self._repo, secret)
