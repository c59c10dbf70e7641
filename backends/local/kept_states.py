"""Keeps the KV states of conversations that the cache has given up, within a bound. Must not know text or runs.

Putting a state back is a copy of memory; reading its tokens again takes a hundred times as long.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

LEAST_TOKENS = 256  # what a copy must save of reading
MOST_BYTES = 2 * 2**30
MOST_BYTES_EACH = 2**29  # a run that comes while it is copied waits for it
SHARE_OF_FREE = 8
ONLY_SEQUENCE = 0
CONTAINER = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """The tokens of a conversation, how many of them are exact (see decode.Session), and llama.cpp's own state."""

    tokens: tuple[int, ...]
    exact: int
    state: ctypes.Array[ctypes.c_char]

    @property
    def size_bytes(self) -> int:
        return len(self.state)


def common(held: Sequence[int], wanted: Sequence[int], limit: int) -> int:
    """How many tokens from the first on are the same in both; at most `limit`."""
    for at, (mine, theirs) in enumerate(zip(held[:limit], wanted, strict=False)):
        if mine != theirs:
            return at
    return min(limit, len(held), len(wanted))


def spare_bytes(container: Path = CONTAINER) -> int:
    """What may be kept now: at most an eighth of the memory that is free, in a container of what is left of its own."""
    free = int(psutil.virtual_memory().available)
    try:
        limit, used = ((container / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current"))
        free = min(free, max(0, int(limit) - int(used)))
    except (OSError, ValueError):  # no container, or one without a limit, which says "max"
        pass
    return min(MOST_BYTES, free // SHARE_OF_FREE)


class KeptStates:
    """States by their tokens; the one that was used longest ago goes first."""

    def __init__(self, api: Any, context: Any, spare: Callable[[], int] = spare_bytes) -> None:
        self._api = api
        self._context = context
        self._spare = spare
        self._kept: list[Kept] = []

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        return sum(kept.size_bytes for kept in self._kept)

    def keep(self, tokens: Sequence[int], exact: int) -> bool:
        """Copy the state of the cache, which holds `tokens`; False where it is too short or there is no room."""
        if len(tokens) < LEAST_TOKENS:
            return False
        size = int(self._api.llama_state_seq_get_size(self._context, ONLY_SEQUENCE))
        # A longer state of the same conversation does what a shorter one does.
        others = [kept for kept in self._kept if _has_more(kept.tokens, tokens)]
        room = min(self._spare() + self.size_bytes, MOST_BYTES)
        if size == 0 or size > min(room, MOST_BYTES_EACH):
            return False
        while others and sum(kept.size_bytes for kept in others) + size > room:
            del others[0]
        state = ctypes.create_string_buffer(size)
        if int(self._api.llama_state_seq_get_data(self._context, _bytes_of(state), size, ONLY_SEQUENCE)) != size:
            return False
        self._kept = [*others, Kept(tuple(tokens), exact, state)]
        return True

    def best(self, prompt: Sequence[int], *, exact: bool) -> tuple[Kept | None, int]:
        """The state that shares most with `prompt`, its last token apart, and how many tokens that is."""
        found, most = None, 0
        for kept in self._kept:
            shared = common(kept.tokens, prompt, min(kept.exact if exact else len(kept.tokens), len(prompt) - 1))
            if shared > most:
                found, most = kept, shared
        return found, most

    def restore(self, kept: Kept) -> bool:
        """Put it into the cache in place of what is there; False where llama.cpp did not take it."""
        self._kept.remove(kept)
        self._kept.append(kept)
        data, size = _bytes_of(kept.state), kept.size_bytes
        return int(self._api.llama_state_seq_set_data(self._context, data, size, ONLY_SEQUENCE)) == size


def _has_more(kept: Sequence[int], tokens: Sequence[int]) -> bool:
    """True where `kept` goes its own way for so long that a copy of it is worth having beside `tokens`."""
    return len(kept) - common(kept, tokens, len(kept)) >= LEAST_TOKENS


def _bytes_of(state: ctypes.Array[ctypes.c_char]) -> Any:
    return ctypes.cast(state, ctypes.POINTER(ctypes.c_uint8))
