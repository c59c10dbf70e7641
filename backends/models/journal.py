"""What a move of the models folder has done so far, on disk before it is done. Must not move anything itself.

A process that dies in the middle leaves this file; the next start knows from it which way leads to one whole folder.
"""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import psutil
from pydantic import TypeAdapter, ValidationError

from backends.files import flush_folder, replace_file
from backends.models.index import Stamp

log = logging.getLogger(__name__)

MAX_JOURNAL_BYTES = 16 * 2**20
Way = Literal["rename", "copy"]


@dataclass(slots=True)
class Carried:
    """One file by its path below either folder. `source` is the stamp that was copied, None until that is done.

    `adopted`: it was in the new folder before, so it is not ours to remove there.
    """

    path: str
    size_bytes: int
    sha256: str | None = None
    source: Stamp | None = None
    adopted: bool = False


@dataclass(slots=True)
class Journal:
    """`switched`: the settings name the new folder, so what is left to do is to clear the old one."""

    old: Path
    new: Path
    way: Way
    files: list[Carried]
    made_folders: list[Path] = field(default_factory=list)
    switched: bool = False
    pid: int = 0
    started: float = 0.0

    @property
    def is_live(self) -> bool:
        """Whether the process that writes this is still at it."""
        if self.pid == os.getpid():
            return False  # asked only while no move runs here
        try:
            return psutil.Process(self.pid).create_time() == self.started
        except (psutil.Error, OverflowError, ValueError):
            return False


@cache
def _adapter() -> TypeAdapter[Journal]:
    """Made when a journal is met, which most starts do not."""
    return TypeAdapter(Journal)


def claim(journal: Journal) -> None:
    """Mark it as this process's work."""
    journal.pid = os.getpid()
    journal.started = psutil.Process().create_time()


def write(path: Path, journal: Journal) -> None:
    """Durable before it returns; raises OSError."""
    replace_file(path, _adapter().dump_json(journal))


def read(path: Path) -> Journal | None:
    """None where there is none; a damaged one is logged and left."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_JOURNAL_BYTES + 1)
    except OSError:
        return None
    try:
        return _adapter().validate_json(raw)
    except ValidationError:
        log.warning("the note of an interrupted move could not be read")
        return None


def remove(path: Path) -> None:
    """Never raises: a journal that stays is settled again, which then finds nothing to do."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        flush_folder(path.parent)
