"""The key of each provider: in this process's memory, and in the keyring where the person chose that and it holds.

Must not know any screen. A provider whose key was never kept is never looked up: a locked keyring would then ask for
its password for nothing. What the keyring holds is known from the settings, which name providers and hold no key.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from backends.errors import KeyNotKept, Problem
from backends.keyring_store import KeyringStore, MayHold, NoKeyring
from backends.keys import Secret, SessionKeys

T = TypeVar("T")
Place = Literal["keyring", "session", "none"]

GONE = "The keyring no longer gives the key back."
NOT_ACCEPTED = "The server did not accept the last key."
REFUSED = "The server did not accept the key that the keyring holds."


@dataclass(frozen=True, slots=True)
class KeyState:
    """Where the key of a provider is; `reason` says in one sentence what is not as it was wished, or is empty."""

    name: str
    place: Place
    reason: str = ""


class KeyRing:
    """Names are those of `Endpoint.key_entry`: openai, custom:lab@10.0.0.7:8000, huggingface.

    The short methods may be called from any thread, the coroutines on one event loop. None of them raises.
    """

    def __init__(
        self,
        *,
        kept: Callable[[], tuple[str, ...]],
        change: Callable[..., None],
        save: Callable[[], Awaitable[Problem | None]],
        store: KeyringStore | None = None,
    ) -> None:
        """`kept` reads the setting `kept_keys`; `change` and `save` write it."""
        self._session = SessionKeys()
        self._turn = threading.Lock()  # a key is entered on the window's thread and refused on the loop
        self._store = store or KeyringStore()
        self._kept = kept
        self._change = change
        self._save = save
        self._stored: set[str] = set()  # those whose key in memory is that of the keyring
        self._gone: set[str] = set()
        self._refused: set[str] = set()
        self._reasons: dict[str, str] = {}
        self._pending: set[asyncio.Task[Any]] = set()
        self._late: set[asyncio.Task[Any]] = set()

    # -- memory ------------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Secret | None:
        return self._session.get(name)

    def has(self, name: str) -> bool:
        return self._session.has(name)

    def all(self) -> tuple[Secret, ...]:
        """Every key in memory, for what must recognise them."""
        return self._session.values()

    def put(self, name: str, key: Secret) -> None:
        """For this session; what the keyring holds stays as it is."""
        with self._turn:
            self._stored.discard(name)
            self._reasons.pop(name, None)
            self._session.put(name, key)

    def refuse(self, name: str, key: Secret) -> None:
        """A server did not accept this key: it is not used again in this session. The keyring keeps what it has.

        Nothing changes where another key took its place while the server was asked.
        """
        with self._turn:
            if not self._session.forget_if(name, key):
                return
            if name in self._stored:
                self._stored.discard(name)
                self._refused.add(name)
            self._reasons[name] = REFUSED if name in self._refused else NOT_ACCEPTED

    def was_refused(self, name: str) -> bool:
        """Whether there is no key now because a server did not accept the last one."""
        return not self.has(name) and self._reasons.get(name) in (REFUSED, NOT_ACCEPTED)

    def reconsider(self, name: str) -> None:
        """Ask the keyring anew, also for a key that was refused or had gone: the person wishes it."""
        self._refused.discard(name)
        self._gone.discard(name)

    def expects(self, name: str) -> bool:
        """Whether there is a key, or the keyring should give one: then nobody needs to be asked."""
        return self.has(name) or (name in self._kept() and name not in self._gone and name not in self._refused)

    def state(self, name: str) -> KeyState:
        """As far as it is known without asking the keyring."""
        if self.has(name):
            place: Place = "keyring" if name in self._stored else "session"
        else:
            place = "keyring" if name in self._kept() and name not in self._gone else "none"
        return KeyState(name, place, self._reasons.get(name, ""))

    # -- keyring -----------------------------------------------------------------------------------------------------

    async def load(self, names: Iterable[str]) -> None:
        """Read the keys that the keyring is said to hold and that are not in memory yet; at most about 3 s."""
        kept = self._kept()
        wanted = [name for name in dict.fromkeys(names) if name in kept and not self.has(name)]
        await asyncio.gather(*(self._load(name) for name in wanted if name not in self._refused))

    async def states(self, names: Iterable[str]) -> tuple[KeyState, ...]:
        """The states after a look into the keyring, for those that it is said to hold."""
        wanted = tuple(names)
        await self.load(wanted)
        return tuple(self.state(name) for name in wanted)

    async def keep(self, name: str, key: Secret) -> KeyState:
        """Put a key into memory at once and into the keyring for good, in place of an earlier one.

        Where the keyring does not take it, or does not give it back, it stays in memory for this session, and the
        state says why.
        """
        self.put(name, key)
        return await self._to_its_end(self._keep(name, key))

    async def _keep(self, name: str, key: Secret) -> KeyState:
        was_kept = name in self._kept()
        problem = await self._set_kept(name, is_kept=True)  # first: no entry shall be there that nothing names
        try:
            await self._store.write(name, key)
        except KeyNotKept as error:
            await self._not_kept(name, error, was_kept=was_kept)
            return self.state(name)
        self.reconsider(name)
        if self.get(name) == key:
            self._stored.add(name)
        if problem is not None:
            self._reasons[name] = (
                f"The key is in the keyring, but is not looked for there at the next start: {problem.what}"
            )
        return self.state(name)

    async def _not_kept(self, name: str, error: KeyNotKept, *, was_kept: bool) -> None:
        what = error.problem.what
        if isinstance(error, MayHold):  # then the settings go on to name it
            self._reasons[name] = f"{what} It may hold {'this key or an earlier one' if was_kept else 'this key'}."
            if error.late is not None:
                self._start(self._later(name, error.late, what, was_kept=was_kept), self._late)
            return
        self._reasons[name] = f"{what} It may still hold an earlier key." if was_kept else what
        if not was_kept:
            await self._set_kept(name, is_kept=False)

    async def _later(self, name: str, late: asyncio.Future[Any], what: str, *, was_kept: bool) -> None:
        """A keyring that did not answer in time has done what it did: say what the entry holds now."""
        said = self._reasons.get(name)
        await asyncio.wait([late])
        if late.cancelled() or isinstance(late.exception(), MayHold) or said is None:
            return
        if self._reasons.get(name) == said and name not in self._stored:  # nothing else was done since
            await self._not_kept(name, KeyNotKept(what), was_kept=was_kept)

    async def settle(self) -> None:
        """Wait until what is being kept or deleted is so, or was given up: at most about 3 s. Before the loop ends."""
        while self._pending:
            await asyncio.wait(tuple(self._pending))
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def _to_its_end(self, work: Coroutine[Any, Any, KeyState]) -> KeyState:
        """Also where nobody waits for it any more, as when the window closes: see `settle`."""
        return await asyncio.shield(self._start(work, self._pending))

    def _start(self, work: Coroutine[Any, Any, T], among: set[asyncio.Task[Any]]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(work)
        among.add(task)
        task.add_done_callback(among.discard)
        return task

    async def forget(self, name: str, *, look_anyway: bool = False) -> KeyState:
        """Delete a key from memory and from the keyring; the state says so where the keyring may still hold it.

        The keyring is not touched for a key that was never kept there, unless with `look_anyway`.
        """
        return await self._to_its_end(self._forget(name, look_anyway=look_anyway))

    async def _forget(self, name: str, *, look_anyway: bool) -> KeyState:
        self._session.forget(name)
        self.reconsider(name)
        self._stored.discard(name)
        self._reasons.pop(name, None)
        was_kept = name in self._kept()
        if not was_kept and not look_anyway:
            return self.state(name)
        try:
            await self._store.delete(name)
        except KeyNotKept as error:
            if was_kept or not isinstance(error, NoKeyring):
                self._reasons[name] = f"The keyring may still hold the key. {error.problem.what}"
            return self.state(name)
        problem = await self._set_kept(name, is_kept=False) if was_kept else None
        if problem is not None:
            self._reasons[name] = f"The key was deleted: {problem.what}"
        return self.state(name)

    async def _load(self, name: str) -> None:
        try:
            key = await self._store.read(name)
        except KeyNotKept as error:
            if isinstance(error, NoKeyring):  # a lock can be opened and the run repeated; this stays as it is
                self._gone.add(name)
            self._reasons[name] = error.problem.what
            return
        if name in self._refused or self.has(name):
            return  # this one was refused, or another typed, while it was read
        if key is None:
            self._gone.add(name)
            self._reasons[name] = GONE
        elif self._session.put_if_none(name, key):
            self._reasons.pop(name, None)
            self._stored.add(name)

    async def _set_kept(self, name: str, *, is_kept: bool) -> Problem | None:
        if is_kept != (name in self._kept()):
            others = tuple(each for each in self._kept() if each != name)
            self._change(kept_keys=(*others, name) if is_kept else others)
        return await self._save()
