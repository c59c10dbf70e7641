"""How fast this machine's memory is, measured in a quiet moment and kept per machine. Must not know models.

Counted are the bytes read and the bytes written, by all physical cores copying at once, in 10^9 bytes per second.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import mmap
import threading
import time
from pathlib import Path

import psutil

from backends.devices.records import CpuInfo, MemoryInfo
from backends.files import replace_file

MIB, GIB = 2**20, 2**30
ROUNDS, ROUND_S = 3, 0.1
CHUNK_BYTES = 4 * MIB
MAX_THREADS = 16
LEAST_BYTES, MOST_BYTES = 256 * MIB, GIB
SHARE_OF_FREE = 8
LAST_LEVEL = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
ASSUMED_CACHE_BYTES = 32 * MIB
FILE_NAME = "memory-bandwidth.json"
QUIET_LOOK_S, QUIET_PERCENT = 0.3, 20.0

_of_session: dict[tuple[Path, str], float] = {}


def known_bandwidth(folder: Path, cpu: CpuInfo, memory: MemoryInfo) -> float | None:
    """What was measured on this machine before, from the cache folder; None where nothing was, or it cannot be read.

    Else what this session measured beside other work, which is too low to be kept.
    """
    return kept_bandwidth(folder, cpu, memory) or _of_session.get((folder, _machine_key(cpu, memory)))


def kept_bandwidth(folder: Path, cpu: CpuInfo, memory: MemoryInfo) -> float | None:
    """What was measured in a quiet moment; None where nothing was, or it cannot be read."""
    found = _read(folder).get(_machine_key(cpu, memory))
    if not isinstance(found, float) or not math.isfinite(found) or found <= 0:
        return None
    return found


def measure_and_keep(
    folder: Path, cpu: CpuInfo, memory: MemoryInfo, stop: threading.Event | None = None, *, lasting: bool = True
) -> float | None:
    """Measure, and remember the most that was ever measured: other work only makes it less.

    In the cache folder where it is `lasting`, which is for a quiet moment; else for this session. A folder that cannot
    be written only costs measuring again.
    """
    found = measure_bandwidth(cpu.physical_cores or 1, memory.free_bytes, stop)
    if found is None:
        return None
    key = _machine_key(cpu, memory)
    found = max(round(found, 2), kept_bandwidth(folder, cpu, memory) or 0.0)
    _of_session[folder, key] = max(found, _of_session.get((folder, key), 0.0))
    if lasting:
        with contextlib.suppress(OSError):
            replace_file(folder / FILE_NAME, json.dumps(_read(folder) | {key: found}, indent=1).encode())
    return found


def wait_until_quiet(patience_s: float, stop: threading.Event) -> bool:
    """Whether the processor came to rest within `patience_s`; blocks until then, or until `stop` is set."""
    end_s = time.monotonic() + patience_s
    while time.monotonic() < end_s and not stop.is_set():
        if psutil.cpu_percent(interval=QUIET_LOOK_S) < QUIET_PERCENT:
            return True
    return False


def measure_bandwidth(cores: int, free_bytes: int, stop: threading.Event | None = None) -> float | None:
    """The best of three rounds; blocks for under a second, using `cores` threads and at most an eighth of `free_bytes`.

    None where there is too little memory to outgrow the processor's caches, or once `stop` is set.
    """
    stop = stop or threading.Event()
    n_threads = max(1, min(cores, MAX_THREADS))
    size = _buffer_bytes(n_threads, free_bytes)
    if size is None:
        return None
    try:
        with contextlib.ExitStack() as held:
            pairs = [held.enter_context(_Buffers(size // n_threads)) for _ in range(n_threads)]
            _together([threading.Thread(target=pair.touch, args=(stop,), daemon=True) for pair in pairs])
            rates = [_round(pairs, stop) for _ in range(ROUNDS)]
    except (OSError, MemoryError, ValueError):
        return None
    return None if stop.is_set() else max(rates)


def _buffer_bytes(n_threads: int, free_bytes: int) -> int | None:
    """Enough that no thread's part stays in a cache."""
    size = min(max(LEAST_BYTES, n_threads * 2 * _cache_bytes()), MOST_BYTES, free_bytes // SHARE_OF_FREE)
    return size if size >= LEAST_BYTES else None


def _cache_bytes() -> int:
    try:
        text = LAST_LEVEL.read_text(encoding="ascii").strip()
        return int(text.removesuffix("K")) * 1024
    except (OSError, ValueError):
        return ASSUMED_CACHE_BYTES


def _round(pairs: list[_Buffers], stop: threading.Event) -> float:
    """10^9 bytes per second, read and written, over one round of all threads."""
    copied = [0] * len(pairs)
    start = time.perf_counter()

    def copy(index: int) -> None:
        copied[index] = pairs[index].copy_until(start + ROUND_S, stop)

    _together([threading.Thread(target=copy, args=(index,), daemon=True) for index in range(len(pairs))])
    return 2 * sum(copied) / (time.perf_counter() - start) / 1e9


def _together(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class _Buffers:
    """Two halves of memory of our own to copy between. ctypes lets go of Python's lock while it copies."""

    def __init__(self, size: int) -> None:
        self._half = size // 2 // CHUNK_BYTES * CHUNK_BYTES
        self._memory = mmap.mmap(-1, 2 * self._half)
        self._anchor: ctypes.c_char | None = ctypes.c_char.from_buffer(self._memory)
        self._address = ctypes.addressof(self._anchor)

    def __enter__(self) -> _Buffers:
        return self

    def __exit__(self, *_: object) -> None:
        self._anchor = None  # a mapping cannot be closed while ctypes points into it
        self._memory.close()

    def touch(self, stop: threading.Event) -> None:
        """Until a page is written, all of them are one page of zeros in the cache."""
        for offset in range(0, 2 * self._half, CHUNK_BYTES):
            if stop.is_set():
                return
            ctypes.memset(self._address + offset, 1, CHUNK_BYTES)

    def copy_until(self, deadline: float, stop: threading.Event) -> int:
        copied = 0
        while time.perf_counter() < deadline and not stop.is_set():
            offset = copied % self._half
            ctypes.memmove(self._address + self._half + offset, self._address + offset, CHUNK_BYTES)
            copied += CHUNK_BYTES
        return copied


def _machine_key(cpu: CpuInfo, memory: MemoryInfo) -> str:
    """A kernel update changes the total by some megabytes; another module changes it by gibibytes."""
    return f"{cpu.name}, {round(memory.total_bytes / GIB)} GiB"


def _read(folder: Path) -> dict[str, object]:
    try:
        found = json.loads((folder / FILE_NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
