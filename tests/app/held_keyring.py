"""A keyring in this process's memory that calls itself one the app trusts. Must not judge anything."""

from __future__ import annotations

import threading

from keyring.backend import KeyringBackend


class Held(KeyringBackend):
    """A keyring that calls itself one that the app trusts, in this process's memory; it may be held back."""

    priority = 9

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Event()

    def _wait(self) -> None:
        self.asked.set()
        self.open.wait(60)

    def get_password(self, service: str, username: str) -> str | None:
        self._wait()
        return self.entries.get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._wait()
        self.entries[f"{service}/{username}"] = password

    def delete_password(self, service: str, username: str) -> None:
        self._wait()
        del self.entries[f"{service}/{username}"]


Held.__module__ = "keyring.backends.SecretService"
