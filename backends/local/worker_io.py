"""The worker's end of the pipes: one writer of replies, one reader of requests, one heart. Must not know models."""

from __future__ import annotations

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
    """Requests in order of arrival; a cancel overtakes them and sets the abort flag of the request at work."""

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._abort: Abortable | None = None
        self._active = 0
        self._cancelled = 0

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
        try:
            request = self._requests.get(timeout=wait_s)
        except queue.Empty:
            return None
        with self._lock:
            self._abort, self._active = abort, request.id
            abort.clear()
            if request.id <= self._cancelled:
                abort.set()
        return request

    def _cancel(self, request_id: int) -> None:
        with self._lock:
            self._cancelled = max(self._cancelled, request_id)
            if self._abort is not None and self._active <= request_id:
                self._abort.set()


def beat_for_ever(outlet: Outlet) -> NoReturn:
    """Body of the beating thread. Native code holds no Python lock, so it beats through loads and decodes."""
    while True:
        outlet.send(Beat())
        time.sleep(BEAT_S)
