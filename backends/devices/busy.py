"""Whether other programs take the processor from a run that decodes on it. Must not know events, runs or windows.

The rule. A run on the CPU wants all of its threads at once: each layer ends when the slowest thread has done its part.
So it is slowed as soon as the cores that others use, its own threads and what the window itself takes are more than
there are: what is then shared is `others + threads + window - cores`, and it costs about its share of a core, or more.
56M model of benchmarks/decode.py on 2 cores, beside processes that compute for a part of the time, medians of three:

    threads   others used   shared   tok/s          threads   others used   shared   tok/s
          1           0.0     -1.0     543                2           0.0      0.0     715
          1           1.0      0.0     501                2           0.2      0.2     540
          1           1.2      0.2     388                2           0.3      0.3     475
          1           1.3      0.3     341                2           0.4      0.4     367
          1           1.5      0.5     233                2           0.7      0.7     198
          1           1.6      0.6     155                2           1.0      1.0      68

A core for each still costs 8 %, in caches and memory that they share: that little is not told.

Two processes of lowest priority (nice 19) cost nothing (484 and 694 tok/s): their time is not counted.

The shares are of what others *got*, not of what they wanted: two processes that want two cores get one beside two
threads. Not counted: work of a GPU that others give it, time that a virtual machine was not given, and other lanes of a
race, of which the race itself tells.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass

import psutil

from backends.records import OtherWork

SLACK_CORES = 0.1  # less than that is the usual small change of a desktop, and costs under a tenth
LEAST_OTHERS_CORES = 0.15
LEAST_WINDOW_S = 0.3  # CPU time is counted in steps of 10 ms
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class CpuSample:
    """CPU time so far, in seconds over all cores: of the whole machine, of this process, and of its children.

    Idle time, waiting for disks and work of low priority are left out of the machine's.
    """

    at_ns: int
    machine_s: float
    window_s: float
    children_s: float


@dataclass(frozen=True, slots=True)
class Slice:
    """What was used on average between two samples, in cores."""

    length_s: float
    others_cores: float
    window_cores: float


def slice_between(before: CpuSample, after: CpuSample) -> Slice | None:
    """None where no time lies between them. Counters of many processes are read one after another, hence the floor."""
    length_s = (after.at_ns - before.at_ns) / NS_PER_S
    if length_s <= 0:
        return None
    window_s = after.window_s - before.window_s
    ours_s = window_s + after.children_s - before.children_s
    others_s = max(0.0, after.machine_s - before.machine_s - ours_s)
    return Slice(length_s, others_s / length_s, window_s / length_s)


def in_the_way(each: Slice, threads: int, cores: int) -> bool:
    """Whether other programs made a run of `threads` share its cores; `cores` are the physical ones."""
    if each.others_cores < LEAST_OTHERS_CORES:
        return False
    return each.others_cores + threads + each.window_cores > cores + SLACK_CORES


class Watched:
    """Sums what others used while one run decoded with `threads`. Pure."""

    def __init__(self, threads: int, cores: int) -> None:
        self._threads, self._cores = threads, cores
        self._last: CpuSample | None = None
        self._all_s = self._busy_s = 0.0
        self._all_core_s = self._busy_core_s = 0.0

    @property
    def length_s(self) -> float:
        """How long it has been watched."""
        return self._all_s

    def take(self, sample: CpuSample) -> None:
        """In order of time; the first one is where it begins."""
        last, self._last = self._last, sample
        each = None if last is None else slice_between(last, sample)
        if each is None:
            return
        self._all_s += each.length_s
        self._all_core_s += each.others_cores * each.length_s
        if in_the_way(each, self._threads, self._cores):
            self._busy_s += each.length_s
            self._busy_core_s += each.others_cores * each.length_s

    def so_far(self) -> OtherWork | None:
        """None where it was too short to tell."""
        if self._all_s < LEAST_WINDOW_S:
            return None
        return OtherWork(
            busy_share=self._busy_s / self._all_s,
            used_cores=self._all_core_s / self._all_s,
            busy_cores=self._busy_core_s / self._busy_s if self._busy_s else None,
            cores=self._cores,
        )


class CpuCounters:
    """Reads samples: well under a millisecond each, and it opens no list of all processes.

    `children` says which child processes of ours run now; one that ended keeps what it had used.
    """

    def __init__(self, children: Callable[[], Collection[int]]) -> None:
        self._children = children
        self._used_s: dict[int, float] = {}
        self._counts_nice = _is_low_priority()

    def read(self, at_ns: int) -> CpuSample:
        """Raises OSError or psutil.Error where the system does not say."""
        for pid in self._children():
            try:
                self._used_s[pid] = _process_s(psutil.Process(pid))
            except psutil.NoSuchProcess:  # it ended just now
                continue
        window_s = _process_s(psutil.Process())
        return CpuSample(at_ns, self._machine_s(), window_s, sum(self._used_s.values()))

    def _machine_s(self) -> float:
        times = psutil.cpu_times()
        names = ("user", "system", "irq", "softirq", *(("nice",) if self._counts_nice else ()))
        return float(sum(getattr(times, name, 0.0) for name in names))


def _process_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _is_low_priority() -> bool:
    """Whether this program was itself started with low priority: then its like is in its way as well."""
    return os.name == "posix" and os.nice(0) > 0
