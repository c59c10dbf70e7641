"""One connection of a download: reads pieces of a file, tries again, gives up. Must not know plans or other readers.

It runs in a thread of its own; only `look` and the client's `abort` are called from elsewhere.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Protocol

from backends.models.download_disk import disk_problem
from backends.models.download_http import Expired, Head, Lost, NoRanges, RangeClient
from backends.models.download_limit import MAX_CHUNK, Limiter
from backends.models.download_part import Part
from backends.models.errors import HubUnreachable, NotTheFile

MAGIC = b"GGUF"
SLOWEST_BYTES_S = 1024
# So much after a failure shows that trying again helps; after a stall it must be more than what is in the pipes.
PROGRESS_BYTES, PROGRESS_AFTER_STALL_BYTES = 4 * 1024, 64 * 1024
MAX_RENEWALS = 3
MAX_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How a download goes about it. Once bytes flowed, a dead network is tried again for `give_up_s`.

    It begins with `first_connections`; while they bring less than `enough_bytes_s`, another joins every `widen_s`, up
    to `connections`. What is faster than that is held up by the processor, and more threads make it worse
    (docs/measurements/download.md).
    """

    connections: int = 4
    first_connections: int = 1
    widen_s: float = 0.2
    enough_bytes_s: float = 250e6
    segment_bytes: int = 32 * 2**20
    stall_s: float = 30.0
    give_up_s: float = 120.0
    first_tries: int = 3
    stalls: int = 2
    backoff_s: float = 0.5
    max_backoff_s: float = 15.0


class StartAgain(Exception):
    """What is there does not go together with what the server sends now. `whole`: it knows no ranges."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        self.whole = whole


class Shared(Protocol):
    """What the readers of one file have in common. `whole` asks for all of it at once."""

    part: Part
    limiter: Limiter
    pace: Pace
    whole: bool
    ended: threading.Event

    def url(self) -> str: ...
    def renew(self, old: str) -> None: ...
    def progressed(self) -> None: ...
    def may_try_again(self, failures: int) -> bool: ...
    def same_file(self, head: Head) -> bool: ...
    def chunk(self) -> int: ...


class Reader:
    """One connection's thread."""

    def __init__(self, transfer: Shared, client: RangeClient) -> None:
        self._transfer = transfer
        self._part = transfer.part
        self._pace = transfer.pace
        self.client = client
        self._buffer = bytearray(MAX_CHUNK)
        self._receiving = False
        self._mark: tuple[float, int] | None = None
        self._stalled = False
        self._failures = self._stalls = self._renewals = self._since_failure = self._at = self._received = 0

    def run(self) -> None:
        try:
            while not self._transfer.ended.is_set() and (piece := self._part.take(self._limit())) is not None:
                number, (start, stop) = piece
                try:
                    self._fetch(start, stop)
                finally:
                    self._part.give_back(number)
        finally:
            self.client.close()

    def _limit(self) -> int:
        return self._part.size_bytes if self._transfer.whole else self._pace.segment_bytes

    def _fetch(self, start: int, stop: int) -> None:
        """All of a piece, over as many connections as it takes."""
        while start < stop and not self._transfer.ended.is_set():
            url = self._transfer.url()
            try:
                start = self._go(url, start, stop)
            except Expired:
                self._renew(url)
            except Lost as lost:
                start = self._at
                self._pause(self._as_stall(lost))
                if self._transfer.whole and start:
                    raise StartAgain(whole=True) from None
            except NoRanges:
                raise StartAgain(whole=True) from None

    def _go(self, url: str, start: int, stop: int) -> int:
        """Fetch from `start` until the server's part of it ends; where the next request begins."""
        self._at = start
        self._receiving = True
        try:
            head = self.client.open(url, start, stop, self._part.size_bytes, whole=self._transfer.whole)
            if not self._transfer.same_file(head):
                raise StartAgain(whole=False)
            while self._at < head.stop:
                limit = min(self._transfer.chunk(), head.stop - self._at)
                self._receiving = False
                if not self._part.reserve(limit):
                    return stop
                try:
                    self._receiving = True
                    size = self._move(limit)
                finally:
                    self._receiving = False
                    self._part.release(limit)
                self._transfer.limiter.take(size, self._transfer.ended)
        finally:
            self._receiving = False
        return self._at

    def _move(self, limit: int) -> int:
        """Read what has come and write it; how many bytes it was."""
        size = self._read(limit)
        if self._at == 0 and not self._buffer.startswith(MAGIC):
            raise NotTheFile("What the server sent is not a GGUF file.", safe="Nothing of it was kept.")
        try:
            self._part.write(self._at, self._buffer, size)
        except OSError as error:
            raise disk_problem(error, self._part.path.parent.parent) from error
        self._at += size
        self._received += size
        self._since_failure += size
        if self._since_failure >= PROGRESS_BYTES or self._at >= self._part.size_bytes:
            self._failures = self._renewals = 0
            self._transfer.progressed()
        if self._since_failure >= PROGRESS_AFTER_STALL_BYTES:
            self._stalls = 0
        return size

    def _read(self, limit: int) -> int:
        """Fill the buffer with what is there, at the start of the file at least with what tells its kind. Raises Lost.

        The more is written at once, the less a byte costs; but what waits for more would be lost by a kill.
        """
        least = min(len(MAGIC), limit) if self._at == 0 else 1
        size, view = 0, memoryview(self._buffer)
        while size < least or (size < limit and self.client.has_more()):
            received = self.client.read_into(view[size:limit])
            if not received:
                break
            size += received
        if size < least:
            raise Lost(HubUnreachable("The server ends the connection too early, again and again."))
        return size

    def _renew(self, url: str) -> None:
        self._renewals += 1
        if self._renewals > MAX_RENEWALS:
            raise HubUnreachable("The hub gives addresses for this file that are refused again and again.")
        self._transfer.renew(url)

    def _as_stall(self, lost: Lost) -> Lost:
        if not self._stalled and not isinstance(lost.__cause__, TimeoutError):
            return lost
        self._stalled = False
        self._stalls += 1
        seconds = f"{self._pace.stall_s:.0f} seconds"
        return Lost(HubUnreachable(f"The server stopped sending: almost nothing came for {seconds}."))

    def _pause(self, lost: Lost) -> None:
        """Wait before the next try; raises the error of the last one where it is time to give up."""
        self._failures += 1
        self._since_failure = 0
        if self._transfer.ended.is_set():
            return
        if self._stalls >= self._pace.stalls or not self._transfer.may_try_again(self._failures):
            raise lost.problem
        delay_s = min(self._pace.backoff_s * 2 ** min(self._failures - 1, 10), self._pace.max_backoff_s)
        self._transfer.ended.wait(max(delay_s, min(lost.wait_s or 0.0, MAX_WAIT_S)))

    def look(self) -> None:
        """From the watching thread: end a connection that is open and brings next to nothing of the file."""
        now, received = time.monotonic(), self._received
        mark = self._mark
        limit = self._transfer.limiter.bytes_s
        if not self._receiving or mark is None or (limit is not None and limit < 65536):
            self._mark = (now, received) if self._receiving else None
            return
        if now - mark[0] < self._pace.stall_s:
            return
        self._mark = (now, received)
        if received - mark[1] < SLOWEST_BYTES_S * self._pace.stall_s:
            self._stalled = True
            self.client.drop()
