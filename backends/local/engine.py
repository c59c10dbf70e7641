"""Answers prompts with a local GGUF through a worker process. Must not import llama_cpp or know who listens."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

from backends.errors import (
    ModelError,
    ModelMissing,
    ModelUnusable,
    NearfarError,
    NotAModel,
    PromptTooLong,
    TemplateFailed,
    WorkerConfused,
    WorkerDied,
    WorkerError,
    WorkerSilent,
)
from backends.events import Emit
from backends.local.child import WorkerProcess
from backends.local.exchange import Exchange, Talk
from backends.local.facts import LoadOptions, WorkerFacts
from backends.local.messages import (
    Cancel,
    Load,
    LoadDone,
    LoadProgress,
    PrefillProgress,
    Remark,
    Reply,
    RequestFailed,
    Run,
    RunCancelled,
    RunDone,
    TextDelta,
)
from backends.local.room import Room
from backends.records import EngineReport, RunRequest, Sampling
from backends.tally import Tally

WORKER_MODULE = ("-m", "backends.local.worker")
CANCEL_LIMIT_S = 1.0
WATCH_STEP_S = 0.25
SILENCE_NOTICE_S = 1.5
SILENCE_LIMIT_S = 30.0
SILENT = "worker_silent"
CLOCK_S = time.monotonic
# llama.cpp takes the largest 32-bit number as a wish for a random seed.
SEED_RANGE = 2**32 - 1
ERRORS: dict[str, type[NearfarError]] = {
    kind.code: kind
    for kind in (ModelError, ModelMissing, NotAModel, ModelUnusable, PromptTooLong, TemplateFailed, WorkerError)
}
Plan = Callable[[], Awaitable[LoadOptions]]
OnLoaded = Callable[[EngineReport, int | None], Awaitable[None]]
Good = TypeVar("Good", LoadDone, RunDone)


def worker_command() -> list[str]:
    """How this installation starts a worker; -P keeps the working folder off the module path."""
    if getattr(sys, "frozen", False):
        return [sys.executable, "--worker"]
    return [sys.executable, "-P", *WORKER_MODULE]


class LocalEngine:
    """One model in one worker process, loaded at the first run and kept.

    So many runs at once as the options of the load say (`n_parallel`); others wait for their turn.
    `model_path` is not looked at before the first run. `name` is what results call the model, its file name by default.
    `plan` is asked for the options just before each load, so that they suit the memory that is free then; what it
    raises ends the run in words. `on_loaded` hears what a load took, with the worker's process id. `load_turn` is
    shared by engines whose loads must not overlap, since each is planned from the memory that the others left.
    """

    def __init__(
        self,
        model_path: Path,
        *,
        name: str | None = None,
        options: LoadOptions | None = None,
        plan: Plan | None = None,
        on_loaded: OnLoaded | None = None,
        load_turn: asyncio.Lock | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self._path = model_path.absolute()
        self._name = name or model_path.name
        self._options = options or LoadOptions()
        self._plan = plan
        self._on_loaded = on_loaded
        self._load_turn = load_turn or asyncio.Lock()
        self._command = list(command) if command is not None else worker_command()
        self._lock = asyncio.Lock()
        self._room = Room()
        self._ids = itertools.count(1)
        self._exchange: Exchange | None = None
        self._report: EngineReport | None = None
        self._template_note = ""

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id while it lives."""
        worker = self._exchange.worker if self._exchange is not None else None
        return worker.pid if worker is not None and worker.alive else None

    @property
    def is_loaded(self) -> bool:
        """True while a worker has the model in memory."""
        return self._report is not None and self.worker_pid is not None

    async def probe(self) -> WorkerFacts:
        """What llama.cpp runs on here, from the worker's hello; starts one where none runs. Raises WorkerError."""
        async with self._lock:
            facts = (await self._ready()).worker.facts
        if facts is None:
            raise WorkerConfused("The local engine did not introduce itself.")
        return facts

    async def run(self, request: RunRequest, emit: Emit) -> None:
        """Answer one prompt; see backends.engine.Engine."""
        seed = request.sampling.seed
        sampling = replace(request.sampling, seed=secrets.randbelow(SEED_RANGE) if seed is None else seed % SEED_RANGE)
        tally = Tally(request, emit, settings=asdict(sampling) | asdict(self._options))
        tally.started()
        try:
            async with self._room:
                await self._answer(request, sampling, tally)
        except asyncio.CancelledError:
            tally.cancelled()
            raise
        except NearfarError as error:
            tally.failed(error)
        except Exception as error:  # noqa: BLE001 - a run always ends in an event; without the text, which may quote
            tally.failed(WorkerError(f"The local engine met an error of its own ({type(error).__name__})."))

    async def close(self) -> None:
        """End the worker; a run at work fails with WorkerDied. The next run would start a new worker."""
        await self._drop(self._exchange)

    async def _answer(self, request: RunRequest, sampling: Sampling, tally: Tally) -> None:
        exchange: Exchange | None = None
        try:
            async with self._lock:  # one starts and loads, the others then find it done
                exchange = await self._ready()
                async with _watched(exchange.worker, tally):
                    await self._load(exchange, tally)
            async with _watched(exchange.worker, tally):
                await self._generate(exchange, request, sampling, tally)
        finally:
            if exchange is not None and not exchange.worker.alive:
                await self._drop(exchange)

    async def _load(self, exchange: Exchange, tally: Tally) -> None:
        if self._report is not None:
            tally.loaded(replace(self._report, load_ms=0.0))
        else:
            self._template_note = ""
            tally.loading(0.0)
            async with self._load_turn:
                self._report = await self._load_now(exchange, tally)
            self._room.resize(self._options.n_parallel)
            tally.loaded(self._report)
        if self._template_note:
            tally.notice("template_plain", self._template_note)

    async def _load_now(self, exchange: Exchange, tally: Tally) -> EngineReport:
        if self._plan is not None:
            self._options = await self._plan()
            tally.settings.update(asdict(self._options))
        load = Load(next(self._ids), str(self._path), self._name, self._options)
        ending = await self._ask(exchange, load, lambda reply: self._on_load_reply(reply, tally), LoadDone)
        if self._on_loaded is not None:
            await self._on_loaded(ending.report, self.worker_pid)
        return ending.report

    def _on_load_reply(self, reply: Reply, tally: Tally) -> None:
        if isinstance(reply, LoadProgress):
            tally.loading(reply.fraction)
        elif isinstance(reply, Remark):
            self._template_note = reply.text

    async def _generate(self, exchange: Exchange, request: RunRequest, sampling: Sampling, tally: Tally) -> None:
        # A run that names its seed or draws no lots is meant to be repeated to the letter.
        exact = request.sampling.seed is not None or sampling.temperature <= 0
        run = Run(next(self._ids), request.prompt.messages, sampling, exact)
        tally.sent()
        ending = await self._ask(exchange, run, lambda reply: _on_run_reply(reply, tally), RunDone)
        tally.finished(ending.finish_reason)

    async def _ask(
        self, exchange: Exchange, request: Load | Run, handle: Callable[[Reply], None], expected: type[Good]
    ) -> Good:
        """Send a request and handle its replies until its ending; raises what failed. Cancelling stops the work."""
        talk = exchange.send(request, handle)
        try:
            ending = await talk.ending()
            if isinstance(ending, expected):
                return ending
            if isinstance(ending, RequestFailed):
                raise ERRORS.get(ending.code, WorkerError)(ending.what, fix=ending.fix or None)
            raise WorkerConfused("The local engine answered a question that was not asked.")
        except asyncio.CancelledError:
            await self._stop_work(exchange, request.id, talk)
            raise
        except ModelError:  # the worker said no and goes on
            raise
        except Exception:
            talk.leaving = True
            if exchange.wanted:  # others are at work there, and what went wrong is this run's own
                exchange.worker.send(Cancel(request.id))
            else:
                exchange.worker.kill(WorkerDied("The local model was stopped."))
            raise

    async def _stop_work(self, exchange: Exchange, request_id: int, talk: Talk) -> None:
        """Ask the worker to stop and take what it still says. Where no other run is at work there, kill it after a
        second, or when cancelled again; where others are, the worker stops this one before their next token."""
        timer = asyncio.get_running_loop().call_later(CANCEL_LIMIT_S, _kill_unwanted, exchange)
        try:
            talk.leaving = True
            exchange.worker.send(Cancel(request_id))
            await talk.ending()
        except asyncio.CancelledError:
            _kill_unwanted(exchange)
        except NearfarError:
            await self._drop(exchange)
        finally:
            timer.cancel()

    async def _ready(self) -> Exchange:
        if self._exchange is not None and not self._exchange.worker.alive:
            await self._drop(self._exchange)
        if self._exchange is None:
            self._exchange = Exchange(await WorkerProcess.start(self._command))
        return self._exchange

    async def _drop(self, exchange: Exchange | None) -> None:
        """End this worker; a later one is left alone."""
        if exchange is None:
            return
        if exchange is self._exchange:
            self._exchange, self._report = None, None
            self._room.resize(1)
        await exchange.close()


