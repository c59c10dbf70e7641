"""Whether the hub is being talked to now, told before the first packet leaves. Must not know what is said there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from PySide6.QtCore import QObject, Qt, Signal

from backends.models.manager import Models

T = TypeVar("T")


class HubTalk(QObject):
    """`changed` comes on the GUI thread as soon as the hub may be contacted, and when a talk has ended, however."""

    changed = Signal()
    _touched = Signal()

    def __init__(self, models: Models, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._models = models
        self._open = 0
        self._host = ""
        self._touched.connect(self.changed, Qt.ConnectionType.QueuedConnection)

    @property
    def host(self) -> str:
        """The hub's name while it is being talked to and is not this machine; else empty."""
        return self._host if self._open else ""

    def known_host(self) -> str:
        """The hub that was talked to last, where it is another machine."""
        return self._host

    async def during(self, work: Callable[[], Awaitable[T]]) -> T:
        """On the engine loop: the person's consent, then `work`. Raises NetworkNotAllowed, and what `work` raises."""
        self._models.permissions.consent()
        address = self._models.hub.address
        self._host = address.host if address.leaves_machine else ""
        self._open += 1
        self._touched.emit()
        try:
            return await work()
        finally:
            self._open -= 1
            self._touched.emit()
