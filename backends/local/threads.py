"""Chooses how many threads compute a run: from cores, the model's size and what else runs. Must not know llama.cpp.

llama.cpp's threads wait for each other some hundred times per token, and they wait by spinning. One that has lost its
core to another program keeps all the others waiting: measured in docs/measurements/threads.md.
"""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

import psutil

from backends.devices.busy import LEAST_WINDOW_S, CpuCounters, CpuSample, slice_between

SMALL_MODEL_BYTES = 10_000_000  # below it, waiting costs more than a second thread saves
FOR_THE_WINDOW = 1
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(quota: Path = QUOTA) -> int:
    """Physical cores that this process may use: its affinity and, in a container, its share of time count too."""
    physical = machine_cores()
    process = psutil.Process()
    allowed = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else physical
    return max(1, min(physical, allowed, _cores_of(quota) or physical))


def machine_cores() -> int:
    """The machine's physical cores, whoever may use them."""
    return psutil.cpu_count(logical=False) or psutil.cpu_count() or 1


def threads_for(cores: int, model_bytes: int, busy_cores: float = 0.0, machine: int | None = None) -> int:
    """Threads for a model of this size: one for a small one, else the cores less one for the window.

    `busy_cores` is what other programs use of the `machine`'s cores: what they take is not ours. In a container `cores`
    are fewer than those.
    """
    if model_bytes < SMALL_MODEL_BYTES:
        return 1
    return max(1, min(cores - FOR_THE_WINDOW, int((machine or cores) - busy_cores)))


class BusyCores:
    """How many cores other programs use, from the time between two looks. This process itself is none of them."""

    def __init__(self) -> None:
        self._counters = CpuCounters(children=tuple)
        self._looks: deque[CpuSample] = deque(maxlen=2)
        self.look()

    def look(self) -> None:
        """Remember this moment; to be called where nothing is measured."""
        if (now := self._read()) is not None:
            self._looks.append(now)

    def now(self) -> float:
        """Cores in use by others since the last look, or the one before where that was just now; 0 where unknown."""
        now = self._read()
        for before in reversed(self._looks):
            since = None if now is None else slice_between(before, now)
            if since is not None and since.length_s >= LEAST_WINDOW_S:
                return since.others_cores
        return 0.0

    def _read(self) -> CpuSample | None:
        try:
            return self._counters.read(time.monotonic_ns())
        except (OSError, psutil.Error):  # a system that does not say: then nobody is in the way
            return None


def _cores_of(quota: Path) -> int | None:
    """Whole cores that the container's quota amounts to; None where there is none."""
    try:
        limit, period = quota.read_text(encoding="ascii").split()
        return max(1, int(limit) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None
