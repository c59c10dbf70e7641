"""The file beside a part that says what it is and which of its bytes are on disk. Must not write the part itself.

Lines of JSON. The first holds the plan with sizes and hashes. A *claim* says which bytes of one file are on disk for
certain; the last one about a file counts. A *note* says which bytes were written but perhaps not synced yet, with their
checksum: after a kill they are there, after a power cut they may be, and reading them again tells. A *proof* says that
a whole file had the right sha256, and of exactly which file on disk that was found, so that it is not read again.
A line that a power cut left in pieces is passed over.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from backends.files import replace_file
from backends.models.download_disk import open_file, sync
from backends.models.download_spans import Spans
from backends.models.index import Stamp
from backends.models.records import DownloadPlan

log = logging.getLogger(__name__)

MAX_BYTES = 8 * 2**20
MAX_SPANS = 1000
REWRITE_AFTER_BYTES = 512 * 1024
Offset = Annotated[int, Field(ge=0, lt=2**53)]


class _Head(BaseModel):
    model_config = ConfigDict(extra="ignore", defer_build=True)

    nearfar_download: Literal[1]
    plan: DownloadPlan


class _Claim(BaseModel):
    model_config = ConfigDict(extra="ignore")

    file: Annotated[int, Field(ge=0, lt=1000)]
    done: Annotated[list[tuple[Offset, Offset]], Field(max_length=MAX_SPANS)]
    etag: Annotated[str, Field(max_length=500)] | None = None


class _Note(BaseModel):
    model_config = ConfigDict(extra="ignore")

    file: Annotated[int, Field(ge=0, lt=1000)]
    wrote: tuple[Offset, Offset]
    mark: Annotated[int, Field(ge=0, lt=2**32)]


class _Proof(BaseModel):
    model_config = ConfigDict(extra="ignore")

    file: Annotated[int, Field(ge=0, lt=1000)]
    verified: Stamp


# Made when a download is met, which most starts do not.
@cache
def _plan() -> TypeAdapter[DownloadPlan]:
    return TypeAdapter(DownloadPlan)


@cache
def _line() -> TypeAdapter[_Claim | _Note | _Proof]:
    return TypeAdapter(_Claim | _Note | _Proof)


@dataclass(frozen=True, slots=True)
class Note:
    """Bytes `start` to `stop` were written; `mark` is their checksum."""

    start: int
    stop: int
    mark: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Bytes of one file that are on disk, and the server's own mark of what they are bytes of (its ETag).

    `notes` are of bytes that may be there besides.
    """

    done: Spans = field(default_factory=Spans)
    etag: str | None = None
    notes: tuple[Note, ...] = ()

    @property
    def likely_bytes(self) -> int:
        """How many bytes are there if every note holds."""
        return Spans([*self.done, *((note.start, note.stop) for note in self.notes)]).total


