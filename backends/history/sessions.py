"""Which running program a streaming row belongs to, so that another one does not declare it dead. Must not know rows."""

from __future__ import annotations

import os
import secrets

import psutil

# A clock correction moves a process's start time; a pid that comes back within this time is taken for the same process.
TOLERANCE_S = 2.0

_open_here: set[str] = set()


def begin_session() -> str:
    """A name for one open history of this process: pid, start time and a random part."""
    session = f"{os.getpid()}:{psutil.Process().create_time():.3f}:{secrets.token_hex(4)}"
    _open_here.add(session)
    return session


def end_session(session: str) -> None:
    _open_here.discard(session)


def is_alive(session: str) -> bool:
    """True while the program that wrote this name still runs and has its history open."""
    try:
        pid, started, _ = session.split(":")
        if int(pid) == os.getpid():
            return session in _open_here
        return abs(psutil.Process(int(pid)).create_time() - float(started)) < TOLERANCE_S
    except (ValueError, OverflowError, psutil.Error):
        return False
