"""What is known of GPUs by their names: bandwidth, and whether they share the computer's memory. Must not know drivers.

Names are matched loosely in case, spaces and vendor words, and strictly in the rest: a laptop GPU is another chip.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Any

from resources import resource_path

GIB = 2**30
SIZE_TOLERANCE = 0.1
NVIDIA_WORDS = frozenset({"nvidia", "geforce", "tesla"})
EMPTY_WORDS = frozenset({"nvidia", "geforce", "amd", "radeon", "intel", "apple", "gpu", "graphics", "generation"})
ALIASES = {"mobile": "laptop"}
SIZE = re.compile(r"(\d+)\s*gi?b\b")
ASIDE = re.compile(r"\([^)]*\)")  # (R), (TM), (RADV NAVI31), (nvgpu)


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    size_gib: float | None
    bandwidth_gb_s: float


def bandwidth_by_name(name: str, total_bytes: int | None = None) -> float | None:
    """The published memory bandwidth in 10^9 bytes per second; None for a name that is not in the table.

    `total_bytes` tells apart variants of one name, as does a size at its end. Without any, the slowest variant counts.
    """
    base, size_gib = plain_name(name), _size_in(name)
    if size_gib is None and total_bytes:
        size_gib = total_bytes / GIB
    rows = [row for row in _rows() if row.name == base]
    common = [row for row in rows if row.size_gib is None]
    if size_gib is None:
        found = common or sorted(rows, key=lambda row: row.bandwidth_gb_s)
    else:
        found = [row for row in rows if row.size_gib and _close(row.size_gib, size_gib)] or common
    return found[0].bandwidth_gb_s if found else None


def nvidia_shares_memory(name: str) -> bool:
    """Whether this NVIDIA chip is known to have no memory of its own: GB10, N1X and the Jetsons."""
    return _has_word(name, "nvidia")


def shares_memory(name: str) -> bool:
    """As `nvidia_shares_memory`, for any vendor's GPU, named as a person types it."""
    is_nvidia = not NVIDIA_WORDS.isdisjoint(_words(name))  # Tesla M4 is not Apple's
    return nvidia_shares_memory(name) or (not is_nvidia and _has_word(name, "others"))


def same_gpu(name: str, other: str) -> bool:
    """Whether two names, as different drivers write them, are those of one GPU."""
    return plain_name(name) == plain_name(other) and _size_in(name) == _size_in(other)


def plain_name(name: str) -> str:
    """What names of one GPU have in common, whoever writes them: `NVIDIA GeForce RTX 4090` is `rtx4090`."""
    words = [ALIASES.get(word, word) for word in _words(name) if word not in EMPTY_WORDS]
    if words and SIZE.fullmatch(words[-1]):
        words.pop()
    return "".join(words)


def _words(name: str) -> list[str]:
    text = SIZE.sub(r"\1gb", ASIDE.sub(" ", name).casefold())
    return re.findall(r"[a-z0-9]+", text)


def _size_in(name: str) -> float | None:
    words = [word for word in _words(name) if word not in EMPTY_WORDS]
    found = SIZE.fullmatch(words[-1]) if words else None
    return float(found[1]) if found else None


def _close(table_gib: float, size_gib: float) -> bool:
    """A GPU shows a little less than what is printed on its box."""
    return abs(table_gib - size_gib) <= SIZE_TOLERANCE * table_gib


def _has_word(name: str, vendor: str) -> bool:
    known = {each.casefold() for each in _table()["shares_memory"][vendor]}
    return not known.isdisjoint(_words(name))


@cache
def _rows() -> tuple[_Row, ...]:
    rows = _table()["bandwidth_gb_s"].items()
    return tuple(_Row(plain_name(name), _size_in(name), float(value)) for name, value in rows)


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(resource_path("gpus.toml").read_text(encoding="utf-8"))
