"""Chooses how many threads compute a run: from cores, the model's size and what else runs. Must not know llama.cpp.

llama.cpp's threads wait for each other some hundred times per token, and they wait by spinning. One that has lost its
core to another program keeps all the others waiting: measured in docs/measurements/threads.md.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import psutil

SMALL_MODEL_BYTES = 10_000_000  # below it, waiting costs more than a second thread saves
FOR_THE_WINDOW = 1
LEAST_WINDOW_S = 0.2
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(quota: Path = QUOTA) -> int:
    """Physical cores that this process may use: its affinity and, in a container, its share of time count too."""
    physical = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    process = psutil.Process()
    allowed = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else physical
    return max(1, min(physical, allowed, _cores_of(quota) or physical))


def threads_for(cores: int, model_bytes: int, busy_cores: float = 0.0) -> int:
    """Threads for a model of this size: one for a small one, else the cores less one for the window.

    `busy_cores` is what other programs use, in cores: what they take is not ours.
    """
    if model_bytes < SMALL_MODEL_BYTES:
        return 1
    return max(1, min(cores - FOR_THE_WINDOW, int(cores - busy_cores)))


@dataclass(frozen=True, slots=True)
class _Look:
    at_s: float
    busy_s: float
    own_s: float


class OtherWork:
    """How many cores other programs use, from the time between two looks."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._looks: deque[_Look] = deque([self._now()], maxlen=2)

    def look(self) -> None:
        """Remember this moment; to be called where nothing is measured."""
        self._looks.append(self._now())

    def cores(self) -> float:
        """Cores in use by others since the last look, or the one before where that was just now."""
        now = self._now()
        for before in reversed(self._looks):
            if (passed_s := now.at_s - before.at_s) >= LEAST_WINDOW_S:
                return max(0.0, now.busy_s - before.busy_s - (now.own_s - before.own_s)) / passed_s
        return 0.0

    def _now(self) -> _Look:
        machine, own = psutil.cpu_times(), self._process.cpu_times()
        # Guests are in user time already; iowait is idle time with a reason.
        busy_s = machine.user + machine.system + getattr(machine, "nice", 0.0) + getattr(machine, "softirq", 0.0)
        return _Look(time.monotonic(), busy_s, own.user + own.system)


def _cores_of(quota: Path) -> int | None:
    """Whole cores that the container's quota amounts to; None where there is none."""
    try:
        limit, period = quota.read_text(encoding="ascii").split()
        return max(1, int(limit) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None
