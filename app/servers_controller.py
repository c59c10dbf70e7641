"""Servers: looks for those on this machine, lists their models, keeps the person's own. Must not paint, nor ask
anybody but by a click."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from PySide6.QtCore import QObject, Slot

from app.engine_thread import EngineThread
from app.keyring_words import problem_of_state
from app.server_choices import LIST, LOOK, target_of
from app.work import Work
from backends.cloud.offers import ModelList
from backends.cloud.providers import Endpoint, check_address, check_server_name
from backends.errors import KeyMissing, NearfarError, Problem
from backends.key_ring import KeyState
from backends.records import Target
from backends.workbench import Workbench
from widgets.compare_page import ComparePage
from widgets.main_window import MainWindow
from widgets.settings_page import SettingsPage

if TYPE_CHECKING:
    from backends.cloud.discovery import FoundServer

T = TypeVar("T")
STOP_POLL_S = 0.05
NOTHING_CHANGED = "Nothing was changed."
NONE_FOUND = Problem(
    "no_server_found",
    "No model server answers on this machine.",
    "Only this machine was asked, at the usual ports of Ollama, llama.cpp, LM Studio, vLLM and TGI.",
    "Start one of them and look again, or add its address in Settings.",
)


class ServersController(QObject):
    """`ask_key` shows the key dialog; `save` changes settings by name; `changed` shows the targets anew."""

    def __init__(
        self,
        window: MainWindow,
        compare: ComparePage,
        settings: SettingsPage,
        engine: EngineThread,
        bench: Workbench,
        *,
        ask_key: Callable[[Target], bool],
        save: Callable[..., None],
        changed: Callable[[], None],
    ) -> None:
        super().__init__(window)
        self._window = window
        self._compare = compare
        self._settings = settings
        self._engine = engine
        self._bench = bench
        self._ask_key = ask_key
        self._save = save
        self._changed = changed
        self._busy = False
        compare.action_wanted.connect(self.act)
        settings.servers.add_wanted.connect(self.add)
        settings.servers.removed.connect(self.remove)
        settings.servers.list_wanted.connect(lambda name: self._list(name, self._tell_in_settings))

    @property
    def busy(self) -> bool:
        return self._busy

    @Slot(str, str)
    def act(self, lane_id: str, key: str) -> None:
        """An action of the picker of a lane; what it brought is shown by opening the picker again."""

        def tell(problem: Problem | None) -> None:
            self._compare.show_problem(problem)
            if problem is None and lane_id in self._compare.lane_ids and self._window.current_page() == "compare":
                self._compare.lane(lane_id).head.picker.open()

        if key == LOOK:
            self._look(tell)
        elif key.startswith(LIST):
            self._list(key.removeprefix(LIST), tell)

    # -- asking ------------------------------------------------------------------------------------------------------

    def _look(self, tell: Callable[[Problem | None], None]) -> None:
        def found(servers: tuple[FoundServer, ...] | None) -> None:
            if servers is not None:
                self._changed()
                tell(_found_problem(servers))

        self._run("Looking for servers", "Asking this machine…", self._bench.servers.look(), found, tell)

    def _list(self, name: str, tell: Callable[[Problem | None], None], *, asked: bool = False) -> None:
        target = target_of(name)
        try:
            endpoint = self._bench.access.endpoint(target)
            assert endpoint is not None, "only servers are listed"
            self._bench.servers.consent(endpoint)
        except NearfarError as error:
            tell(error.problem)
            return
        if self._bench.access.needs_key(target) and not self._has_key_now(target, endpoint):
            return

        def listed(models: ModelList | None) -> None:
            if models is not None:
                self._changed()
                tell(None)

        def failed(problem: Problem) -> None:
            wants_key = problem.code == KeyMissing.code and not asked
            if wants_key and self._has_key_now(target, endpoint):
                self._list(name, tell, asked=True)
                return
            tell(problem)

        says = f"Asking {endpoint.host} for its models…"
        self._run(f"Models of {endpoint.label}", says, self._bench.servers.list_models(target), listed, failed)

    def _has_key_now(self, target: Target, endpoint: Endpoint) -> bool:
        self._ask_key(target)
        return self._bench.keys.has(endpoint.key_entry)

    def _run(
        self,
        title: str,
        says: str,
        asking: Coroutine[object, object, T],
        then: Callable[[T | None], None],
        failed: Callable[[Problem], None],
    ) -> None:
        """One at a time, with a dialog that can stop it where it takes long. `then` gets None where it was stopped."""
        if self._busy:
            asking.close()
            return
        self._busy = True
        work = Work(self._window, self._engine, title, says, "Stop asking; nothing changes")

        def done(result: T | None) -> None:
            self._busy = False
            then(result)

        def broke(error: BaseException) -> None:
            self._busy = False
            defect = Problem("defect", "Nearfar made a mistake while it asked.", "Nothing was changed.", "Try again.")
            failed(error.problem if isinstance(error, NearfarError) else defect)

        work.run(_unless_stopped(asking, work.stop), done, broke)

    # -- the person's own --------------------------------------------------------------------------------------------

    @Slot(str, str)
    def add(self, name: str, address: str) -> None:
        """Keep a server by name; what is wrong with either is said beside the fields."""
        servers = dict(self._bench.settings.custom_servers)
        try:
            name = check_server_name(name, taken=servers)
            address = check_address(address)
        except NearfarError as error:
            self._settings.servers.refuse(replace(error.problem, safe=NOTHING_CHANGED))
            return
        self._save(custom_servers=servers | {name: address})
        self._settings.servers.accept()

    @Slot(str)
    def remove(self, name: str) -> None:
        servers = dict(self._bench.settings.custom_servers)
        if name not in servers:
            return
        entry = self._key_entry(name)
        del servers[name]
        if entry is not None:  # whoever gets this name next must not get its key
            self._engine.ask(self._bench.keys.forget(entry), self._forgotten)
        self._save(custom_servers=servers)

    def _key_entry(self, name: str) -> str | None:
        try:
            endpoint = self._bench.access.endpoint(target_of(name))
        except NearfarError:
            return None
        return endpoint.key_entry if endpoint is not None else None

    def _forgotten(self, state: KeyState) -> None:
        """Said where the keyring may still hold the key."""
        self._changed()
        problem = problem_of_state(state)
        if problem is not None:
            self._tell_in_settings(problem)

    def _tell_in_settings(self, problem: Problem | None) -> None:
        self._settings.show_problem(problem)


async def _unless_stopped(asking: Coroutine[object, object, T], stop: threading.Event) -> T | None:
    """The outcome, or None as soon as `stop` is set; the connections are closed then."""
    task = asyncio.ensure_future(asking)
    try:
        while not task.done() and not stop.is_set():
            await asyncio.wait([task], timeout=STOP_POLL_S)
        return task.result() if task.done() else None
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _found_problem(servers: tuple[FoundServer, ...]) -> Problem | None:
    """What to say where servers were found, and yet nothing of one can be chosen."""
    if not servers:
        return NONE_FOUND
    mute = [server for server in servers if server.models is None or not server.models.models]
    if not mute:
        return None
    first = mute[0]
    label = first.endpoint.label
    if first.asks_key:
        fix = "Add its address in Settings under a name of your own, list its models there, and give its key."
        return Problem("key_missing", f"{label} runs on this machine and asks for a key.", "", fix)
    if first.models is None:
        busy = f"{label} runs on this machine and does not list its models yet."
        return Problem("server_failed", busy, "It may be loading one.", "Look again in a minute.")
    return Problem(
        "no_models",
        f"{label} runs on this machine and has no model.",
        "",
        "Give it one by its own means, then look again.",
    )
