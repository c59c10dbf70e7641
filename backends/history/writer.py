"""One thread that does one job after another, some of them later. Must not know what the jobs are."""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from backends.errors import HistoryUnavailable

T = TypeVar("T")


class Writer:
    """Starts its thread with the first job. `submit` and `later` are cheap and safe from any thread."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[tuple[float, Callable[[], None]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, job: Callable[[], T], *, delay_s: float = 0.0) -> Future[T]:
        """The future of `job`, which starts after `delay_s` at the earliest; it fails once the writer is closed."""
        with self._lock:
            return self._put(job, delay_s)

    def close(self, last: Callable[[], Any]) -> Future[Any]:
        """Do what was submitted, then `last`, then end the thread; jobs that were due later are dropped."""
        with self._lock:  # held throughout, so that no job comes between `last` and the end
            future = self._put(last, 0.0)
            self._closed = True
            self._inbox.put(None)
        return future

    def _put(self, job: Callable[[], T], delay_s: float) -> Future[T]:
        """To be called with the lock held."""
        future: Future[T] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(job())
                except Exception as error:  # noqa: BLE001 - handed to whoever waits for the future
                    future.set_exception(error)

        if self._closed:
            future.set_exception(HistoryUnavailable("The history is closed.", fix=""))
            return future
        if self._thread is None:
            # A daemon: the program can always end, and what is not written by then is at most one interval.
            self._thread = threading.Thread(target=self._loop, name="history-writer", daemon=True)
            self._thread.start()
        self._inbox.put((time.monotonic() + delay_s, run))
        return future

    def _loop(self) -> None:
        order = itertools.count()  # equal times keep the order in which they came
        due: list[tuple[float, int, Callable[[], None]]] = []
        while True:
            wait_s = max(0.0, due[0][0] - time.monotonic()) if due else None
            try:
                item = self._inbox.get(timeout=wait_s)
            except queue.Empty:
                heapq.heappop(due)[2]()
                continue
            if item is None:
                return
            at, job = item
            if at <= time.monotonic():
                job()
            else:
                heapq.heappush(due, (at, next(order), job))
