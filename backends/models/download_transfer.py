"""Fetches one file: threads that read ranges, one that keeps the books, one that hashes behind them, one that watches.

Must not know plans, queues or where the file goes in the end. It blocks, so it runs in a thread of its own; the engine
loop, on which answers are stamped, sees nothing of it.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from backends.models.download_disk import RESERVE_BYTES, disk_problem, folder_gone, free_bytes
from backends.models.download_http import Expired, Head, Lost, NoRanges, RangeClient
from backends.models.download_limit import Limiter
from backends.models.download_part import Part
from backends.models.errors import DiskFull, HubUnreachable, NotTheFile

MAGIC = b"GGUF"
TICK_S = 0.1
LOOK_S = 1.0
JOIN_S = 2.0
SLOWEST_BYTES_S = 1024
PROGRESS_BYTES = 64 * 1024
MAX_RENEWALS = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """How a download goes about it. Once bytes flowed, a dead network is tried again for `give_up_s`."""

    connections: int = 4
    segment_bytes: int = 32 * 2**20
    stall_s: float = 30.0
    give_up_s: float = 120.0
    first_tries: int = 3
    stalls: int = 2
    backoff_s: float = 0.5
    max_backoff_s: float = 15.0


class Stopped(Exception):
    """Somebody stopped it; what came is kept."""


class StartAgain(Exception):
    """What is there does not go together with what the server sends now. `whole`: it knows no ranges."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        self.whole = whole


