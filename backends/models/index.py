"""What the library remembers of files between two starts, as one JSON file. Must not look at models, only at itself.

Everything in it can be had again: headers and names from the files, hashes by reading them. So a damaged file is set
aside and a missing one is no error; one that cannot be read for a moment is left alone. A proof of a hash is bound to
device, inode, size and time of change (`Stamp`).
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from backends.file_lock import alone
from backends.files import replace_file
from backends.models.records import Origin
from backends.version import APP_VERSION

log = logging.getLogger(__name__)

INDEX_FILE = "models.json"
VERSION = 1
MAX_INDEX_BYTES = 64 * 2**20
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which bytes a hash was taken of, as far as the file system can say without reading them."""

    dev: int
    inode: int
    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Stamp:
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)

    def looks_like(self, other: Stamp) -> bool:
        """Whether size and time agree. A drive that is sdc now, a network share mounted again, or a copy that kept its
        time has other numbers for device and inode: that proves no change, only that nobody has read these bytes yet.
        """
        return (self.size_bytes, self.mtime_ns) == (other.size_bytes, other.mtime_ns)


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """What a list of models shows of a header. `problem` is a sentence where llama.cpp could not open the file."""

    quant: str | None = None
    architecture: str | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """A hash that was taken here. `matched` is None where nothing was known to compare it with."""

    stamp: Stamp
    sha256: str
    matched: bool | None


@dataclass(frozen=True, slots=True)
class FileNote:
    """What is known of one file. `expected_sha256` is what its source said, not what was found."""

    stamp: Stamp | None = None
    header: HeaderFacts | None = None
    proof: Proof | None = None
    expected_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model that another program keeps. `sha256` is what that program says of its files, which proves nothing yet."""

    origin: Origin
    name: str
    files: tuple[Path, ...]
    missing_parts: tuple[str, ...] = ()
    sha256: tuple[str | None, ...] = ()
    repo: str | None = None
    repo_path: str | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """How a downloaded model was called, where the catalogue does not say it."""

    ref: str
    name: str
    licence_tag: str | None = None


@dataclass(slots=True)
class Index:
    """Notes by file, names by first file, dates of use by ref, what was found with other programs, and models folders.

    A file in the models folder goes by its path there, with slashes, so that the folder can be moved; any other by its
    whole path. `homes` are the folders that held models, as device and inode (see `home`).
    """

    version: int = VERSION
    app_version: str = APP_VERSION
    files: dict[str, FileNote] = field(default_factory=dict)
    named: dict[str, Named] = field(default_factory=dict)
    used: dict[str, datetime] = field(default_factory=dict)
    found: tuple[FoundModel, ...] = ()
    homes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def note(self, key: str) -> FileNote:
        return self.files.get(key, FileNote())

    def prove(self, key: str, proof: Proof, expected_sha256: str | None = None) -> None:
        note = self.note(key)
        self.files[key] = replace(note, proof=proof, expected_sha256=expected_sha256 or note.expected_sha256)


_ADAPTER = TypeAdapter(Index)


class IndexFile:
    """The file itself. Safe from any thread and process; what another one wrote is read before it is changed.

    A file that is not understood, damaged or of another version, is set aside whole before one is put in its place.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._index = Index()
        self._seen: Stamp | None = None
        self._digest = b""
        self._loaded = False
        self._unreadable = False
        self._aside = ""

    def read(self) -> Index:
        """The index as it is on disk now; empty where it is missing or not understood. Never raises. Do not change it.

        Where it cannot be read for a moment, what is in memory holds on.
        """
        with self._lock:
            self._refresh()
            return self._index

    def change(self, work: Callable[[Index], T]) -> T:
        """Let `work` change the index, then write it. A disk that refuses leaves the change in memory alone."""
        with self._lock, ExitStack() as stack:
            try:
                stack.enter_context(alone(self.path))
                locked = True
            except OSError as error:
                log.warning("the list of models could not be locked: %s", error.strerror)
                locked = False
            self._refresh(exactly=True)
            result = work(self._index)
            if locked and not self._unreadable:
                self._save()
            return result

    def _save(self) -> None:
        raw = _ADAPTER.dump_json(self._index, indent=1)
        try:
            if self._aside:
                target = Path(os.path.realpath(self.path))
                os.replace(target, target.with_name(target.name + self._aside))
                self._aside = ""
            replace_file(self.path, raw)
            self._seen, self._digest = Stamp.of(self.path.stat()), _digest(raw)
        except OSError as error:
            log.warning("the list of models could not be saved: %s", error.strerror)

    def _refresh(self, *, exactly: bool = False) -> None:
        """Take over what another wrote. `exactly`: compare the bytes, since two writes may have one stamp."""
        self._unreadable = False
        try:
            now = Stamp.of(self.path.stat())
            if self._loaded and now == self._seen and not exactly:
                return
            with self.path.open("rb") as file:
                raw = file.read(MAX_INDEX_BYTES + 1)
        except FileNotFoundError:
            self._aside = ""
            return
        except OSError as error:
            log.warning("the list of models could not be read: %s", error.strerror)
            self._unreadable = True
            return
        digest = _digest(raw)
        if not self._loaded or digest != self._digest:
            self._index, self._aside = _understood(raw)
        self._seen, self._digest, self._loaded = now, digest, True


def _digest(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


def _understood(raw: bytes) -> tuple[Index, str]:
    """The index, empty where `raw` is none of ours, and then how the name of the file that is set aside ends."""
    try:
        index = _ADAPTER.validate_json(raw)
    except ValidationError:
        log.warning("the list of models is damaged and is made anew from the folder")
        return Index(), ".bad"
    if index.version != VERSION:
        log.warning("the list of models is of version %d and is made anew from the folder", index.version)
        return Index(), f".version-{index.version}"
    if index.app_version != APP_VERSION:  # what another version thought of a header is asked again
        index.app_version = APP_VERSION
        index.files = {key: replace(note, header=None) for key, note in index.files.items()}
    return index, ""
