"""A file that is being filled from several threads, with books of what is on disk. Must not know the network.

At any time at most `UNCLAIMED_BYTES` are fetched or asked for that the sidecar does not claim yet: whoever reads waits
for room first. One thread (`keep`) syncs the part and then claims it, over and over. So a power cut, like a kill,
costs at most that much to fetch again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from backends.models.download_disk import allocate, open_file, sync, write_at
from backends.models.download_sidecar import Claim
from backends.models.download_spans import Span, Spans

UNCLAIMED_BYTES = 1024 * 1024 - 64 * 1024  # what http.client holds back besides is less than the rest of 1 MiB
CLAIM_AT_BYTES = 320 * 1024
CLAIM_AFTER_S = 0.5
HASH_CHUNK = 1024 * 1024


class Part:
    """One part on disk. `claim` writes down durably what it is given; its OSErrors end the download."""

    def __init__(self, path: Path, size_bytes: int, claimed: Claim, claim: Callable[[Claim], None]) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self.etag = claimed.etag
        self._claim = claim
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._work = threading.Condition(self._lock)
        known = all(stop <= size_bytes for _start, stop in claimed.done) and path.exists()
        self._done = claimed.done.copy() if known else Spans()
        self._taken: dict[int, Span] = {}
        self._next_piece = 0
        self._reserved = self._unclaimed = self._waiting = self._writing = 0
        self._oldest_s = 0.0
        self._ended = False
        self._handle: int | None = None
        self.allocated = False

    def open(self) -> None:
        """Open the file and take its space on the disk. Raises OSError."""
        handle = self._handle = open_file(self.path)
        self.allocated = allocate(handle, self.size_bytes)
        if not self.allocated and os.fstat(handle).st_size > self.size_bytes:
            os.ftruncate(handle, self.size_bytes)

    @property
    def done_bytes(self) -> int:
        with self._lock:
            return self._done.total

    @property
    def complete(self) -> bool:
        with self._lock:
            return self._done.front >= self.size_bytes

    @property
    def front(self) -> int:
        with self._lock:
            return self._done.front

    def in_place(self) -> bool:
        """Whether the file is still the one at its path: a folder can go while its files are open."""
        assert self._handle is not None
        try:
            return os.path.samestat(os.fstat(self._handle), os.stat(self.path))
        except OSError:
            return False

    # -- for the threads that fetch --------------------------------------------------------------------------------

    def take(self, limit: int) -> tuple[int, Span] | None:
        """The next range that nobody has or fetches, at most `limit` long, with a number; None where there is none."""
        with self._lock:
            busy = self._done.copy()
            for start, stop in self._taken.values():
                busy.add(start, stop)
            gap = next(busy.gaps(self.size_bytes), None)
            if gap is None:
                return None
            self._next_piece += 1
            span = self._taken[self._next_piece] = (gap[0], min(gap[1], gap[0] + limit))
            return self._next_piece, span

    def give_back(self, piece: int) -> None:
        """Nobody fetches the rest of this piece now."""
        with self._lock:
            self._taken.pop(piece, None)

    def reserve(self, size_bytes: int) -> bool:
        """Wait until so many bytes may be fetched; False where the part has ended."""
        with self._lock:
            while not self._ended and self._reserved + self._unclaimed + size_bytes > UNCLAIMED_BYTES:
                self._waiting += 1
                self._work.notify()
                self._room.wait()
                self._waiting -= 1
            if self._ended:
                return False
            self._reserved += size_bytes
            return True

    def release(self, size_bytes: int) -> None:
        """What was reserved has been written, or did not come."""
        with self._lock:
            self._reserved -= size_bytes
            self._room.notify_all()

    def write(self, offset: int, data: bytes) -> None:
        """Write what came on a reservation. Raises OSError."""
        with self._lock:
            if self._ended or self._handle is None:
                return
            handle = self._handle
            self._writing += 1
        try:
            write_at(handle, data, offset)
        finally:
            with self._lock:
                self._writing -= 1
                self._room.notify_all()
        with self._lock:
            self._done.add(offset, offset + len(data))
            if not self._unclaimed:
                self._oldest_s = time.monotonic()
            self._unclaimed += len(data)
            if self._unclaimed >= CLAIM_AT_BYTES or self._waiting:
                self._work.notify()

    # -- for the thread that keeps the books ---------------------------------------------------------------------

    def keep(self) -> None:
        """Claim what was written until the part ends, and the rest after that. Raises OSError."""
        while True:
            with self._lock:
                while not self._ended and not self._is_due():
                    self._work.wait(CLAIM_AFTER_S / 2)
                ended, size = self._ended, self._unclaimed
                claim = Claim(self._done.copy(), self.etag)
            if size:
                self._settle(claim, size)
            elif ended:
                return

    def _is_due(self) -> bool:
        if not self._unclaimed:
            return False
        waited_s = time.monotonic() - self._oldest_s
        return self._unclaimed >= CLAIM_AT_BYTES or self._waiting > 0 or waited_s >= CLAIM_AFTER_S

    def _settle(self, claim: Claim, size: int) -> None:
        assert self._handle is not None
        sync(self._handle)
        self._claim(claim)
        with self._lock:
            self._unclaimed -= size
            self._oldest_s = time.monotonic()
            self._room.notify_all()

    def end(self) -> None:
        """No more is taken, reserved or written; whoever waits returns."""
        with self._lock:
            self._ended = True
            self._room.notify_all()
            self._work.notify_all()

    def close(self) -> None:
        """After `end`, once nothing is being written any more; idempotent."""
        with self._lock:
            self._ended = True
            while self._writing:
                self._room.wait()
            handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def hash_into(self, update: Callable[[memoryview], None], go_on: Callable[[], bool]) -> bool:
        """Feed the file in order as it grows, from the page cache if it is quick. True once all of it was fed.

        `go_on` is asked between chunks. Raises OSError.
        """
        buffer = memoryview(bytearray(HASH_CHUNK))
        at = 0
        with self.path.open("rb", buffering=0) as file:
            while at < self.size_bytes:
                if not go_on():
                    return False
                ready = min(self.front - at, HASH_CHUNK)
                if ready < min(HASH_CHUNK, self.size_bytes - at):
                    time.sleep(0.01)
                    continue
                count = file.readinto(buffer[:ready]) or 0
                if count == 0:
                    raise OSError(0, "the part is shorter than it was")
                update(buffer[:count])
                at += count
        return True
