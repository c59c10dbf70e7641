"""One thread with one asyncio loop for everything slow, and the way back to the GUI thread. Must not know any widget.

Commands go in as coroutines; run events come back through a deque that one GUI timer drains, so that no signal is
sent per token; single answers (history, devices) come back as a callback on the GUI thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import CancelledError, Future
from typing import TypeVar

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from backends.events import Event

T = TypeVar("T")
log = logging.getLogger(__name__)

TICK_MS = 16
"""Between two slices of painting."""
FEW_CORES = 2
EVENTS_MS = 50 if (os.cpu_count() or 1) <= FEW_CORES else 33
"""Between two looks at what came in. Each leads to layout and painting, which few cores take from decoding."""
JOIN_S = 5.0


class EngineThread(QObject):
    """Owns the engine loop. Create, use and stop it on the GUI thread."""

    _answered = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)
        self._answered.connect(self._deliver, Qt.ConnectionType.QueuedConnection)
        self._open = False
        self._own: set[asyncio.Task[object]] = set()

    def start(self) -> None:
        self._open = True
        self._thread.start()

    def submit(self, work: Coroutine[object, object, T]) -> Future[T]:
        """Start a coroutine on the engine loop; before `start` and after `stop` it is dropped, its future cancelled."""
        if not self._open:
            work.close()
            dropped: Future[T] = Future()
            dropped.cancel()
            return dropped
        return asyncio.run_coroutine_threadsafe(self._tracked(work), self._loop)

    def call(self, function: Callable[[], object]) -> None:
        """Run a short function on the engine loop soon."""
        if self._open:
            self._loop.call_soon_threadsafe(function)

    def ask(
        self,
        work: Coroutine[object, object, T],
        then: Callable[[T], None],
        failed: Callable[[BaseException], None] | None = None,
        ended: Callable[[], None] | None = None,
    ) -> Future[T]:
        """Start a coroutine; `then` or `failed` is called with its outcome on the GUI thread.

        `ended` comes before them, and also where neither does: it was cancelled, or dropped as by `submit`.
        """
        future = self.submit(work)

        def pass_back(done: Future[T]) -> None:
            if self._open:
                self._answered.emit(lambda: self._hand_over(done, then, failed, ended))
            elif ended is not None and threading.current_thread() is not self._thread:
                ended()  # dropped: nothing will come

        future.add_done_callback(pass_back)
        return future

    def stop(self, last_words: Coroutine[object, object, object] | None = None) -> None:
        """Run `last_words` (closing workers, history), cancel what is left, end the thread. Waits at most 5 s."""
        if not self._open:
            if last_words is not None:
                last_words.close()
            return
        self._open = False
        asyncio.run_coroutine_threadsafe(self._wind_down(last_words), self._loop)
        self._thread.join(JOIN_S)
        if self._thread.is_alive():
            log.warning("the engine thread did not end in time")
        else:
            self._loop.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _tracked(self, work: Coroutine[object, object, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._own.add(task)
        try:
            return await work
        finally:
            self._own.discard(task)

    async def _wind_down(self, last_words: Coroutine[object, object, object] | None) -> None:
        """Our own tasks first: engines have tasks too, which they need until they are closed."""
        try:
            await _cancel(self._own)
            if last_words is not None:
                await last_words
            await _cancel(asyncio.all_tasks() - {asyncio.current_task()})
            await self._loop.shutdown_asyncgens()
            await self._loop.shutdown_default_executor()
        finally:
            self._loop.stop()

    @Slot(object)
    def _deliver(self, callback: Callable[[], None]) -> None:
        if self._open:  # what came too late finds no window to show it in
            callback()

    @staticmethod
    def _hand_over(
        done: Future[T],
        then: Callable[[T], None],
        failed: Callable[[BaseException], None] | None,
        ended: Callable[[], None] | None,
    ) -> None:
        if ended is not None:
            ended()
        try:
            result = done.result()
        except (CancelledError, asyncio.CancelledError):
            return
        except Exception as error:  # of the task, not ours: told to who asked, or logged, and never into Qt's loop
            if failed is None:
                log.error("a background task failed", exc_info=error)
            else:
                failed(error)
            return
        then(result)


async def _cancel(tasks: Iterable[asyncio.Task[object] | None]) -> None:
    known = [task for task in tasks if task is not None]
    for task in known:
        task.cancel()
    await asyncio.gather(*known, return_exceptions=True)


class Inbox(QObject):
    """The deque that carries run events to the GUI, and the one timer that drains it while work is live."""

    def __init__(self, show: Callable[[list[Event]], bool], parent: QObject | None = None) -> None:
        """`show` gets the events of one tick, or none, and says whether it has more to paint."""
        super().__init__(parent)
        self._events: deque[Event] = deque()
        self._show = show
        self._live = 0
        self._due_s = 0.0
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)

    def put(self, event: Event) -> None:
        """From any thread."""
        self._events.append(event)

    def work_began(self) -> None:
        self._live += 1
        self.wake()

    @Slot()
    def wake(self) -> None:
        """Tick until there is nothing left to paint, as when a stored answer is opened."""
        self._timer.start(TICK_MS)

    def work_ended(self) -> None:
        """What is queued is still shown before the timer rests."""
        self._live = max(0, self._live - 1)

    @property
    def resting(self) -> bool:
        return not self._timer.isActive()

    def drain(self) -> bool:
        """Show all that came; True while there is more to paint."""
        return self._show([self._events.popleft() for _ in range(len(self._events))])

    @Slot()
    def _tick(self) -> None:
        now_s = time.monotonic()
        if self._live == 0 or now_s >= self._due_s:
            self._due_s = now_s + EVENTS_MS / 1e3
            busy = self.drain()
        else:
            busy = self._show([])
        if self._live:
            left_ms = round((self._due_s - now_s) * 1e3)
            self._timer.setInterval(TICK_MS if busy else max(1, left_ms))
        elif not busy and not self._events:
            self._timer.stop()
        else:
            self._timer.setInterval(TICK_MS)
