"""A small file's turn among programs: one of them changes it at a time. Must not know what the file holds.

The system lets go of the lock when a process ends, however it ends. The lock's own file stays where it is: to remove it
would let two programs hold two of them.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from backends.paths import ensure_folder

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PATIENCE_S = 5.0
STEP_S = 0.01


@contextmanager
def turn(path: Path) -> Iterator[bool]:
    """Hold the lock of `path` meanwhile, in a file beside it; blocks for at most five seconds.

    False where it could not be had: the folder cannot be written, or another program holds it for too long.
    """
    handle = _taken(Path(os.path.realpath(path)))
    try:
        yield handle is not None
    finally:
        if handle is not None:
            os.close(handle)  # which gives it back


def _taken(path: Path) -> int | None:
    try:
        ensure_folder(path.parent)
        handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | _SAFE, 0o600)
    except OSError:
        return None
    end_s = time.monotonic() + PATIENCE_S
    while True:
        with suppress(OSError):  # somebody else has it
            if sys.platform == "win32":
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        if time.monotonic() >= end_s:
            os.close(handle)
            return None
        time.sleep(STEP_S)


_SAFE = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NOINHERIT", 0)
