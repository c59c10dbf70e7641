"""Stands between an engine and whoever listens: marks local runs that other programs slowed. Must not know engines.

While a run decodes, a task reads the CPU counters twice a second. The mark follows one rule, live and in the end: other
programs were in the way for a fifth of the decoding so far (`OtherWork.busy`). So a short blip of a long run takes its
own mark back, and the mark that is shown last is the one that the result keeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import psutil

from backends.children import running_children
from backends.devices.busy import CpuCounters, Watched
from backends.devices.system import read_cpu
from backends.events import Cancelled, Delta, Emit, Event, Failed, Finished, Loaded, Notice
from backends.other_work import MACHINE_BUSY, busy_words
from backends.records import EngineReport, OtherWork, RunRequest

log = logging.getLogger(__name__)

STEP_S = 0.5
FIRST_WORD_S = 0.9  # nothing is said of the first half second alone


@contextlib.asynccontextmanager
async def busy_watch(request: RunRequest, emit: Emit) -> AsyncIterator[Emit]:
    """What an engine is to emit to in place of `emit` while it answers `request`. Use it on the engine loop.

    Runs elsewhere, and those wholly on GPUs, which leave the processor nearly idle, are not watched.
    """
    if not request.target.is_local:
        yield emit
        return
    watch = _Watch(emit)
    try:
        yield watch.hear
    finally:
        watch.end()


class _Watch:
    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._report: EngineReport | None = None
        self._begun = False
        self._watched: Watched | None = None
        self._counters = CpuCounters(running_children)
        self._task: asyncio.Task[None] | None = None
        self._last_ns = 0
        self._said = ""

    def hear(self, event: Event) -> None:
        self._last_ns = event.at_ns
        match event:
            case Loaded():
                self._report = event.report
            case Delta() if not self._begun:
                self._begun = True
                self._begin(event)
            case Finished() | Failed() | Cancelled() if self._watched is not None:
                self._sample()
                self.end()
                event = replace(event, result=replace(event.result, other_work=self._so_far()))
            case _:
                pass
        self._emit(event)

    def end(self) -> None:
        """Stop reading; idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def _begin(self, first: Delta) -> None:
        report, cores = self._report, cores_here()
        if report is None or cores is None or report.gpu_layers >= report.n_layers:
            return
        self._watched = Watched(report.n_threads, cores)
        self._sample()
        self._task = asyncio.create_task(self._go_on(first.run_id))

    async def _go_on(self, run_id: str) -> None:
        while self._watched is not None:
            await asyncio.sleep(STEP_S)
            self._sample()
            self._say(run_id)

    def _sample(self) -> None:
        if self._watched is None:
            return
        try:
            self._watched.take(self._counters.read(time.monotonic_ns()))
        except (OSError, psutil.Error) as error:  # a mark is not worth a run
            log.info("the CPU counters could not be read: %s", type(error).__name__)
            self._watched = None

    def _so_far(self) -> OtherWork | None:
        return None if self._watched is None else self._watched.so_far()

    def _say(self, run_id: str) -> None:
        if self._watched is None or self._watched.length_s < FIRST_WORD_S:
            return
        words = busy_words(self._watched.so_far())
        if bool(words) != bool(self._said):  # its numbers waver; the result has the last ones
            self._said = words
            # Tokens that are still in the pipe were born before now, and stamps never decrease.
            self._emit(Notice(run_id, self._last_ns, MACHINE_BUSY, words))


def cores_here() -> int | None:
    """The machine's physical cores, None where the system does not say."""
    return read_cpu().physical_cores
