"""What the two servers of the stand-in hub share: files, signed addresses, what was asked and sent, what goes wrong.

Must not know the app's code.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any


@functools.lru_cache(maxsize=256)
def _sha256(path: Path, _stamp: tuple[int, int]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(path: Path) -> str:
    stat = path.stat()
    return _sha256(path, (stat.st_size, stat.st_mtime_ns))


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass
class Sent:
    """Bytes of a file that were handed to the kernel, as one range."""

    path: Path
    start: int
    stop: int


@dataclass(frozen=True)
class Wanted:
    """What a request asks of a file."""

    file: Path
    size: int
    start: int
    stop: int
    etag: str

    def read(self, start: int | None = None, stop: int | None = None) -> bytes:
        start, stop = self.start if start is None else start, self.stop if stop is None else stop
        with self.file.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)

    def whole(self) -> Wanted:
        return replace(self, start=0, stop=self.size)

    def head(self, total: int | None = None) -> dict[str, str]:
        return {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(self.stop - self.start),
            "Content-Range": f"bytes {self.start}-{self.stop - 1}/{total or self.size}",
            "ETag": self.etag,
        }


@dataclass
class Hub:
    """What both servers share. Change `fault`, `gated` and the rest while it runs, as a test needs."""

    folder: Path
    gated: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    token: str = "hf_standin"
    fault: str | None = None
    fault_times: int | None = None
    lifetime_requests: int | None = None
    bytes_s: float | None = None
    send_buffer: int | None = None
    extra_names: tuple[str, ...] = ()
    vouches: dict[Path, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    cdn_seen: list[Seen] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    cdn_url: str = ""
    ending: threading.Event = field(default_factory=threading.Event)
    _signed: dict[str, list[Any]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def files(self, repo: str) -> dict[str, Path] | None:
        base = self.folder / repo
        if not base.is_dir():
            return None
        return {path.relative_to(base).as_posix(): path for path in sorted(base.rglob("*")) if path.is_file()}

    def commit(self, repo: str) -> str:
        return hashlib.sha1(repo.encode()).hexdigest()

    def vouched(self, path: Path) -> str:
        """The sha256 that the hub names: the file's own, unless it is to name another."""
        return self.vouches.get(path) or sha256_of(path)

    def take_fault(self, kinds: Mapping[str, Any]) -> Any | None:
        with self._lock:
            if self.fault is None or self.fault not in kinds or self.fault_times == 0:
                return None
            if self.fault_times is not None:
                self.fault_times -= 1
            return kinds[self.fault]

    def sign(self, path: Path) -> str:
        number = f"sig{next(self._numbers)}"
        self._signed[number] = [path, 0]
        return f"{self.cdn_url}/repos/{sha256_of(path)}?Expires=1790000000&Signature={number}"

    def redeem(self, number: str) -> Path | None:
        """None for an address that was never given or has expired."""
        with self._lock:
            entry = self._signed.get(number)
            if entry is None or (self.lifetime_requests is not None and entry[1] >= self.lifetime_requests):
                return None
            entry[1] += 1
            return Path(entry[0])

    @property
    def served_bytes(self) -> int:
        return sum(sent.stop - sent.start for sent in self.sent)