@dataclass
class Source:
    """Where the bytes are. `renew` gives a new address for one that is not honoured any more; it may block."""

    url: str
    renew: Callable[[], str]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def after(self, old: str) -> str:
        """An address newer than `old`; raises NearfarError."""
        with self._lock:
            if self.url == old:
                self.url = self.renew()
            return self.url


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
        self.source = source
        self.limiter = limiter
        self.pace = pace
        self.whole = whole
        count = 1 if whole else max(1, min(pace.connections, -(-part.size_bytes // pace.segment_bytes)))
        self._readers = [_Reader(self, client()) for _ in range(count)]
        self.ended = threading.Event()
        self._stopped = False
        self._error: BaseException | None = None
        self._last_progress_s = time.monotonic()
        self._moved = False
        self._mark_lock = threading.Lock()
        self._etags: dict[str, str] = {}
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
        """The sha256 of the whole file, once it is there; raises NearfarError, OSError, Stopped or StartAgain."""
        keeper = self._thread(self.part.keep, "keep")
        hasher = self._thread(self._hash, "hash")
        threads = [self._thread(reader.run, "fetch") for reader in self._readers]
        try:
            self._watch()
        finally:
            self.ended.set()
            for reader in self._readers:
                reader.client.abort()
            self.part.end()
            deadline = time.monotonic() + JOIN_S
            for thread in threads:  # one that looks up a name cannot be woken; it finds the part ended
                thread.join(max(0.0, deadline - time.monotonic()))
            keeper.join()
            hasher.join()
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
            if now - looked_s >= LOOK_S:
                looked_s = now
                self._look_at_disk()

    def _look_at_disk(self) -> None:
        folder = self.part.path.parent
        if not self.part.in_place():
            self.fail(folder_gone(folder.parent))
        elif not self.part.allocated and free_bytes(folder) < RESERVE_BYTES // 2:
            self.fail(DiskFull(f"The disk of {folder.parent} is almost full."))

    # -- for the readers -----------------------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        return self.ended.is_set()

    def wait(self, seconds: float) -> bool:
        """False where it ended meanwhile."""
        return not self.ended.wait(seconds)

    def progressed(self) -> None:
        self._last_progress_s = time.monotonic()
        self._moved = True

    def may_try_again(self, failures: int) -> bool:
        if self._moved:
            return time.monotonic() - self._last_progress_s < self.pace.give_up_s
        return failures < self.pace.first_tries

    def same_file(self, head: Head) -> bool:
        """Whether a server sends the same file as before. Each host has ETags of its own, so only a host's own count."""
        if head.etag is None:
            return True
        with self._mark_lock:
            mark = f"{head.host} {head.etag}"[:500]
            before = self.part.etag
            if before is None or before.split(" ", 1)[0] != head.host:
                self.part.etag = mark
                return True
            return before == mark


class _Reader:
    """One connection's thread."""

    def __init__(self, transfer: Transfer, client: RangeClient) -> None:
        self._transfer = transfer
        self._part = transfer.part
        self._pace = transfer.pace
        self.client = client
        self._receiving = False
        self._mark: tuple[float, int] | None = None
        self._stalled = False
        self._failures = self._stalls = self._renewals = self._since_failure = self._at = 0

    def run(self) -> None:
        try:
            while not self._transfer.is_over and (piece := self._part.take(self._limit())) is not None:
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
        while start < stop and not self._transfer.is_over:
            url = self._transfer.source.url
            try:
                start = self._go(url, start, stop)
            except Expired:
                self._renew(url)
            except Lost as lost:
                start = self._at
                self._pause(lost)
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
                limit = min(self._transfer.limiter.chunk(), head.stop - self._at)
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
        """One read and its write; how many bytes it was."""
        data = self._read(limit)
        if self._at == 0 and not data.startswith(MAGIC):
            raise NotTheFile("What the server sent is not a GGUF file.", safe="Nothing of it was kept.")
        try:
            self._part.write(self._at, data)
        except OSError as error:
            raise disk_problem(error, self._part.path.parent.parent) from error
        self._at += len(data)
        self._since_failure += len(data)
        if self._since_failure >= PROGRESS_BYTES or self._at >= self._part.size_bytes:
            self._failures = self._stalls = self._renewals = 0
            self._transfer.progressed()
        return len(data)

    def _read(self, limit: int) -> bytes:
        """What comes next; at the start of the file at least as much as tells what it is. Raises Lost."""
        data = b""
        try:
            while len(data) < (min(len(MAGIC), limit) if self._at == 0 else 1):
                more = self.client.read(limit - len(data))
                if not more:
                    raise Lost(HubUnreachable("The server ended the connection too early, again and again."))
                data += more
        except Lost as lost:
            raise self._as_stall(lost) from lost
        return data

    def _renew(self, url: str) -> None:
        self._renewals += 1
        if self._renewals > MAX_RENEWALS:
            raise HubUnreachable("The hub gives addresses for this file that are refused again and again.")
        self._transfer.source.after(url)

    def _as_stall(self, lost: Lost) -> Lost:
        if not self._stalled and not isinstance(lost.__cause__, TimeoutError):
            return lost
        self._stalled = False
        self._stalls += 1
        self._failures += 1
        seconds = f"{self._pace.stall_s:.0f} seconds"
        return Lost(HubUnreachable(f"The server stopped sending: almost nothing came for {seconds}."))

    def _pause(self, lost: Lost) -> None:
        """Wait before the next try, or give up."""
        self._failures += 1
        self._since_failure = 0
        if self._transfer.is_over:
            return
        if self._stalls >= self._pace.stalls or not self._transfer.may_try_again(self._failures):
            raise lost.problem
        delay_s = min(self._pace.backoff_s * 2 ** (self._failures - 1), self._pace.max_backoff_s)
        self._transfer.wait(max(delay_s, min(lost.wait_s or 0.0, 60.0)))

    def look(self) -> None:
        """From the watching thread: end a connection that is open and brings next to nothing."""
        now, received = time.monotonic(), self.client.bytes_received
        mark = self._mark
        limit = self._transfer.limiter.bytes_s
        if not self._receiving or mark is None or received < mark[1] or (limit is not None and limit < 65536):
            self._mark = (now, received) if self._receiving else None
            return
        if now - mark[0] < self._pace.stall_s:
            return
        self._mark = (now, received)
        if received - mark[1] < SLOWEST_BYTES_S * self._pace.stall_s:
            self._stalled = True
            self.client.drop()
