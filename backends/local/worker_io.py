"""The worker's end of the pipes: one writer of replies, one reader of requests, one heart. Must not know models."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from typing import NoReturn, Protocol

from backends.local import process
from backends.local.fields import ProtocolError
from backends.local.messages import Beat, Cancel, Load, Measure, Reply, Run
from backends.local.protocol import MAX_REQUEST_BYTES, decode_request, encode

BEAT_S = 0.5
EXIT_PARENT_GONE = 0
EXIT_PROTOCOL = 3
Work = Load | Measure | Run


class Abortable(Protocol):
    """A flag that the native code reads."""

    def set(self) -> None: ...

    def clear(self) -> None: ...


class Outlet:
    """The one writer of replies; leaves the process when nobody reads any more."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, reply: Reply) -> None:
        data = memoryview(encode(reply))
        try:
            with self._lock:
                while data:
                    data = data[os.write(self._descriptor, data) :]
        except OSError:
            os._exit(EXIT_PARENT_GONE)


class Inbox:
    """Requests in order of arrival; a cancel overtakes them and sets the abort flag of the request at work.

    The app numbers its requests upwards.
    """

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._aside: Work | None = None
        self._lock = threading.Lock()
        self._abort: Abortable | None = None
        self._active = 0
        self._cancelled: set[int] = set()

    def read_for_ever(self) -> NoReturn:
        """Body of the reading thread: ends the process, in the middle of a decode too, when the app is gone."""
        try:
            while line := sys.stdin.buffer.readline(MAX_REQUEST_BYTES + 1):
                request = decode_request(line)
                if isinstance(request, Cancel):
                    self._cancel(request.id)
                else:
                    self._requests.put(request)
        except ProtocolError as error:
            os.write(process.STDERR, f"nearfar worker: {error}\n".encode())
            os._exit(EXIT_PROTOCOL)
        finally:
            os._exit(EXIT_PARENT_GONE)

    def next(self, abort: Abortable, wait_s: float) -> Work | None:
        """The next request, whose flag `abort` is from here on; None where none came within `wait_s`."""
        request, self._aside = self._aside, None
        if request is None:
            try:
                request = self._requests.get(timeout=wait_s)
            except queue.Empty:
                return None
        with self._lock:
            self._abort = abort
            self._cancelled = {cancelled for cancelled in self._cancelled if cancelled >= request.id}
        self.at_work(request.id)
        return request

    def next_run(self) -> Run | None:
        """A run that has come while others are at work; None too where something else must wait for their end."""
        if self._aside is None:
            with contextlib.suppress(queue.Empty):
                request = self._requests.get_nowait()
                if isinstance(request, Run):
                    return request
                self._aside = request
        return None

    def forget(self, request_id: int) -> None:
        """This request has ended: whether it was cancelled is of no use any more."""
        with self._lock:
            self._cancelled.discard(request_id)

    def cancelled(self) -> frozenset[int]:
        """Numbers that were cancelled and have not ended; each came after its request."""
        with self._lock:
            return frozenset(self._cancelled)

    def at_work(self, request_id: int) -> None:
        """From here on the flag is this request's, set if it was cancelled already; 0 is nobody's."""
        with self._lock:
            self._active = request_id
            if self._abort is not None:
                self._abort.clear()
                if request_id in self._cancelled:
                    self._abort.set()

    def _cancel(self, request_id: int) -> None:
        with self._lock:
            self._cancelled.add(request_id)
            if self._abort is not None and self._active == request_id:
                self._abort.set()


def beat_for_ever(outlet: Outlet) -> NoReturn:
    """Body of the beating thread. Native code holds no Python lock, so it beats through loads and decodes."""
    while True:
        outlet.send(Beat())
        time.sleep(BEAT_S)
