"""Listens to llama.cpp's log: keeps a load's lines, reads sizes out of them. Must not print what is not a warning."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

DEBUG, INFO, WARN, ERROR, CONTINUED = 1, 2, 3, 4, 5
MAX_LINES = 4000
MAX_LINE_CHARS = 1000
BYTES_PER_MIB = 2**20

# A model file's own words reach the log: they must not steer a terminal, nor pass for two lines.
_CONTROLS = {code: " " if chr(code).isspace() else None for code in (*range(32), *range(0x7F, 0xA0))}

_BUFFER = re.compile(r"(\S+) +(model|KV|compute|output) buffer size = +([\d.]+) MiB")
_OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")
# From the start of the line, where a model file's own words never stand.
_USING = re.compile(r"^\w+: using device (\S+) \(")
_ASSIGNED = re.compile(r"^\w+: layer +(\d+) assigned to device (\S+?),")
_KV_SIZE = re.compile(r"^llama_kv_cache: size = +([\d.]+) MiB")
HOST = "CPU"


@dataclass(frozen=True, slots=True)
class LogFigures:
    """What a load's log says; bytes as llama.cpp rounded them (to 0.01 MiB), None where no line said."""

    weights_bytes: int | None
    kv_bytes: int | None
    compute_bytes: int | None
    gpu_layers: int
    n_layers: int | None
    weight_buffers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeviceFigures:
    """What a load's log says of one device; `layers` are numbers from 0, of which the last stands for the output.

    Bytes as llama.cpp rounded them, None where no line said: of a load that took no memory, only `compute_bytes`.
    """

    name: str
    layers: tuple[int, ...]
    weights_bytes: int | None
    kv_bytes: int | None
    compute_bytes: int | None


# llama.cpp goes on logging when a capture is gone, and ctypes keeps no reference to a callback: these live for ever.
_kept: list[object] = []


class LogCapture:
    """Takes over llama.cpp's and ggml's log for the life of the process."""

    def __init__(self, api: Any) -> None:
        self._lines: deque[tuple[int, str]] = deque(maxlen=MAX_LINES)
        callback = api.llama_log_callback(self._on_text)
        _kept.append(callback)
        api.llama_log_set(callback, None)

    def clear(self) -> None:
        self._lines.clear()

    def lines(self) -> list[str]:
        return [line for _level, line in self._lines]

    def keep(self, line: str) -> None:
        """Put back a line of an earlier load that still holds."""
        self._lines.append((INFO, line))

    def errors(self) -> list[str]:
        """Lines at level error, oldest first."""
        return [line for level, line in self._lines if level == ERROR]

    def _on_text(self, level: int, text: bytes, _user_data: object) -> None:
        # Of the flood at level debug one line matters: where a layer lies is said nowhere else.
        if level not in (INFO, WARN, ERROR) and not (level == DEBUG and b"assigned to device" in text):
            return
        line = text.decode("utf-8", "replace").strip().translate(_CONTROLS)[:MAX_LINE_CHARS]
        self._lines.append((level, line))
        if level >= WARN:
            sys.stderr.write(f"{line}\n")


def read_figures(lines: Iterable[str]) -> LogFigures:
    """Sums the buffers of all devices; `n_layers` counts the output layer, as llama.cpp does."""
    sums: dict[str, float] = {}
    buffers: list[str] = []
    gpu_layers, n_layers = 0, None
    for line in lines:
        if found := _BUFFER.search(line):
            name, what, mib = found.groups()
            sums[what] = sums.get(what, 0.0) + float(mib)
            if what == "model":
                buffers.append(name)
        elif found := _OFFLOADED.search(line):
            gpu_layers, n_layers = int(found[1]), int(found[2])
    return LogFigures(
        weights_bytes=_bytes(sums.get("model")),
        kv_bytes=_bytes(sums.get("KV")),
        compute_bytes=_bytes(sums.get("compute")),
        gpu_layers=gpu_layers,
        n_layers=n_layers,
        weight_buffers=tuple(buffers),
    )


def read_devices(lines: Sequence[str]) -> tuple[DeviceFigures, ...]:
    """The GPUs used, in llama.cpp's order, then the machine's own memory under the name of `HOST`.

    Buffers of the host carry many names: CPU, CPU_Mapped, CPU_REPACK, CUDA_Host.
    """
    names = [found[1] for line in lines if (found := _USING.match(line))]
    layers: dict[str, list[int]] = {}
    sums: dict[tuple[str, str], float] = {}
    for line in lines:
        if found := _BUFFER.search(line):
            buffer, what, mib = found.groups()
            key = (_owner(buffer, names), "compute" if what == "output" else what)
            sums[key] = sums.get(key, 0.0) + float(mib)
        elif found := _ASSIGNED.match(line):
            layers.setdefault(found[2], []).append(int(found[1]))
    return tuple(
        DeviceFigures(
            name,
            tuple(sorted(set(layers.get(name, ())))),
            _bytes(sums.get((name, "model"))),
            _bytes(sums.get((name, "KV"))),
            _bytes(sums.get((name, "compute"))),
        )
        for name in (*names, HOST)
    )


def read_kv_bytes(lines: Iterable[str]) -> int | None:
    """The whole KV cache, which the log also tells of a load that took no memory."""
    return next((_bytes(float(found[1])) for line in lines if (found := _KV_SIZE.match(line))), None)


def _owner(buffer: str, names: Sequence[str]) -> str:
    """`CUDA1` owns CUDA1 and CUDA1_Split, not CUDA10."""
    owners = [name for name in names if buffer == name or re.match(rf"{re.escape(name)}\D", buffer)]
    return max(owners, key=len, default=HOST)


def _bytes(mib: float | None) -> int | None:
    return None if mib is None else round(mib * BYTES_PER_MIB)
