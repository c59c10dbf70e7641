"""The file beside a part that says what it is and which of its bytes are on disk. Must not write the part itself.

Lines of JSON: the first holds the plan with sizes and hashes, each later one the bytes of one file that are on disk;
the last line about a file counts. A line that a power cut left in pieces is passed over.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from backends.files import replace_file
from backends.models.download_disk import open_file, sync
from backends.models.download_spans import Spans
from backends.models.records import DownloadPlan

log = logging.getLogger(__name__)

MAX_BYTES = 8 * 2**20
MAX_SPANS = 1000
REWRITE_AFTER_BYTES = 256 * 1024
Offset = Annotated[int, Field(ge=0, lt=2**53)]


class _Head(BaseModel):
    model_config = ConfigDict(extra="ignore")

    nearfar_download: Literal[1]
    plan: DownloadPlan


class _Claim(BaseModel):
    model_config = ConfigDict(extra="ignore")

    file: Annotated[int, Field(ge=0, lt=1000)]
    done: Annotated[list[tuple[Offset, Offset]], Field(max_length=MAX_SPANS)]
    etag: Annotated[str, Field(max_length=500)] | None = None


_PLAN = TypeAdapter(DownloadPlan)


@dataclass(slots=True)
class Claim:
    """Bytes of one file that are on disk, and the server's own mark of what they are bytes of (its ETag)."""

    done: Spans = field(default_factory=Spans)
    etag: str | None = None


class Sidecar:
    """One sidecar, open for writing by whoever holds the download's lock. Its methods raise OSError."""

    def __init__(self, path: Path, plan: DownloadPlan, claims: dict[int, Claim] | None = None) -> None:
        self.path = path
        self.plan = plan
        self._claims = claims or {}
        self._handle: int | None = None
        self._length = self._rewrite_at = 0

    def claim(self, index: int) -> Claim:
        """What is on disk of the file at `index` of the plan."""
        return self._claims.get(index, Claim())

    @property
    def done_bytes(self) -> int:
        return sum(claim.done.total for claim in self._claims.values())

    def write(self) -> None:
        """Write all of it anew, durably."""
        self.close()
        if not self.path.parent.is_dir():  # a folder on a drive that was removed is not made again elsewhere
            raise FileNotFoundError(errno.ENOENT, "the folder is gone")
        head = {"nearfar_download": 1, "plan": _PLAN.dump_python(self.plan, mode="json")}
        lines = [json.dumps(head), *(_line(index, claim) for index, claim in self._claims.items())]
        content = "".join(line + "\n" for line in lines).encode()
        replace_file(self.path, content)
        self._handle = open_file(self.path)
        self._length = os.lseek(self._handle, 0, os.SEEK_END)
        self._rewrite_at = self._length + REWRITE_AFTER_BYTES

    def put(self, index: int, claim: Claim) -> None:
        """Claim these bytes, durably. They must be on disk already."""
        self._claims[index] = claim
        if self._handle is None or self._length > self._rewrite_at:
            self.write()
            return
        self._length += os.write(self._handle, (_line(index, claim) + "\n").encode())
        sync(self._handle)

    def close(self) -> None:
        """Idempotent."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


def _line(index: int, claim: Claim) -> str:
    return json.dumps({"file": index, "done": list(claim.done)[:MAX_SPANS], "etag": claim.etag})


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
    for line in lines:
        try:
            read = _Claim.model_validate_json(line)
        except ValidationError:
            continue
        claims[read.file] = Claim(Spans(read.done), read.etag)
    return Sidecar(path, plan, claims)
