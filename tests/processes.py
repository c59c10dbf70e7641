"""Processes for tests: whether one has ended, and many that compute. Must not know whose process it is.

Where nobody reaps orphans, as in a container whose first process is no init, what has ended stays as a zombie.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil

COMPUTE = (sys.executable, "-c", "while True: pass")


def is_gone(pid: int) -> bool:
    """Whether it runs no more; a zombie is gone."""
    try:
        return psutil.Process(pid).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return True


def wait_gone(*pids: int, limit_s: float = 2.0) -> bool:
    """Wait until all are gone; False where one is not after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while not all(is_gone(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def computing() -> Iterator[None]:
    """More processes that compute than there are cores, all of the usual priority."""
    with ExitStack() as held:
        for _ in range((psutil.cpu_count() or 1) + 1):
            held.callback(held.enter_context(subprocess.Popen(COMPUTE)).kill)
        yield
