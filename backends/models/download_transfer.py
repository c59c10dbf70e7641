"""Fetches one file: threads that read ranges, two that keep the books, one that hashes behind them, one that watches.

Must not know plans, queues or where the file goes in the end. It blocks, so it runs in a thread of its own; the engine
loop, on which answers are stamped, sees nothing of it.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from backends.models.download_disk import RESERVE_BYTES, folder_gone, free_bytes
from backends.models.download_http import Head, RangeClient
from backends.models.download_limit import Limiter
from backends.models.download_part import ROOM_BYTES, Part
from backends.models.download_reader import Pace, Reader
from backends.models.errors import DiskFull

TICK_S = 0.1
LOOK_S = 1.0
JOIN_S = 2.0


class Stopped(Exception):
    """Somebody stopped it; what came is kept."""


@dataclass
class Source:
    """Where the bytes are. `renew` gives a new address for one that is not honoured any more; it may block."""

    url: str
    renew: Callable[[], str]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def after(self, old: str) -> None:
        """See to an address newer than `old`; raises NearfarError."""
        with self._lock:
            if self.url == old:
                self.url = self.renew()


class Transfer:
    """One file on its way into a part. `run` once, from a thread; `stop` from any."""

    def __init__(
        self,
        part: Part,
        source: Source,
        client: Callable[[], RangeClient],
        limiter: Limiter,
        pace: Pace,
        *,
        whole: bool = False,
    ) -> None:
        self.part = part
        self._source = source
        self.limiter = limiter
        self.pace = pace
        self.whole = whole
        self._most = 1 if whole else min(pace.connections, -(-part.size_bytes // pace.segment_bytes))
        self._client = client
        self._readers: list[Reader] = []
        self._fetching: list[threading.Thread] = []
        self._began_s, self._began_bytes = time.monotonic(), part.done_bytes
        self.ended = threading.Event()
        self._stopped = False
        self._error: BaseException | None = None
        self._last_progress_s = time.monotonic()
        self._moved = False
        self._mark_lock = threading.Lock()
        self._sha256 = hashlib.sha256()
        self._hashed = threading.Event()

    def stop(self) -> None:
        self._stopped = True
        self.ended.set()
        for reader in self._readers:
            reader.client.abort()

    def fail(self, error: BaseException) -> None:
        """The first error is the one that counts."""
        if self._error is None:
            self._error = error
        self.ended.set()

    def run(self) -> str:
        """The sha256 of the whole file, once it is there; raises NearfarError, OSError, Stopped or StartAgain.

        Whatever was fetched is claimed in the sidecar by then.
        """
        keepers = [self._thread(self.part.keep, "keep") for _ in range(2)]
        hasher = self._thread(self._hash, "hash")
        try:
            for _ in range(max(1, min(self.pace.first_connections, self._most))):
                self._widen()
            self._watch()
        finally:
            self.ended.set()
            for reader in self._readers:
                reader.client.abort()
            self.part.end()
            deadline = time.monotonic() + JOIN_S
            for thread in self._fetching:  # one that looks up a name cannot be woken; it finds the part ended
                thread.join(max(0.0, deadline - time.monotonic()))
            for thread in (*keepers, hasher):
                thread.join()
        if self._error is not None and not (self._stopped and not isinstance(self._error, OSError)):
            raise self._error
        if not (self.part.complete and self._hashed.is_set()):
            raise Stopped
        return self._sha256.hexdigest()

    def _thread(self, work: Callable[[], None], name: str) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001  raised again by `run`
                self.fail(error)

        thread = threading.Thread(target=run, name=f"download-{name}", daemon=True)
        thread.start()
        return thread

    def _hash(self) -> None:
        if self.part.hash_into(self._sha256.update, lambda: not self.ended.is_set()):
            self._hashed.set()
            self.ended.set()

    def _watch(self) -> None:
        looked_s = time.monotonic()
        while not self.ended.wait(TICK_S):
            for reader in self._readers:
                reader.look()
            now = time.monotonic()
            if self._more_may_help(now):
                self._widen()
            if now - looked_s >= LOOK_S:
                looked_s = now
                self._look_at_disk()

    def _widen(self) -> None:
        reader = Reader(self, self._client())
        self._readers.append(reader)
        self._fetching.append(self._thread(reader.run, "fetch"))

    def _more_may_help(self, now: float) -> bool:
        count, passed_s = len(self._readers), now - self._began_s
        if count >= self._most or passed_s < count * self.pace.widen_s:
            return False
        return self.part.done_bytes - self._began_bytes < self.pace.enough_bytes_s * passed_s

    def _look_at_disk(self) -> None:
        folder = self.part.path.parent
        if not self.part.in_place():
            self.fail(folder_gone(folder.parent))
        elif not self.part.allocated and free_bytes(folder) < RESERVE_BYTES // 2:
            self.fail(DiskFull(f"The disk of {folder.parent} is almost full."))

    # -- for the readers -----------------------------------------------------------------------------------------

    def url(self) -> str:
        return self._source.url

    def chunk(self) -> int:
        """How much a reader may hold: what all of them do is lost by a kill, and half of the room is for writing."""
        return min(self.limiter.chunk(), ROOM_BYTES // 2 // len(self._readers))

    def renew(self, old: str) -> None:
        self._source.after(old)

    def progressed(self) -> None:
        self._last_progress_s = time.monotonic()
        self._moved = True

    def may_try_again(self, failures: int) -> bool:
        if self._moved:
            return time.monotonic() - self._last_progress_s < self.pace.give_up_s
        return failures < self.pace.first_tries

    def same_file(self, head: Head) -> bool:
        """Whether a server sends the same file as before. Hosts have ETags of their own, so only a host's own count."""
        if head.etag is None:
            return True
        with self._mark_lock:
            mark = f"{head.host} {head.etag}"[:500]
            before = self.part.etag
            if before is None or before.split(" ", 1)[0] != head.host:
                self.part.etag = mark
                return True
            return before == mark
