"""API keys in the keyring of the system, one entry for each provider. Must not keep a key itself.

Every call goes to a thread of its own and is given up after three seconds: a keyring may wait for a password, hang, or
forget what it took. Nothing is ever written to a store that is not on the list of `keyring_state`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from backends.errors import KeyNotKept
from backends.keyring_state import TIMEOUT_S, find_store, locked_words
from backends.keys import Secret
from backends.threads import start_aside

SERVICE = "Nearfar"

T = TypeVar("T")
log = logging.getLogger(__name__)


class NoKeyring(KeyNotKept):
    """This machine has no store that could take a key, now or after an unlock."""

    fix = "Install a keyring such as gnome-keyring, then enter the key again."


class MayHold(KeyNotKept):
    """Nobody knows yet what the entry holds. `late` is done when it is known: without an error where the entry is as it
    was before; None where it will not become known."""

    def __init__(self, what: str, late: asyncio.Future[Any] | None = None) -> None:
        super().__init__(what)
        self.late = late


class _Claim:
    """Whether a call counts or was given up: whoever says so first decides."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outcome: Literal["done", "given up"] | None = None

    @property
    def is_given_up(self) -> bool:
        return self._outcome == "given up"

    def settle(self, outcome: Literal["done", "given up"]) -> bool:
        """True where it is this outcome now."""
        with self._lock:
            self._outcome = self._outcome or outcome
            return self._outcome == outcome


class KeyringStore:
    """The entries of the service "Nearfar". Every method raises NoKeyring or KeyNotKept with one sentence."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._turn = threading.Lock()  # a write that hangs must not land on top of a later one

    async def read(self, name: str) -> Secret | None:
        """The key of a provider; None where the keyring has none."""

        def get(backend: Any, _claim: _Claim) -> Secret | None:
            return _entry(backend, name)

        return await self._ask(get)

    async def write(self, name: str, key: Secret) -> None:
        """Store a key in place of an earlier one, and read it back: some keyrings take what they do not keep.

        Where that fails the entry becomes what it was, an earlier key included; raises MayHold where it may not be so.
        """

        def put(backend: Any, claim: _Claim) -> None:
            earlier = _entry(backend, name)
            try:
                backend.set_password(SERVICE, name, key.reveal())
                if _entry(backend, name) != key:
                    raise KeyNotKept("The keyring took the key, but did not give it back.")
            except Exception as error:
                if not _put_back(backend, name, earlier):
                    what = error.problem.what if isinstance(error, KeyNotKept) else locked_words(error)
                    raise MayHold(what) from None
                raise
            if not claim.settle("done") and not _put_back(backend, name, earlier):
                raise MayHold("The keyring did not let go of a key that it took too late.")

        await self._ask(put)

    async def delete(self, name: str) -> None:
        """Delete a provider's key; one that is not there is no error."""

        def remove(backend: Any, _claim: _Claim) -> None:
            try:
                backend.delete_password(SERVICE, name)
            except Exception:
                if backend.get_password(SERVICE, name) is not None:
                    raise
            if backend.get_password(SERVICE, name) is not None:
                raise KeyNotKept("The keyring did not delete the key.")

        await self._ask(remove)

    async def _ask(self, work: Callable[[Any, _Claim], T]) -> T:
        claim = _Claim()
        answer = asyncio.wrap_future(start_aside(lambda: self._run(work, claim)))
        try:
            await asyncio.wait([answer], timeout=self._timeout_s)
        except asyncio.CancelledError:
            claim.settle("given up")
            raise
        if not answer.done() and claim.settle("given up"):
            answer.add_done_callback(_heard)
            raise MayHold(f"The keyring did not answer in {self._timeout_s:g} seconds.", answer)
        return await answer

    def _run(self, work: Callable[[Any, _Claim], T], claim: _Claim) -> T:
        """In the thread."""
        with self._turn:
            if claim.is_given_up:
                raise KeyNotKept("Nobody waits any more.")
            backend, state = find_store()
            if not state.usable:
                raise NoKeyring(state.reason)
            try:
                return work(backend, claim)
            except KeyNotKept:
                raise
            except Exception as error:  # noqa: BLE001 - backends raise what their system raises, not only KeyringError
                log.info("keyring: %s", type(error).__name__)
                raise KeyNotKept(locked_words(error)) from None


def _entry(backend: Any, name: str) -> Secret | None:
    found = backend.get_password(SERVICE, name)
    return Secret(found) if isinstance(found, str) and found else None


def _put_back(backend: Any, name: str, earlier: Secret | None) -> bool:
    """Whether the entry is as it was."""
    try:
        if _entry(backend, name) == earlier:
            return True
        if earlier is None:
            backend.delete_password(SERVICE, name)
        else:
            backend.set_password(SERVICE, name, earlier.reveal())
        return _entry(backend, name) == earlier
    except Exception as error:  # noqa: BLE001 - as in _run
        log.info("keyring: %s", type(error).__name__)
        return False


def _heard(answer: asyncio.Future[Any]) -> None:
    """What came too late is an error of nobody's."""
    if not answer.cancelled():
        answer.exception()
