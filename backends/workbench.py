"""Everything a front end needs, wired without Qt: settings, network policy, keys, engines, history.

Must not know windows or terminals. The window and the command line both stand on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from backends import egress_guard
from backends.access import Access
from backends.busy_watch import busy_watch
from backends.cloud.budget import Spending
from backends.cloud.engine import CloudEngine
from backends.cloud.known_models import KnownModels
from backends.cloud.practice import PracticeEngine, PracticeServer
from backends.cloud.providers import Endpoint
from backends.cloud.servers import Servers
from backends.compare import Comparison, Mode
from backends.egress import Contact, Egress
from backends.egress_log import ContactLog, forget, read_contacts
from backends.egress_policy import Policy
from backends.egress_route import Route
from backends.engine import Engine
from backends.errors import NearfarError, Problem, unread
from backends.events import Emit
from backends.history.store import History
from backends.key_ring import KeyRing
from backends.live_settings import LiveSettings
from backends.local.engine import LocalEngine
from backends.local_models import LocalModels, model_file
from backends.models.manager import Models
from backends.own_loads import OwnLoad, as_released, without_own_users
from backends.paths import Paths, app_paths
from backends.records import RunRequest, Target
from backends.settings import Settings, SettingsFile
from backends.targets import DEMO

log = logging.getLogger(__name__)

MAX_CONTACTS = 500

if TYPE_CHECKING:
    from backends.devices.records import Device, Machine


class Workbench:
    """Make it on any thread, then use its engines on one event loop. `close` gives everything back."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.live = LiveSettings(SettingsFile(paths.settings_file))
        self.warnings: tuple[str, ...] = self.live.warnings
        self.egress = Egress(Policy(local_only=self.settings.local_only is not False))
        self.egress.route = Route(self.settings.proxy_url, self.settings.ca_file)
        self._contacts = ContactLog(paths.contacts_file, keep=lambda: self.settings.keep_history)
        self.egress.listener = self._contacts.heard
        egress_guard.tell(self.egress.went_around)
        self.keys = KeyRing(kept=lambda: self.settings.kept_keys, change=self.change, save=self.save)
        self.spending = Spending(paths, lambda: self.settings)
        self._price_warnings = self.spending.prices.book.load()
        self.warnings += self._price_warnings
        self.known_models = KnownModels(paths.cache)
        self.access = Access(lambda: self.settings, self.egress, self.keys, self.known_models, look=self.look)
        self.servers = Servers(
            self.known_models,
            settings=lambda: self.settings,
            egress=self.egress,
            keys=self.keys,
            offered=self.access.offered,
        )
        self.history = History(paths.history_file, keep=self.settings.keep_history, on_problem=self._history_problem)
        self.on_history_problem: Callable[[Problem | None], None] = _no_listener
        self.models = Models(
            paths,
            settings=lambda: self.settings,
            change=self.change,
            save=self.save,
            egress=self.egress,
            keys=self.keys,
            in_use=self._refs_in_use,
            release=self._release_ref,
        )
        self.local = LocalModels(paths, self.models, settings=lambda: self.settings)
        self._engines: dict[Target, Engine] = {}
        self._outdated: list[Engine] = []  # of servers whose address is another now
        self._in_use: Counter[Target] = Counter()
        self._turn = asyncio.Lock()
        self.live.applied = self._apply

    @classmethod
    def open(cls) -> Workbench:
        """With the folders of this user, or those under NEARFAR_HOME. Starts no process and opens no connection."""
        return cls(app_paths())

    # -- settings ------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """As they hold now."""
        return self.live.now

    def change(self, **changes: object) -> None:
        """Change settings; they hold at once, and on disk after `save` or `close`."""
        self.live.change(**changes)

    async def save(self) -> Problem | None:
        """Write what was changed here, and take over what others wrote. Says what went wrong; never raises."""
        return await self.live.save()

    def look(self) -> None:
        """Take over what other processes wrote, a glance at a small file; safe from any thread, and never waits."""
        self.live.look(wait=False)

    def _apply(self, changed: frozenset[str]) -> None:
        if "keep_history" in changed:
            self.history.set_keep(self.settings.keep_history)
        if "local_only" in changed:
            self.egress.set_local_only(self.settings.local_only is not False)
        if not changed.isdisjoint(("proxy_url", "ca_file")):
            self.egress.route = Route(self.settings.proxy_url, self.settings.ca_file)

    def unread(self) -> tuple[Problem, ...]:
        """`warnings` as problems: one for each file of the person's choices that could not be used whole."""
        found = (
            unread("settings", self.paths.settings_file, self.live.warnings, "choose again"),
            unread("prices", self.paths.prices_file, self._price_warnings, "enter your prices again"),
        )
        return tuple(each for each in found if each is not None)

    # -- engines -------------------------------------------------------------------------------------------------

    def engine_for(self, target: Target) -> Engine:
        """The engine of a target, made at its first use; raises NearfarError. Call it on the engine loop.

        A server is asked where it is now: an engine for its earlier address is used no more, and closed once idle.
        """
        endpoint = self.access.endpoint(target)
        engine = self._engines.get(target)
        if isinstance(engine, CloudEngine) and engine.endpoint != endpoint:
            self._outdated.append(self._engines.pop(target))
            engine = None
        if engine is None:
            engine = self._engines[target] = self._make(target, endpoint)
        return engine

    def _make(self, target: Target, endpoint: Endpoint | None) -> Engine:
        if target.provider == "practice":
            return PracticeEngine(PracticeServer(model_file(DEMO)), egress=self.egress)
        if endpoint is None:
            return self.local.engine(target)
        return CloudEngine(
            endpoint,
            egress=self.egress,
            key=lambda: self.access.key_of(endpoint),
            refused=lambda key: self.keys.refuse(endpoint.key_entry, key),
            spending=self.spending,
            offered=lambda: self.access.offered(endpoint),
            retires=lambda model: self.access.retires(endpoint, model),
        )

    async def warm_up(self, targets: Iterable[Target]) -> None:
        """Import and start what the first question to these servers would wait for; contacts nobody, loads no model.

        Nothing under local only: even the practice server opens a port, on this machine, and waits until it is asked.
        """
        if self.settings.local_only:
            return
        wanted = tuple(target for target in targets if not target.is_local)  # a model's file is looked for when it runs
        await self.access.load_keys(wanted)
        for target in wanted:
            try:
                engine = self.engine_for(target)
                if isinstance(engine, CloudEngine | PracticeEngine):
                    await engine.warm_up()
            except NearfarError as error:
                log.info("not warmed up: %s", error.problem.code)  # the first run will say it in words
        if self._in_use.total() <= 0:
            await self._close_outdated()

    async def run(self, comparison: Comparison, requests: Sequence[RunRequest]) -> None:
        """Run a comparison when its turn comes: only the lanes of one race compete, nothing else beside them."""
        async with self._turn:
            await self._run_now(comparison, requests)

    async def _run_now(self, comparison: Comparison, requests: Sequence[RunRequest]) -> None:
        targets = [request.target for request in requests]
        self._in_use.update(targets)
        try:
            async with self.live.watched():  # another window may have switched local only on meanwhile, or do so now
                await self._release_idle(Counter(targets))
                await self.access.load_keys(targets)
                await self.local.look_up(targets)
                comparison.around = busy_watch
                if comparison.mode == "sequence":
                    comparison.also = self.local.watch
                await comparison.run()
                await self.local.learn()
        finally:
            self._in_use.subtract(targets)
            await self._close_outdated()

    async def _release_idle(self, mine: Counter[Target]) -> None:
        """Close the local models that no run uses now, so that their memory is free for those that do, and those of
        `mine`, what is about to run, that were loaded in another way than is wished now."""
        changed = [
            target
            for target in self._engines
            if 0 < self._in_use[target] <= mine[target] and self.local.is_outdated(target)
        ]
        await self._close([*self._idle(), *changed])

    def _idle(self) -> list[Target]:
        return [target for target in self._engines if target.is_local and self._in_use[target] <= 0]

    def _refs_in_use(self) -> frozenset[str]:
        """The models whose files must stay: a run uses them, or a worker still holds them. Safe from any thread."""
        running = [target for target, count in tuple(self._in_use.items()) if count > 0]
        loaded = [target for target, engine in tuple(self._engines.items()) if _holds_file(engine)]
        return self.local.refs_of([*running, *loaded])

    async def _release_ref(self, ref: str | None) -> None:
        """Before its file goes: close the engine of a model that no run uses, or of all such for None."""
        await self._close([target for target in self._idle() if ref is None or self.local.ref_of(target) == ref])

    # -- devices -------------------------------------------------------------------------------------------------

    async def devices(self) -> tuple[Device, ...]:
        """GPUs first, then the CPU with the machine's memory. Read in a thread: it may take a second."""
        machine = without_own_users(await self.local.machine(), await self.own_loads())
        return (*machine.gpus, machine.cpu)

    # -- network -------------------------------------------------------------------------------------------------

    def contacts(self, limit: int = MAX_CONTACTS) -> tuple[Contact, ...]:
        """The last connections, this run's and those kept of earlier ones, oldest first. It reads a file."""
        kept = {contact.id: contact for contact in read_contacts(self.paths.contacts_file, limit)}
        kept |= {contact.id: contact for contact in self.egress.log()}
        return tuple(sorted(kept.values(), key=lambda contact: contact.at)[-limit:])

    def forget_contacts(self) -> None:
        """Delete what was kept of connections; those of this run stay in memory until its end. Raises OSError."""
        forget(self.paths.contacts_file)

    async def own_loads(self) -> tuple[OwnLoad, ...]:
        """Our workers, with what the models hold that they have in memory now."""
        found = []
        for target, engine in tuple(self._engines.items()):
            if isinstance(engine, LocalEngine) and engine.worker_pid is not None:
                idle, loaded = self._in_use[target] <= 0, engine.is_loaded
                found.append(await self.local.load_of(target, engine.worker_pid, idle=idle, loaded=loaded))
        return tuple(found)

    async def machine_as_released(self) -> Machine:
        """The machine as the next load will find it, once idle models of ours have been closed."""
        return as_released(await self.local.machine(), await self.own_loads())

    # -- history -------------------------------------------------------------------------------------------------

    def record(self, requests: Sequence[RunRequest], mode: Mode, comparison_id: str) -> Emit:
        """Begin a comparison in the history and return what takes its events; nothing is kept where it is off."""
        self.history.recorder.begin(comparison_id, requests, mode)
        return self.history.recorder.record

    def record_retry(self, request: RunRequest, comparison_id: str, position: int) -> Emit:
        """As `record`, for one more run of a comparison in the lane at `position`."""
        self.history.recorder.add_run(comparison_id, request, position)
        return self.history.recorder.record

    def _history_problem(self, problem: Problem | None) -> None:
        self.on_history_problem(problem)

    async def close(self) -> None:
        """End every worker, server and connection, and finish writing; idempotent."""
        await asyncio.gather(self._close_models(), self.keys.settle())  # the keyring may take its time, 3 s at most
        await self.save()
        self.live.close()
        await self._close(list(self._engines))
        await self._close_outdated()
        await self.history.close()
        await asyncio.to_thread(self._contacts.close)

    async def _close_models(self) -> None:
        await self.models.close()
        await self.local.close()

    async def _close(self, targets: Sequence[Target]) -> None:
        await _close_all([self._engines.pop(target) for target in targets])

    async def _close_outdated(self) -> None:
        engines, self._outdated = self._outdated, []
        await _close_all(engines)


async def _close_all(engines: Sequence[Engine]) -> None:
    await asyncio.gather(*(engine.close() for engine in engines), return_exceptions=True)


def _holds_file(engine: Engine) -> bool:
    return isinstance(engine, LocalEngine) and engine.worker_pid is not None


def _no_listener(_problem: Problem | None) -> None:
    """Until a window listens, history problems are in the log alone."""
