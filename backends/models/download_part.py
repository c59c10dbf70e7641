"""A file that is being filled from several threads, with books of what is on disk. Must not know the network.

Two promises, kept by whoever reads from the network waiting for room first:

    a kill        costs at most 1 MiB to fetch again. Every write is noted in the sidecar at once, with a checksum.
    a power cut   costs at most what was not synced: 1 MiB, unless syncing that often would slow the download down.
                  Then the room grows, at most to MAX_ROOM_BYTES: what such a network brings in a fraction of a second.

Two threads (`keep`) sync the part and then claim what is on disk, over and over.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from backends.models.download_disk import allocate, forget, open_file, sync, write_at
from backends.models.download_sidecar import Claim, Note, Sidecar
from backends.models.download_spans import Span, Spans

ROOM_BYTES = 1024 * 1024 - 64 * 1024  # what http.client holds back besides is less than the rest of 1 MiB
MAX_ROOM_BYTES = 64 * 1024 * 1024
CLAIM_AFTER_S = 0.5
HASH_CHUNK = 1024 * 1024
MAX_NOTE_BYTES = 1024 * 1024
MARK_STEP = 64


def mark_of(data: bytes | bytearray, size_bytes: int) -> int:
    """Tells bytes that were written from sectors that never reached the disk: CRC-32 of every 64th byte.

    All bytes would cost a tenth of a fast download's time. A flipped bit is found by the sha256, as everywhere.
    """
    return zlib.crc32(data[:size_bytes:MARK_STEP])


class Part:
    """The part of the file at `index` of a sidecar's plan."""

    def __init__(self, path: Path, size_bytes: int, sidecar: Sidecar, index: int) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self._sidecar = sidecar
        self._index = index
        self._before = sidecar.claim(index)
        self.etag = self._before.etag
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._work = threading.Condition(self._lock)
        self._syncing = threading.Lock()
        self._done = Spans()
        self._taken: dict[int, Span] = {}
        self._next_piece = 0
        self._reserved = self._unclaimed = self._claiming = self._waiting = self._writing = 0
        self._room_bytes = ROOM_BYTES
        self._was_full = False
        self._oldest_s = 0.0
        self._ended = self._lost = False
        self._handle: int | None = None
        self.allocated = False

    def open(self) -> None:
        """Open the file, take its space on the disk and find out what is there. Raises OSError."""
        handle = self._handle = open_file(self.path)
        there = os.fstat(handle).st_size
        self.allocated = allocate(handle, self.size_bytes)
        if there > self.size_bytes:
            os.ftruncate(handle, self.size_bytes)
        if all(stop <= min(there, self.size_bytes) for _start, stop in self._before.done):
            self._done = self._before.done.copy()
            if self._before.notes:
                sync(handle)
                forget(handle)
            for note in self._before.notes:
                if note.stop <= min(there, self.size_bytes) and self._holds(note):
                    self._done.add(note.start, note.stop)
                    self._unclaimed += note.stop - note.start

    def _holds(self, note: Note) -> bool:
        with self.path.open("rb", buffering=0) as file:
            file.seek(note.start)
            data = file.read(min(note.stop - note.start, MAX_NOTE_BYTES))
        return len(data) == note.stop - note.start and mark_of(data, len(data)) == note.mark

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
            while not self._ended and self._at_stake + size_bytes > self._room_bytes:
                self._was_full = True
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

    def write(self, offset: int, data: bytes | bytearray, size_bytes: int) -> None:
        """Write the first `size_bytes` of `data`, which came on a reservation. Raises OSError."""
        with self._lock:
            if self._ended or self._handle is None:
                return
            handle = self._handle
            self._writing += 1
        try:
            write_at(handle, memoryview(data)[:size_bytes], offset)
            self._sidecar.note(self._index, Note(offset, offset + size_bytes, mark_of(data, size_bytes)))
        finally:
            with self._lock:
                self._writing -= 1
                self._room.notify_all()
        with self._lock:
            self._done.add(offset, offset + size_bytes)
            if not self._unclaimed:
                self._oldest_s = time.monotonic()
            self._unclaimed += size_bytes
            if self._unclaimed >= self._claim_at or self._waiting:
                self._work.notify()

    @property
    def _at_stake(self) -> int:
        return self._reserved + self._unclaimed + self._claiming

    @property
    def _claim_at(self) -> int:
        """So that one half of the room can be filled while the other is synced."""
        return self._room_bytes // 3

    # -- for the thread that keeps the books ---------------------------------------------------------------------

    def keep(self) -> None:
        """Claim what was written until the part ends, and the rest after that. Raises OSError.

        Two threads may do so at once: one syncs the part while the other syncs its claim.
        """
        while True:
            with self._syncing:
                size, claim = self._due()
                if not size:
                    return
                assert self._handle is not None
                try:
                    sync(self._handle)
                except OSError:
                    self._distrust()
                    raise
            self._sidecar.put(self._index, claim)
            with self._lock:
                self._claiming -= size
                self._fit_room(size)
                self._room.notify_all()

    def _distrust(self) -> None:
        """A sync failed: the next would say that all is well, so what was not claimed before it never is."""
        with self._lock:
            self._lost = self._ended = True
            self._room.notify_all()
            self._work.notify_all()
            while self._writing:
                self._room.wait()
        with contextlib.suppress(OSError):  # on such a disk this may fail too; a note is checked before it is believed
            self._sidecar.drop_notes(self._index)

    def _due(self) -> tuple[int, Claim]:
        """Wait until something should be claimed; how many bytes, 0 where the part has ended."""
        with self._lock:
            while not self._ended and not self._is_due():
                self._work.wait(CLAIM_AFTER_S / 2)
            size, self._unclaimed = 0 if self._lost else self._unclaimed, 0
            self._claiming += size
            return size, Claim(self._done.copy(), self.etag)

    def _is_due(self) -> bool:
        if not self._unclaimed:
            return False
        waited_s = time.monotonic() - self._oldest_s
        return self._unclaimed >= self._claim_at or self._waiting > 0 or waited_s >= CLAIM_AFTER_S

    def _fit_room(self, size: int) -> None:
        """Where the disk is slower than the network, sync more at once; less as soon as that is enough again."""
        if self._was_full:
            self._room_bytes = min(2 * self._room_bytes, MAX_ROOM_BYTES)
        elif size < self._room_bytes // 4:
            self._room_bytes = max(self._room_bytes // 2, ROOM_BYTES)
        self._was_full = False

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
