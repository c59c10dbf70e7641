"""Requests to one worker, and its replies handed to whoever asked, by number. Must not know engines or events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from backends.errors import WorkerConfused
from backends.local.child import WorkerProcess
from backends.local.messages import Load, LoadDone, Reply, RequestFailed, Run, RunCancelled, RunDone

Ending = LoadDone | RunDone | RunCancelled | RequestFailed
Handle = Callable[[Reply], None]


class Talk:
    """One request under way; `ending` waits for the reply that ends it, and raises what `handle` raised."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.leaving = False
        self._ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    async def ending(self) -> Ending:
        """May be asked again by one who was cancelled while waiting."""
        return await asyncio.shield(self._ended)

    def hear(self, reply: Reply) -> bool:
        """True where this reply was the last."""
        if self._ended.done():  # nobody listens any more
            return isinstance(reply, Ending)
        try:
            self.handle(reply)
        except Exception as error:  # noqa: BLE001 - it belongs to the one who asked, and is raised there
            self.fail(error)
        if isinstance(reply, Ending):
            if not self._ended.done():
                self._ended.set_result(reply)
            return True
        return False

    def fail(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)
            self._ended.exception()  # one who left does not ask, which asyncio would complain of


class Exchange:
    """All requests under way at one worker. A task reads the replies until the worker is gone."""

    def __init__(self, worker: WorkerProcess) -> None:
        self.worker = worker
        self._talks: dict[int, Talk] = {}
        self._over: Exception | None = None
        self._reader = asyncio.create_task(self._read())

    @property
    def wanted(self) -> bool:
        """True while somebody waits for more than the end of what was cancelled."""
        return any(not talk.leaving for talk in self._talks.values())

    def send(self, request: Load | Run, handle: Handle) -> Talk:
        """Ask, and hand each reply to `handle` until the last; raises as WorkerProcess.send does.

        Where the worker is gone already, the talk fails at once with what ended it.
        """
        self.worker.send(request)
        talk = Talk(handle)
        if self._over is None:
            self._talks[request.id] = talk
        else:
            talk.fail(self._over)
        return talk

    async def close(self) -> None:
        """End the worker; what is under way there fails with WorkerDied."""
        await self.worker.stop()
        await asyncio.shield(self._reader)

    async def _read(self) -> None:
        try:
            while True:
                reply = await self.worker.receive()
                request_id = getattr(reply, "id", 0)
                talk = self._talks.get(request_id)
                if talk is None:
                    self.worker.kill(WorkerConfused("The local engine answered a question that was not asked."))
                elif talk.hear(reply):
                    del self._talks[request_id]
        except Exception as error:  # noqa: BLE001 - whatever ended the reading ends every request
            self._over = error
            talks, self._talks = self._talks, {}
            for talk in talks.values():
                talk.fail(error)
