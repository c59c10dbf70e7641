"""Everything a front end needs, wired without Qt: settings, network policy, keys, engines, history.

Must not know windows or terminals. The window and the command line both stand on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from backends.cloud.engine import CloudEngine
from backends.cloud.practice import PracticeEngine, PracticeServer
from backends.cloud.providers import Endpoint, endpoint_for
from backends.compare import Mode
from backends.egress import Egress, Policy
from backends.engine import Engine
from backends.errors import ModelMissing, NetworkNotAllowed, Problem, SettingsNotSaved, UnknownTarget
from backends.events import Emit, Event
from backends.history import History
from backends.keys import Secret, SessionKeys, key_from_env
from backends.local.engine import LocalEngine
from backends.local.facts import LoadOptions
from backends.paths import Paths, app_paths
from backends.records import RunRequest, Target
from backends.settings import Settings, SettingsFile
from backends.targets import DEMO
from resources import resource_path

DEMO_FILE = ("demo", "nearfar-demo.gguf")


def model_file(target: Target) -> Path:
    """The GGUF of a local target; raises ModelMissing for a name that is neither the demo nor a path."""
    if target == DEMO:
        return resource_path(*DEMO_FILE)
    path = Path(target.model).expanduser()
    if path.suffix.lower() == ".gguf" or len(path.parts) > 1:
        return path
    raise ModelMissing(f"There is no installed model named “{target.model[:80]}”.", safe="Your prompt is kept.")


class Workbench:
    """Make it on any thread, then use its engines on one event loop. `close` gives everything back."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._file = SettingsFile(paths.settings_file)
        loaded = self._file.load()
        self.settings = loaded.settings
        self.warnings: tuple[str, ...] = loaded.warnings
        self.egress = Egress(Policy(local_only=self.settings.local_only is not False))
        self.keys = SessionKeys()
        self.history = History(paths.history_file)
        self._engines: dict[Target, Engine] = {}

    @classmethod
    def open(cls) -> Workbench:
        """With the folders of this user, or those under NEARFAR_HOME. Starts no process and opens no connection."""
        return cls(app_paths())

    # -- settings ------------------------------------------------------------------------------------------------

    def change(self, **changes: object) -> Problem | None:
        """Change settings and save them; says what went wrong where they could not be saved (they hold until exit)."""
        self.settings = replace(self.settings, **changes)  # type: ignore[arg-type]  # checked when saved
        if "local_only" in changes:
            self.egress.set_policy(replace(self.egress.policy, local_only=self.settings.local_only is not False))
        try:
            self._file.save(self.settings)
        except SettingsNotSaved as error:
            return error.problem
        return None

    # -- targets -------------------------------------------------------------------------------------------------

    def endpoint(self, target: Target) -> Endpoint | None:
        """The server a target is asked at; None for what this machine answers itself. Raises UnknownTarget, BadAddress."""
        if target.is_local or target.provider == "practice":
            return None
        return endpoint_for(target, addresses=self.settings.custom_servers)

    def needs_key(self, target: Target) -> bool:
        endpoint = self.endpoint(target)
        return endpoint is not None and endpoint.needs_key and not self.keys.has(endpoint.key_name)

    def keep_key(self, target: Target, key: Secret) -> None:
        endpoint = self.endpoint(target)
        if endpoint is None:
            raise UnknownTarget(f"{target} takes no key.")
        self.keys.put(endpoint.key_name, key)

    def keys_from_variable(self, name: str, targets: Iterable[Target]) -> None:
        """The key in the variable `name`, for every target that a server answers; raises UsageError or KeyMissing."""
        key = key_from_env(name)
        for target in targets:
            if self.endpoint(target) is not None:
                self.keep_key(target, key)

    def consent(self, targets: Iterable[Target]) -> bool:
        """The person chose these targets: their hosts may be contacted. Raises NetworkNotAllowed while local only is on.

        True where that ended the state in which nothing had been chosen yet.
        """
        began = False
        for target in targets:
            endpoint = self.endpoint(target)
            if endpoint is None or not endpoint.leaves_machine:
                continue
            if self.settings.local_only:
                raise NetworkNotAllowed(f"Local only is switched on, so {endpoint.host} is not contacted.")
            began = began or self.egress.policy.local_only
            self.egress.set_policy(replace(self.egress.policy, local_only=False))
            self.egress.allow(endpoint.host)
        return began

    # -- engines -------------------------------------------------------------------------------------------------

    def engine_for(self, target: Target) -> Engine:
        """The engine of a target, made at its first use; raises NearfarError. Call it on the engine loop."""
        engine = self._engines.get(target)
        if engine is None:
            engine = self._engines[target] = self._make(target)
        return engine

    def _make(self, target: Target) -> Engine:
        if target.provider == "practice":
            return PracticeEngine(PracticeServer(resource_path(*DEMO_FILE)), egress=self.egress)
        endpoint = self.endpoint(target)
        if endpoint is None:
            options = LoadOptions(n_ctx=self.settings.n_ctx)
            return LocalEngine(model_file(target), name=target.model if target == DEMO else None, options=options)
        name = endpoint.key_name
        return CloudEngine(endpoint, egress=self.egress, key=lambda: self.keys.get(name))

    async def release_others(self, targets: Iterable[Target]) -> None:
        """Close the local models that these targets do not use, so that their memory is free for those that do."""
        wanted = set(targets)
        others = [target for target in self._engines if target.is_local and target not in wanted]
        await self._close(others)

    # -- history -------------------------------------------------------------------------------------------------

    def record(self, requests: Sequence[RunRequest], mode: Mode) -> Emit:
        """Begin a comparison in the history and return what takes its events; writes nothing where history is off."""
        if not self.settings.keep_history:
            return _forget
        return self.history.record(requests, mode)

    async def close(self) -> None:
        """End every worker, server and connection, and finish writing; idempotent."""
        await self._close(list(self._engines))
        await asyncio.to_thread(self.history.close)

    async def _close(self, targets: Sequence[Target]) -> None:
        engines = [self._engines.pop(target) for target in targets]
        await asyncio.gather(*(engine.close() for engine in engines), return_exceptions=True)


def _forget(_event: Event) -> None:
    """Keeps nothing."""


