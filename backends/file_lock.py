"""Lets one process at a time change a small file that several of them share. Must not know what the file holds.

The lock is a file beside it, which stays: if it were removed, two processes could hold two locks of one name. The
system lets go of a lock when its process ends, however it ends.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from backends.paths import ensure_folder

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

log = logging.getLogger(__name__)

SUFFIX = ".lock"
PATIENCE_S = 5.0
PAUSE_S = 0.01
BUSY = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK})
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})


@contextmanager
def alone(path: Path, *, patience_s: float | None = None, stop: threading.Event | None = None) -> Iterator[None]:
    """While inside, no other process is inside for this `path`; on a file system without locks that is not so.

    Two threads of one process wait for each other as processes do; one thread must not enter twice. Raises OSError;
    TimeoutError where another stays inside for 5 seconds, or `patience_s`; InterruptedError where `stop` is set first.
    """
    ensure_folder(path.parent)
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(path.with_name(path.name + SUFFIX), flags, 0o600)
    try:
        _take(handle, PATIENCE_S if patience_s is None else patience_s, stop or threading.Event())
        yield
    finally:
        os.close(handle)  # gives the lock back, too


@contextmanager
def alone_if_possible(path: Path) -> Iterator[bool]:
    """As `alone`; False, and not alone, where the lock cannot be had. For files whose loss would cost little."""
    with ExitStack() as stack:
        try:
            stack.enter_context(alone(path))
        except OSError as error:
            log.info("%s is changed without its lock: %s", path.name, error.strerror)
            yield False
        else:
            yield True


def _take(handle: int, patience_s: float, stop: threading.Event) -> None:
    until = time.monotonic() + patience_s
    while True:
        try:
            _try(handle)
            return
        except OSError as error:
            if error.errno in NO_LOCKS:
                log.info("this file system has no locks: %s", error.strerror)
                return
            if error.errno not in BUSY:
                raise
        if time.monotonic() > until:
            raise TimeoutError(errno.ETIMEDOUT, "another Nearfar keeps it locked")
        if stop.wait(PAUSE_S):
            raise InterruptedError(errno.EINTR, "stopped")


def _try(handle: int) -> None:
    if sys.platform == "win32":
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
