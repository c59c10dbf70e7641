"""Which running program a streaming row belongs to, so that no other declares it dead. Must not know rows."""

from __future__ import annotations

import os
import secrets
import time

# Start times are kept to a hundredth of a second, and the clock may have been corrected a little.
TOLERANCE_S = 2.0

_open_here: set[str] = set()


def begin_session() -> str:
    """A name for one open history of this process: its pid, the time now and a random part."""
    session = f"{os.getpid()}:{time.time():.3f}:{secrets.token_hex(4)}"
    _open_here.add(session)
    return session


def end_session(session: str) -> None:
    _open_here.discard(session)


def is_alive(session: str) -> bool:
    """True while the program that wrote this name still runs and has its history open."""
    try:
        pid, begun, _ = session.split(":")
        if int(pid) == os.getpid():
            return session in _open_here
        started = _started(int(pid))
        # A process that started later only has the same pid.
        return started is not None and started < float(begun) + TOLERANCE_S
    except (ValueError, OverflowError):
        return False


def _started(pid: int) -> float | None:
    import psutil  # 70 ms, and needed only where a run did not end

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
