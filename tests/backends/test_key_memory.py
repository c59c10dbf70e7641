"""Keys in this process, beside a store that counts: refused, replaced, and kept to the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from backends.key_ring import REFUSED, KeyRing, KeyState
from backends.keyring_store import KeyringStore
from backends.keys import Secret
from backends.settings import Settings
from backends.workbench import Workbench

KEY = "sk-CANARY0123456789"


class Counting(KeyringStore):
    """Holds keys in a dict and says how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[str, Secret] = {}
        self.asked: list[str] = []
        self.before: Callable[[], Awaitable[object]] | None = None

    async def read(self, name: str) -> Secret | None:
        self.asked.append(name)
        return self.entries.get(name)

    async def write(self, name: str, key: Secret) -> None:
        if self.before is not None:
            await self.before()
        self.entries[name] = key


class Bench:
    def __init__(self, *kept: str) -> None:
        self.settings = Settings(kept_keys=kept)
        self.store = Counting()
        self.ring = KeyRing(
            kept=lambda: self.settings.kept_keys, change=self._change, save=self._save, store=self.store
        )

    def _change(self, kept_keys: tuple[str, ...]) -> None:
        self.settings = Settings(kept_keys=kept_keys)

    async def _save(self) -> None:
        return None


async def test_a_provider_that_was_never_kept_is_never_looked_up() -> None:
    bench = Bench("openai")
    bench.store.entries = {"openai": Secret(KEY), "groq": Secret(KEY)}
    await bench.ring.load(["groq", "openai", "openai"])
    assert bench.store.asked == ["openai"]
    assert bench.ring.get("openai") == Secret(KEY)
    assert not bench.ring.expects("groq")
    await bench.ring.load(["openai"])
    assert bench.store.asked == ["openai"], "what is in memory is not read again"


async def test_a_refused_key_stays_in_the_keyring_and_is_not_used_again() -> None:
    bench = Bench("openai")
    bench.store.entries = {"openai": Secret(KEY)}
    await bench.ring.load(["openai"])
    bench.ring.refuse("openai", Secret(KEY))
    await bench.ring.load(["openai"])
    assert bench.store.asked == ["openai"]
    assert bench.ring.get("openai") is None
    assert not bench.ring.expects("openai"), "somebody must be asked"
    assert bench.ring.state("openai") == KeyState("openai", "keyring", REFUSED)
    bench.ring.put("openai", Secret("sk-session"))
    assert bench.ring.state("openai").place == "session"
    bench.ring.refuse("openai", Secret("sk-session"))
    assert not bench.ring.expects("openai"), "the keyring's key is still the refused one"
    assert (await bench.ring.keep("openai", Secret("sk-new"))).place == "keyring"
    assert bench.store.entries["openai"] == Secret("sk-new")
    assert bench.ring.expects("openai")


async def test_a_late_refusal_of_the_old_key_leaves_the_new_one() -> None:
    bench = Bench("openai")
    bench.store.entries = {"openai": Secret(KEY)}
    await bench.ring.load(["openai"])
    await bench.ring.keep("openai", Secret("sk-new"))
    bench.ring.refuse("openai", Secret(KEY))
    assert bench.ring.get("openai") == Secret("sk-new")
    assert bench.ring.state("openai") == KeyState("openai", "keyring")
    assert not bench.ring.was_refused("openai")
    bench.ring.refuse("openai", Secret("sk-new"))
    assert bench.ring.was_refused("openai")


async def test_nothing_that_shows_a_state_shows_a_key() -> None:
    bench = Bench()
    state = await bench.ring.keep("openai", Secret(KEY))
    assert KEY not in repr((state, bench.ring, vars(bench.ring), bench.store.entries))
    assert KEY not in json.dumps(bench.settings.kept_keys)


async def test_settings_that_cannot_be_saved_are_told_with_the_key() -> None:
    bench = Workbench.open()
    bench.keys._store = Counting()
    bench.paths.settings_file.mkdir(parents=True)
    state = await bench.keys.keep("openai", Secret(KEY))
    assert state.place == "keyring"
    assert state.reason.startswith("The key is in the keyring, but is not looked for there at the next start: ")
    await bench.close()


async def test_what_is_being_kept_is_kept_when_the_end_comes() -> None:
    bench = Bench()
    go_on = asyncio.Event()
    bench.store.before = go_on.wait
    keeping = asyncio.create_task(bench.ring.keep("openai", Secret(KEY)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    keeping.cancel()
    settling = asyncio.create_task(bench.ring.settle())
    await asyncio.gather(keeping, return_exceptions=True)
    assert not settling.done()
    go_on.set()
    await settling
    assert bench.store.entries == {"openai": Secret(KEY)}
    assert bench.settings.kept_keys == ("openai",)