class Sidecar:
    """One sidecar, open for writing by whoever holds the download's lock; safe from its threads. Raises OSError."""

    def __init__(
        self,
        path: Path,
        plan: DownloadPlan,
        claims: dict[int, Claim] | None = None,
        proofs: dict[int, Stamp] | None = None,
    ) -> None:
        self.path = path
        self.plan = plan
        self._claims = claims or {}
        self._proofs = proofs or {}
        self._lock = threading.Lock()
        self._handle: int | None = None
        self._length = self._rewrite_at = 0

    def claim(self, index: int) -> Claim:
        """What is on disk of the file at `index` of the plan."""
        with self._lock:
            return self._claims.get(index, Claim())

    def proof(self, index: int) -> Stamp | None:
        """Of which file on disk it was found that it is the one at `index`, whole and right."""
        with self._lock:
            return self._proofs.get(index)

    @property
    def done_bytes(self) -> int:
        """Of the parts, if every note holds; files that have their names already are not counted."""
        with self._lock:
            return sum(claim.likely_bytes for claim in self._claims.values())

    def write(self) -> None:
        """Write all of it anew, durably."""
        with self._lock:
            self._write()

    def put(self, index: int, claim: Claim) -> None:
        """Claim these bytes besides those claimed before, durably. They must be on disk already."""
        with self._lock:
            done = Spans([*self._claims.get(index, Claim()).done, *claim.done])
            claim = replace(claim, done=done)
            left = [note for note in self._notes(index) if not claim.done.covers(note.start, note.stop)]
            self._claims[index] = replace(claim, notes=tuple(left))
            if self._handle is None or self._length > self._rewrite_at:
                self._write()
                return
            self._append(_claim_line(index, claim))
            handle = os.dup(self._handle)
        try:
            sync(handle)  # without the lock, so that nobody who writes a note waits for the disk
        finally:
            os.close(handle)

    def note(self, index: int, note: Note) -> None:
        """Write down, not durably, what was just written to the part."""
        with self._lock:
            claim = self._claims.get(index, Claim())
            self._claims[index] = replace(claim, notes=(*claim.notes, note))
            self._append(_note_line(index, note))

    def drop_notes(self, index: int) -> None:
        """What was written of this file and not claimed is not there any more, durably."""
        with self._lock:
            self._claims[index] = replace(self._claims.get(index, Claim()), notes=())
            self._write()

    def prove(self, index: int, stamp: Stamp) -> None:
        """The file at `index` is whole, with the right sha256. Not durable: losing it costs the time to read it."""
        with self._lock:
            self._proofs[index] = stamp
            self._append(_proof_line(index, stamp))

    def clear(self, index: int) -> None:
        """Nothing is there of this file any more, durably."""
        with self._lock:
            self._claims.pop(index, None)
            self._proofs.pop(index, None)
            self._write()

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            self._close()

    def _notes(self, index: int) -> tuple[Note, ...]:
        return self._claims.get(index, Claim()).notes

    def _append(self, line: str) -> None:
        if self._handle is not None:
            self._length += os.write(self._handle, (line + "\n").encode())

    def _write(self) -> None:
        self._close()
        if not self.path.parent.is_dir():  # a folder on a drive that was removed is not made again elsewhere
            raise FileNotFoundError(errno.ENOENT, "the folder is gone")
        lines = [json.dumps({"nearfar_download": 1, "plan": _plan().dump_python(self.plan, mode="json")})]
        for index, claim in self._claims.items():
            lines += [_claim_line(index, claim), *(_note_line(index, note) for note in claim.notes)]
        lines += [_proof_line(index, stamp) for index, stamp in self._proofs.items()]
        replace_file(self.path, "".join(line + "\n" for line in lines).encode())
        self._handle = open_file(self.path)
        self._length = os.lseek(self._handle, 0, os.SEEK_END)
        self._rewrite_at = self._length + REWRITE_AFTER_BYTES

    def _close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


def _claim_line(index: int, claim: Claim) -> str:
    return json.dumps({"file": index, "done": list(claim.done)[:MAX_SPANS], "etag": claim.etag})


def _note_line(index: int, note: Note) -> str:
    return f'{{"file":{index},"wrote":[{note.start},{note.stop}],"mark":{note.mark}}}'


def _proof_line(index: int, stamp: Stamp) -> str:
    return json.dumps({"file": index, "verified": asdict(stamp)})


def read_sidecar(path: Path) -> Sidecar | None:
    """The sidecar at `path`; None where there is none, or none that can be read. Raises OSError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    first, *lines = raw[:MAX_BYTES].split(b"\n")
    try:
        plan = _Head.model_validate_json(first).plan
    except ValidationError:
        log.warning("a download's notes cannot be read, so it starts from the beginning")
        return None
    claims: dict[int, Claim] = {}
    notes: dict[int, list[Note]] = {}
    proofs: dict[int, Stamp] = {}
    for line in lines:
        try:
            read = _line().validate_json(line)
        except ValidationError:
            continue
        if isinstance(read, _Note):
            notes.setdefault(read.file, []).append(Note(*read.wrote, read.mark))
        elif isinstance(read, _Proof):
            proofs[read.file] = read.verified
        else:
            claims[read.file] = Claim(Spans(read.done), read.etag)
    for index, written in notes.items():
        claim = claims.get(index, Claim())
        left = tuple(note for note in written if not claim.done.covers(note.start, note.stop))
        claims[index] = replace(claim, notes=left)
    return Sidecar(path, plan, claims, proofs)
