"""Takes the sha256 of files at disk speed, with progress and cancel. Must not know what the hash should be.

hashlib lets other threads run while it works on a block, so this belongs in a thread and holds up nobody.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backends.errors import ModelMissing
from backends.models.folder import never
from backends.models.index import Stamp
from backends.models.regular import open_regular

BLOCK_BYTES = 4 * 2**20
OnBytes = Callable[[int], None]
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Hashed:
    """A hash with the stamp of exactly the bytes it was taken of."""

    sha256: str
    stamp: Stamp


def nothing(_count: int) -> None:
    """For work whose progress nobody watches."""


def no_progress(_done: int, _total: int) -> None:
    """As `nothing`, for work that counts."""


def counted(on_progress: OnProgress, total: int) -> OnBytes:
    """Turns the sizes of blocks into bytes done so far, of `total`."""
    done = 0

    def report(count: int) -> None:
        nonlocal done
        done += count
        on_progress(done, total)

    return report


def hash_file(path: Path, *, on_bytes: OnBytes = nothing, cancelled: Callable[[], bool] = never) -> Hashed | None:
    """The file's sha256; None where `cancelled` said so. `on_bytes` gets the size of each block that was read.

    The file is opened once. Raises ModelMissing where it cannot be read, or is written to while it is read.
    """
    digest = hashlib.sha256()
    block = memoryview(bytearray(BLOCK_BYTES))
    with os.fdopen(open_regular(path), "rb", buffering=0) as file:
        before = Stamp.of(os.fstat(file.fileno()))
        try:
            read_bytes = 0
            # Not to the end of the file: one that grows as fast as it is read has none.
            while read_bytes <= before.size_bytes and (count := file.readinto(block)):
                if cancelled():
                    return None
                digest.update(block[:count])
                on_bytes(count)
                read_bytes += count
        except OSError as error:
            raise ModelMissing(
                f"{path.name} could not be read to its end ({error.strerror}).", safe="No file was changed."
            ) from None
        if Stamp.of(os.fstat(file.fileno())) != before:
            raise ModelMissing(
                f"{path.name} changed while it was read.",
                safe="No file was changed from here.",
                fix="Wait until whatever writes it has ended, then verify it again.",
            )
    return Hashed(digest.hexdigest(), before)
