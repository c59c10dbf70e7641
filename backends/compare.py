"""One prompt on all lanes, in sequence or as a race, each lane stoppable. Must not know which engines there are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal

from backends.engine import Engine
from backends.errors import NearfarError
from backends.events import Emit, Event, is_terminal
from backends.records import RunRequest, Target
from backends.tally import Tally

log = logging.getLogger(__name__)

Mode = Literal["sequence", "race"]
EngineFor = Callable[[Target], Engine]
Around = Callable[[RunRequest, Emit], AbstractAsyncContextManager[Emit]]


class Comparison:
    """Runs every request to its one terminal event. In sequence, the next lane starts when the last has ended.

    `engine_for` may raise NearfarError; the lane then fails with that sentence and the others go on. `around` gives
    what the engine emits to while it answers. `also` hears every event before `emit` does.
    """

    def __init__(
        self, requests: Sequence[RunRequest], engine_for: EngineFor, emit: Emit, mode: Mode = "sequence"
    ) -> None:
        self._requests = tuple(requests)
        self._engine_for = engine_for
        self._emit = emit
        self.mode = mode
        self.around: Around = _as_it_is
        self.also: Emit | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopped: set[str] = set()
        self._ended: set[str] = set()

    async def run(self) -> None:
        """Until every run has ended. Cancelling this task stops every lane, waits for it, and re-raises."""
        try:
            if self.mode == "race":
                await asyncio.gather(*(self._lane(request) for request in self._requests))
            else:
                for request in self._requests:
                    await self._lane(request)
        except asyncio.CancelledError:
            self.stop_all()
            running = [task for task in self._tasks.values() if not task.done()]
            await asyncio.gather(*running, return_exceptions=True)
            for request in self._requests:
                self._end_unstarted(request)
            raise

    def stop(self, run_id: str) -> None:
        """Stop one lane, running or still waiting; the others go on."""
        self._stopped.add(run_id)
        task = self._tasks.get(run_id)
        if task is not None:
            task.cancel()
            return
        for request in self._requests:
            if request.run_id == run_id:
                self._end_unstarted(request)

    def stop_all(self) -> None:
        for request in self._requests:
            self.stop(request.run_id)

    async def _lane(self, request: RunRequest) -> None:
        if request.run_id in self._stopped:
            self._end_unstarted(request)
            return
        task = asyncio.create_task(self._run_one(request), name=request.run_id)
        self._tasks[request.run_id] = task
        await asyncio.wait([task])
        self._close(request, task)

    async def _run_one(self, request: RunRequest) -> None:
        try:
            engine = self._engine_for(request.target)
        except NearfarError as error:
            tally = Tally(request, self._pass_on)
            tally.started()
            tally.failed(error)
            return
        async with self.around(request, self._pass_on) as emit:
            await engine.run(request, emit)

    def _close(self, request: RunRequest, task: asyncio.Task[None]) -> None:
        """A task stopped before its first step emitted nothing, and a defect of ours no terminal event: end both."""
        defect = None if task.cancelled() else task.exception()
        if defect is None:
            self._end_unstarted(request)
        elif request.run_id not in self._ended:
            log.error("run %s ended by a defect", request.run_id, exc_info=defect)
            Tally(request, self._pass_on).failed(NearfarError("Nearfar itself made a mistake in this run."))

    def _end_unstarted(self, request: RunRequest) -> None:
        if request.run_id in self._ended:
            return
        tally = Tally(request, self._pass_on)
        tally.started()
        tally.cancelled()

    def _pass_on(self, event: Event) -> None:
        if is_terminal(event):
            self._ended.add(event.run_id)
        if self.also is not None:
            self.also(event)
        self._emit(event)


@asynccontextmanager
async def _as_it_is(_request: RunRequest, emit: Emit) -> AsyncIterator[Emit]:
    yield emit
