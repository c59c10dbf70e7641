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

from backends.errors import ModelMissing, NearfarError
from backends.events import Event, Finished
from backends.fit.learned_file import LearnedFile
from backends.fit.records import FitSeen, Wish
from backends.load_plan import LoadPlanner
from backends.local.asked import AskedFacts
from backends.local.engine import LocalEngine
from backends.local.facts import LoadOptions
from backends.models.download_names import valid_text
from backends.models.manager import Models
from backends.models.records import InstalledModel
from backends.own_loads import OwnLoad, held_by
from backends.paths import Paths
from backends.records import EngineReport, RunResult, Target
from backends.settings import Settings
from backends.targets import DEMO, parse_target
from resources import resource_path

if TYPE_CHECKING:
    from backends.devices.records import Machine

DEMO_FILE = ("demo", "nearfar-demo.gguf")
LOOK_AGAIN_S = 10.0  # free memory that llama.cpp alone can tell is asked for at every fifth look


def model_file(target: Target) -> Path:
    """The GGUF of a local target that names one by path, or of the demo; raises ModelMissing for any other name."""
    if target == DEMO:
        return resource_path(*DEMO_FILE)
    path = Path(target.model).expanduser().absolute()  # the worker runs in a folder of its own
    if path.suffix.lower() == ".gguf" or len(Path(target.model).parts) > 1:
        return path
    raise ModelMissing(f"There is no installed model named “{target.model[:80]}”.", safe="Your prompt is kept.")


class LocalModels:
    """Use it on the engine loop; `refs_of` may be asked from any thread."""

    def __init__(self, paths: Paths, models: Models, *, settings: Callable[[], Settings]) -> None:
        self._paths = paths
        self._models = models
        self._settings = settings
        self._llama_cpp = AskedFacts(lambda: LocalEngine(model_file(DEMO)))
        self._load_turn = asyncio.Lock()
        self._closing = threading.Event()
        self._found: dict[Target, InstalledModel | Path | NearfarError] = {}
        self._refs: dict[Target, str] = {}
        self._wishes: dict[Target, Wish] = {}
        self._ended: list[RunResult] = []
        self.plans = LoadPlanner(self.machine_now, self.wish, LearnedFile.of(paths))

    def wish(self) -> Wish:
        """How models are to be loaded, as the settings say now."""
        settings = self._settings()
        return Wish(n_ctx=settings.n_ctx, kv_type=settings.kv_type)

    # -- the machine -----------------------------------------------------------------------------------------------

    async def machine(self) -> Machine:
        """GPUs, CPU and memory as they are now. Reads in a thread: some 20 ms, and 3 s where a driver hangs.

        llama.cpp is asked once, in a process of its own, which GPUs it can use; and every 10 s where nobody else says
        how much memory is free on one of them, or where NVIDIA's driver is in trouble.
        """
        return await self._machine(time.monotonic() - LOOK_AGAIN_S)

    async def machine_now(self) -> Machine:
        """As `machine`, with free memory that is nowhere older than this call: for a load. May take a second more."""
        return await self._machine(time.monotonic(), try_again=True)

    async def _machine(self, since_s: float, *, try_again: bool = False) -> Machine:
        from backends.devices.machine import lacks_free_sizes, read_machine
        from backends.devices.nvml_words import driver_fails

        cache, llama_cpp = self._paths.cache, self._llama_cpp
        facts = await llama_cpp.known(since_s, try_again=try_again)
        machine = await asyncio.to_thread(read_machine, facts, cache=cache)
        fails = driver_fails(machine.problems)
        if fails:
            llama_cpp.doubt()
        if fails or lacks_free_sizes(machine):
            again = await llama_cpp.asked(since_s, try_again=try_again)
            if again != facts:
                machine = await asyncio.to_thread(read_machine, again, cache=cache)
            if driver_fails(machine.problems):
                llama_cpp.doubt()  # the answer just given too: the driver may come back at any moment
        return machine

    async def measure_memory(self, patience_s: float = 1.5) -> None:
        """Measure the speed of this machine's memory where that was never done: under a second, with all cores.

        For a moment when nothing runs: a run beside it would be slowed, and the measurement too. It waits at most
        `patience_s` until the processor is quiet: beside the start of a program a quarter of the true figure was seen.
        What was measured all the same holds for this session.
        """
        from backends.devices.bandwidth import kept_bandwidth, measure_and_keep, wait_until_quiet
        from backends.devices.system import read_cpu, read_memory

        def measure() -> None:
            cpu, memory = read_cpu(), read_memory()
            if kept_bandwidth(self._paths.cache, cpu, memory) is None:
                quiet = wait_until_quiet(patience_s, self._closing)
                measure_and_keep(self._paths.cache, cpu, memory, self._closing, lasting=quiet)

        await asyncio.to_thread(measure)

    async def close(self) -> None:
        """End a measurement, and write down what was learned last; idempotent."""
        self._closing.set()
        await self.learn()

    # -- engines ---------------------------------------------------------------------------------------------------

    async def look_up(self, targets: Iterable[Target]) -> None:
        """Find the files of these targets, off the loop, so that `engine` need not read the disk."""
        for target in dict.fromkeys(targets):
            if not target.is_local or target == DEMO:
                continue
            try:
                found = await asyncio.to_thread(self._models.resolve, target.model)
            except NearfarError as error:  # `engine` says it where a run can end in it
                self._found[target] = error
                continue
            self._found[target] = found
            self._refs[target] = found.ref if isinstance(found, InstalledModel) else str(found)
            if isinstance(found, InstalledModel):
                with contextlib.suppress(NearfarError):
                    await asyncio.to_thread(self._models.library.touch_used, found.ref)

    def engine(self, target: Target) -> LocalEngine:
        """The engine of the demo, or of a target that `look_up` was given; raises what it met, as ModelMissing."""
        if target == DEMO:
            return LocalEngine(model_file(DEMO), name=target.model)
        found = self._found.get(target)
        if found is None:
            raise ModelMissing(f"Nobody has looked for “{target.model[:80]}” yet.", safe="Your prompt is kept.")
        if isinstance(found, NearfarError):
            raise found.with_traceback(None)
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

    async def load_of(self, target: Target, worker_pid: int, *, idle: bool, loaded: bool) -> OwnLoad:
        """What the worker of a target holds in memory. Reads the process table, off the loop."""
        ref = self._refs.get(target, str(target.model))
        if not loaded:
            return OwnLoad(ref, worker_pid, idle)
        plan = self.plans.plan_of(ref)
        fit, seen = (plan.fit, plan.seen) if plan is not None else (None, None)
        real_bytes = seen.real_bytes if seen is not None else None
        held = await asyncio.to_thread(held_by, worker_pid, fit, real_bytes)
        return OwnLoad(ref, worker_pid, idle, held)

    def is_outdated(self, target: Target) -> bool:
        """True where the settings have changed since this target's model was loaded."""
        return target in self._wishes and self._wishes[target] != self.wish()

    def refs_of(self, targets: Sequence[Target]) -> frozenset[str]:
        """The models behind these targets, as far as they were looked up."""
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
