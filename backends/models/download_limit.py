"""A limit on bytes per second that several threads share. Must not know what the bytes are for."""

from __future__ import annotations

import threading
import time

WAIT_S = 0.1
MIN_CHUNK, MAX_CHUNK = 4 * 1024, 256 * 1024


class Limiter:
    """Bytes are paid for after they came: who took them waits until the limit allows the next. None is no limit."""

    def __init__(self, bytes_s: float | None = None) -> None:
        self._lock = threading.Lock()
        self._bytes_s = bytes_s
        self._paid_until = 0.0

    @property
    def bytes_s(self) -> float | None:
        return self._bytes_s

    def set(self, bytes_s: float | None) -> None:
        """Holds at once, also for threads that wait."""
        with self._lock:
            self._bytes_s = bytes_s
            self._paid_until = 0.0

    def chunk(self) -> int:
        """How much to read at once, so that a low limit is kept smoothly."""
        limit = self._bytes_s
        return MAX_CHUNK if limit is None else max(MIN_CHUNK, min(MAX_CHUNK, int(limit / 16)))

    def take(self, size_bytes: int, stop: threading.Event) -> None:
        """Wait until `size_bytes` that came are paid for, or `stop` is set."""
        with self._lock:
            if self._bytes_s is None:
                return
            now = time.monotonic()
            self._paid_until = max(now, self._paid_until) + size_bytes / self._bytes_s
            until = self._paid_until
        while (left := until - time.monotonic()) > 0 and not stop.wait(min(left, WAIT_S)):
            if self._paid_until < until:  # a new limit was set
                return