def _kill_unwanted(exchange: Exchange) -> None:
    if not exchange.wanted:
        exchange.worker.kill(WorkerDied("The local model was stopped."))


def _on_run_reply(reply: Reply, tally: Tally) -> None:
    now_ns = time.monotonic_ns()
    if isinstance(reply, TextDelta):
        at_ns = min(now_ns, reply.stamps_ns[-1]) if reply.stamps_ns else None
        tally.text_arrived(reply.text, at_ns=at_ns, n_tokens=len(reply.stamps_ns), stamps_ns=reply.stamps_ns)
    elif isinstance(reply, PrefillProgress):
        tally.prefill(reply.done, reply.total, at_ns=min(now_ns, reply.at_ns))
    elif isinstance(reply, Remark):
        tally.notice(reply.code, reply.text)
    elif isinstance(reply, RunDone | RunCancelled):
        tally.usage = reply.usage
        tally.engine_timings = reply.timings


@contextlib.asynccontextmanager
async def _watched(worker: WorkerProcess, tally: Tally) -> AsyncIterator[None]:
    """Watch for silence meanwhile: say so early, take it back when the worker beats again, give up late."""
    watch = asyncio.create_task(_watch(worker, tally))
    try:
        yield
    finally:
        watch.cancel()


async def _watch(worker: WorkerProcess, tally: Tally) -> None:
    silent_s, heard, noticed = 0.0, worker.heard, False
    last_s = CLOCK_S()
    while silent_s < SILENCE_LIMIT_S:
        await asyncio.sleep(WATCH_STEP_S)
        now_s = CLOCK_S()
        # After a sleep of the whole machine the clock has jumped though the worker never had a chance to beat.
        step_s, last_s = min(now_s - last_s, 2 * WATCH_STEP_S), now_s
        if worker.heard != heard:
            silent_s, heard = 0.0, worker.heard
            if noticed:
                tally.notice(SILENT, "")
                noticed = False
            continue
        silent_s += step_s
        if silent_s >= SILENCE_NOTICE_S and not noticed:
            tally.notice(SILENT, "The local model is not answering; it may be busy. You can stop this run.")
            noticed = True
    worker.kill(WorkerSilent(f"The local model did not answer for {SILENCE_LIMIT_S:.0f} seconds and was ended."))
