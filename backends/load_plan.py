"""Decides, just before a local model is loaded, which layers go where; remembers what came of it.

Must not start workers nor know windows. The fit is made anew from the memory that is free at that moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from backends.devices.records import Device, Machine
from backends.fit.learned import Learned, expecting, seen_load, seen_run
from backends.fit.learned_file import LearnedFile
from backends.fit.levers import levers
from backends.fit.placement import load_options, seen_by_engine
from backends.fit.ranking import fit_of, speed_of
from backends.fit.records import Fit, FitSeen, Lever, Speed, Wish
from backends.local.facts import LoadOptions
from backends.models.errors import WouldNotFit
from backends.models.gguf_file import read_model
from backends.models.records import ModelFacts
from backends.models.weights import facts_from_header
from backends.records import EngineReport, RunResult

GIB = 2**30
ReadMachine = Callable[[], Awaitable[Machine]]


@dataclass(frozen=True, slots=True)
class Plan:
    """A load as it was planned: the fit, the expected speed, and the machine before it."""

    ref: str
    facts: ModelFacts
    machine: Machine
    fit: Fit
    speed: Speed | None
    seen: FitSeen | None = None


class LoadPlanner:
    """Call it on the engine loop. `learned` corrects the next estimate and grows by every load and run."""

    def __init__(self, read_machine: ReadMachine, wish: Callable[[], Wish], file: LearnedFile) -> None:
        self._read_machine = read_machine
        self._wish = wish
        self._file = file
        self._learned: Learned | None = None
        self._allowed: set[str] = set()
        self._all_allowed = False
        self._plans: dict[str, Plan] = {}

    def allow(self, ref: str) -> None:
        """The person wants this model loaded next time although it would not fit."""
        self._allowed.add(ref)

    def allow_all(self) -> None:
        """The person wants every model loaded although it would not fit."""
        self._all_allowed = True

    def plan_of(self, ref: str) -> Plan | None:
        """The last plan of a model, whether it was loaded or refused."""
        return self._plans.get(ref)

    async def learned(self) -> Learned:
        """What earlier loads and runs taught; read from disk once."""
        if self._learned is None:
            self._learned = await asyncio.to_thread(self._file.load)
        return self._learned

    async def options(self, ref: str, path: Path) -> LoadOptions:
        """How to load this file now. Raises WouldNotFit, and what a file that is no model raises."""
        wish = self._wish()
        facts = await asyncio.to_thread(facts_in, path, path.name if ref == str(path) else ref)
        if facts is None:  # an architecture whose shape we cannot read: llama.cpp places it by its own lights
            return _unplaced(wish)
        found, learned = await self._read_machine(), await self.learned()
        if not found.engine_known:  # which GPUs it can use is not known: leaving all of them out would be a guess
            self._plans.pop(ref, None)
            return _unplaced(wish)
        machine = seen_by_engine(found)
        fit = fit_of(facts, machine, wish, learned)
        self._plans[ref] = Plan(ref, facts, machine, fit, speed_of(ref, fit, facts, machine, learned))
        if fit.verdict == "no" and not self._all_allowed and ref not in self._allowed:
            raise _refusal(facts.name, fit)
        self._allowed.discard(ref)
        return load_options(fit, wish)

    async def look_again(
        self, ref: str, other_quants: Iterable[ModelFacts] = (), machine: Machine | None = None
    ) -> tuple[Fit, tuple[Lever, ...]] | None:
        """A model that was planned before, with the memory that is free now, and what would change the verdict.

        `other_quants` are of the same model. `machine` is the one to look at, where that is not as it stands now, as
        with idle models closed. None where it was never planned. It changes no plan.
        """
        plan, wish = self._plans.get(ref), self._wish()
        if plan is None:
            return None
        machine, learned = seen_by_engine(machine or await self._read_machine()), await self.learned()
        fit = fit_of(plan.facts, machine, wish, learned)
        return fit, levers(plan.facts, expecting(machine, learned), wish, fit, other_quants)

    async def loaded(self, ref: str, report: EngineReport, worker_pid: int | None) -> None:
        """Set what the load took beside what was predicted, and remember both."""
        plan = self._plans.get(ref)
        if plan is None:
            return
        if report.gpu_layers == 0:
            real_bytes = await asyncio.to_thread(_resident_bytes, worker_pid)
        else:
            real_bytes = taken_bytes(plan.fit, await self._read_machine())
        seen = seen_load(ref, plan.facts.quant, plan.fit, real_bytes, plan.speed, await self.learned())
        self._plans[ref] = replace(plan, seen=seen)
        await self._remember(seen)

    async def ran(self, ref: str, result: RunResult) -> None:
        """A run ended alone on the machine: its speed teaches the next estimate, if it was long enough to have one."""
        plan = self._plans.get(ref)
        if plan is None or plan.seen is None or not result.complete or result.decode_tok_s is None:
            return
        usage = result.usage
        depth_tokens = (usage.prompt_tokens or 0) + (usage.completion_tokens or 0) // 2
        guess = speed_of(ref, plan.fit, plan.facts, plan.machine, depth_tokens=depth_tokens)
        await self._remember(seen_run(plan.seen, result.decode_tok_s, guess))

    async def _remember(self, seen: FitSeen) -> None:
        self._learned = await asyncio.to_thread(self._file.add, seen)


def taken_bytes(fit: Fit, after: Machine) -> int | None:
    """How far the free memory of the fit's devices fell since it was made; None where a device does not say.

    None too where it did not fall at all: a driver that does not see a load cannot tell what it took.
    """
    now = {_identity(device): device.free_bytes for device in (*after.gpus, after.cpu)}
    parts = fit.gpus or (fit.host,)
    fall = 0
    for part in parts:
        free_bytes = now.get(_identity(part.device))
        if free_bytes is None or part.device.free_bytes is None:
            return None
        fall += part.device.free_bytes - free_bytes
    return fall if fall > 0 else None


def _identity(device: Device) -> tuple[str | None, str]:
    """Equal GPUs of which no driver says more differ by what llama.cpp calls them."""
    return device.uuid or device.pci_id or device.backend, device.name


def _resident_bytes(worker_pid: int | None) -> int | None:
    """What the worker holds in memory, the file's pages that it has read included."""
    try:
        return None if worker_pid is None else int(psutil.Process(worker_pid).memory_info().rss)
    except psutil.Error:
        return None


def facts_in(path: Path, name: str) -> ModelFacts | None:
    """What fit must know of this file, from its header; None for an architecture whose shape we cannot read.

    Raises what a file that is no model raises.
    """
    header = read_model(path)
    return None if header.shape is None else facts_from_header(header, name=name)


def _unplaced(wish: Wish) -> LoadOptions:
    """llama.cpp chooses the devices."""
    return LoadOptions(n_ctx=wish.n_ctx, kv_type=wish.kv_type, n_batch=wish.n_batch, n_parallel=wish.n_parallel)


def _refusal(name: str, fit: Fit) -> WouldNotFit:
    device = fit.tightest.device
    where = "memory" if device.kind == "cpu" else f"memory of {device.name}"
    free = "" if device.free_bytes is None else f"; {device.free_bytes / GIB:.1f} GiB are free"
    lacks = f"{fit.missing_bytes / GIB:.1f} GiB short"
    needs = fit.tightest_needs_bytes / GIB
    return WouldNotFit(
        f"{name} does not fit now: it needs {needs:.1f} GiB of {where}{free}, {lacks} with what stays reserved."
    )
