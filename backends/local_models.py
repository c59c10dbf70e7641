"""The models that run on this machine: from a target to an engine that loads what fits. Must not know windows.

It reads the machine, plans each load, and learns from what loads and runs really took.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from backends.errors import ModelMissing, NearfarError
from backends.events import Event, Finished
from backends.fit.learned_file import LearnedFile
from backends.fit.records import FitSeen, Wish
from backends.load_plan import LoadPlanner
from backends.local.engine import LocalEngine
from backends.local.facts import LoadOptions, WorkerFacts
from backends.models.download_names import valid_text
from backends.models.manager import Models
from backends.models.records import InstalledModel
from backends.paths import Paths
from backends.records import EngineReport, RunResult, Target
from backends.settings import Settings
from backends.targets import DEMO, parse_target
from resources import resource_path

if TYPE_CHECKING:
    from backends.devices.records import Machine

DEMO_FILE = ("demo", "nearfar-demo.gguf")
PROBE_S = 30.0
QUIET_LOOK_S, QUIET_PERCENT = 0.3, 20.0
ASK_AGAIN_S = 60.0  # a llama.cpp that did not start is not started again at every look


def model_file(target: Target) -> Path:
    """The GGUF of a local target that names one by path, or of the demo; raises ModelMissing for any other name."""
    if target == DEMO:
        return resource_path(*DEMO_FILE)
    path = Path(target.model).expanduser().absolute()  # the worker runs in a folder of its own
    if path.suffix.lower() == ".gguf" or len(Path(target.model).parts) > 1:
        return path
    raise ModelMissing(f"There is no installed model named “{target.model[:80]}”.", safe="Your prompt is kept.")


class LocalModels:
    """Use it on the engine loop; `refs_loaded` may be asked from any thread."""

    def __init__(self, paths: Paths, models: Models, *, settings: Callable[[], Settings]) -> None:
        self._paths = paths
        self._models = models
        self._settings = settings
        self._facts: WorkerFacts | None = None
        self._asked = asyncio.Lock()
        self._ask_again_s = 0.0
        self._load_turn = asyncio.Lock()
        self._closing = threading.Event()
        self._refs: dict[Target, str] = {}
        self._wishes: dict[Target, Wish] = {}
        self._ended: list[RunResult] = []
        self.plans = LoadPlanner(self.machine, self.wish, LearnedFile.of(paths))

    def wish(self) -> Wish:
        """How models are to be loaded, as the settings say now."""
        settings = self._settings()
        return Wish(n_ctx=settings.n_ctx, kv_type=settings.kv_type)

    # -- the machine -----------------------------------------------------------------------------------------------

    async def machine(self) -> Machine:
        """GPUs, CPU and memory as they are now. Reads in a thread: some 20 ms, and 3 s where a driver hangs.

        llama.cpp is asked once, in a process of its own, which GPUs it can use.
        """
        from backends.devices.machine import read_machine

        facts = await self._worker_facts()
        return await asyncio.to_thread(read_machine, facts, cache=self._paths.cache)

    async def _worker_facts(self) -> WorkerFacts | None:
        async with self._asked:
            if self._facts is None and time.monotonic() >= self._ask_again_s:
                self._ask_again_s = time.monotonic() + ASK_AGAIN_S
                engine = LocalEngine(model_file(DEMO))
                # What is wrong with llama.cpp is for `doctor` and for the first run to say.
                with contextlib.suppress(NearfarError, asyncio.TimeoutError):
                    self._facts = await asyncio.wait_for(engine.probe(), PROBE_S)
                await engine.close()
            return self._facts

    async def measure_memory(self, patience_s: float = 1.5) -> None:
        """Measure the speed of this machine's memory where that was never done: under a second, with all cores.

        For a moment when nothing runs: a run beside it would be slowed, and the measurement too. It waits at most
        `patience_s` until the processor is quiet: beside the start of a program a quarter of the true figure was seen.
        """
        from backends.devices.bandwidth import known_bandwidth, measure_and_keep
        from backends.devices.system import read_cpu, read_memory

        def measure() -> None:
            cpu, memory = read_cpu(), read_memory()
            if known_bandwidth(self._paths.cache, cpu, memory) is None:
                _wait_until_quiet(patience_s, self._closing)
                measure_and_keep(self._paths.cache, cpu, memory, self._closing)

        await asyncio.to_thread(measure)

    async def close(self) -> None:
        """End a measurement, and write down what was learned last; idempotent."""
        self._closing.set()
        await self.learn()

    # -- engines ---------------------------------------------------------------------------------------------------

    async def look_up(self, targets: Iterable[Target]) -> None:
        """Find the files of these targets, off the loop, so that `engine` need not read the disk."""
        for target in targets:
            if target.is_local and target != DEMO:
                with contextlib.suppress(NearfarError):  # `engine` says it where a run can end in it
                    found = await asyncio.to_thread(self._models.resolve, target.model)
                    if isinstance(found, InstalledModel):
                        await asyncio.to_thread(self._models.library.touch_used, found.ref)

    def engine(self, target: Target) -> LocalEngine:
        """The engine of a local target; raises ModelMissing."""
        if target == DEMO:
            return LocalEngine(model_file(DEMO), name=target.model)
        found = self._models.resolve(target.model)
        path = found.path if isinstance(found, InstalledModel) else found
        ref = found.ref if isinstance(found, InstalledModel) else valid_text(str(found))
        self._refs[target] = ref

        async def plan() -> LoadOptions:
            self._wishes[target] = self.wish()
            return await self.plans.options(ref, path)

        async def loaded(report: EngineReport, worker_pid: int | None) -> None:
            await self.plans.loaded(ref, report, worker_pid)

        name = ref if isinstance(found, InstalledModel) else None
        return LocalEngine(path, name=name, plan=plan, on_loaded=loaded, load_turn=self._load_turn)

    def ref_of(self, target: Target) -> str | None:
        """The model behind a target that was asked for before."""
        return self._refs.get(target)

    def seen(self, target: Target) -> FitSeen | None:
        """What the last load of this target really took; None where that was never measured."""
        plan = self.plans.plan_of(self._refs.get(target, ""))
        return None if plan is None else plan.seen

    def is_outdated(self, target: Target) -> bool:
        """True where the settings have changed since this target's model was loaded."""
        return target in self._wishes and self._wishes[target] != self.wish()

    def refs_loaded(self, targets: Sequence[Target]) -> frozenset[str]:
        """The installed models behind these targets, which have engines now."""
        return frozenset(self._refs[target] for target in targets if target in self._refs)

    # -- learning --------------------------------------------------------------------------------------------------

    def watch(self, event: Event) -> None:
        """Hear the events of runs that had the machine for themselves."""
        if isinstance(event, Finished):
            self._ended.append(event.result)

    async def learn(self) -> None:
        """Remember the speed of the runs that `watch` saw."""
        ended, self._ended = self._ended, []
        for result in ended:
            ref = self._refs.get(parse_target(result.target))
            if ref is not None:
                await self.plans.ran(ref, result)


def _wait_until_quiet(patience_s: float, stop: threading.Event) -> None:
    end_s = time.monotonic() + patience_s
    while time.monotonic() < end_s and not stop.is_set():
        if psutil.cpu_percent(interval=QUIET_LOOK_S) < QUIET_PERCENT:
            return
