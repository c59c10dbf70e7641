"""Listens to llama.cpp's log: keeps a load's lines, reads sizes out of them. Must not print what is not a warning."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

INFO, WARN, ERROR, CONTINUED = 2, 3, 4, 5
MAX_LINES = 4000
MAX_LINE_CHARS = 1000
BYTES_PER_MIB = 2**20

# A model file's own words reach the log: they must not steer a terminal, nor pass for two lines.
_CONTROLS = {code: " " if chr(code).isspace() else None for code in (*range(32), *range(0x7F, 0xA0))}

_BUFFER = re.compile(r"(\S+) +(model|KV|compute) buffer size = +([\d.]+) MiB")
_OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")


@dataclass(frozen=True, slots=True)
class LogFigures:
    """What a load's log says; bytes as llama.cpp rounded them (to 0.01 MiB), None where no line said."""

    weights_bytes: int | None
    kv_bytes: int | None
    compute_bytes: int | None
    gpu_layers: int
    n_layers: int | None
    weight_buffers: tuple[str, ...]


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

    def errors(self) -> list[str]:
        """Lines at level error, oldest first."""
        return [line for level, line in self._lines if level == ERROR]

    def _on_text(self, level: int, text: bytes, _user_data: object) -> None:
        if level not in (INFO, WARN, ERROR):
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


def _bytes(mib: float | None) -> int | None:
    return None if mib is None else round(mib * BYTES_PER_MIB)
