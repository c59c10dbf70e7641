"""The places of a batch: what each sequence of the KV cache holds, and which one a new prompt takes. Must not decode.

Every sequence has a stream of its own in the cache (`kv_unified` off), so attention reads nothing of the others and
llama.cpp computes each as if it were alone. Two things follow from its source (llama-kv-cache.cpp, llama-batch.cpp):
only a whole stream can be copied, and sequences are computed together only where their numbers follow each other.
"""

from __future__ import annotations

import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from backends.local.answers import Answer
from backends.local.kept_states import common

# What a copy of a stream must save of reading: a share of the context, since the whole stream is copied, filled or not.
# Measured on two cores: a copy of 8,192 places took as long as reading 13 tokens with a 56 M model, 5 with a 1B one.
LEAST_SHARE = 256
LEAST_TOKENS = 32


@dataclass(slots=True, eq=False)
class Slot:
    """One sequence. `held` are the tokens in its stream, in order; the first `exact` were read in whole steps from 0 on
    (see decode.Session), so that the same prompt read afresh gives the same bits."""

    seq: int
    held: array.array[int] = field(default_factory=lambda: array.array("i"))
    exact: int = 0
    answer: Answer | None = None
    last_used: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a prompt goes: `keep` tokens of it are there, or come over from the stream of `source`."""

    slot: Slot
    keep: int
    source: Slot | None = None


class Slots:
    """All slots of one context; `memory` is llama.cpp's, whose own books go with each change of `held`."""

    def __init__(self, api: Any, memory: Any, n_slots: int, n_ctx: int, n_batch: int) -> None:
        self._api = api
        self._memory = memory
        self._n_batch = n_batch
        self._worth_copying = max(LEAST_TOKENS, n_ctx // LEAST_SHARE)
        self._turn = 0
        self.all = tuple(Slot(seq) for seq in range(n_slots))

    @property
    def busy(self) -> list[Slot]:
        return [slot for slot in self.all if slot.answer is not None]

    @property
    def has_free(self) -> bool:
        return any(slot.answer is None for slot in self.all)

    def take(self, answer: Answer) -> Slot:
        """Give the answer the slot that holds most of its prompt, less the last token, whose logits are needed."""
        place = self._place_for(answer.prompt, exact=answer.exact)
        slot, keep = place.slot, place.keep
        if place.source is not None:
            self._copy(place.source, slot)
        slot.answer = answer
        self._turn += 1
        slot.last_used = self._turn
        answer.cached = self.forget(slot, keep)
        return slot

    def forget(self, slot: Slot, keep: int) -> int:
        """Keep the first `keep` tokens of a stream, in llama.cpp's books too; gives how many it really kept."""
        if not self._api.llama_memory_seq_rm(self._memory, slot.seq, keep, -1):
            # A recurrent model cannot forget a part.
            self._api.llama_memory_seq_rm(self._memory, slot.seq, -1, -1)
            keep = 0
        del slot.held[keep:]
        slot.exact = min(slot.exact, keep - keep % self._n_batch)
        return keep

    def close_ranks(self, busy: Sequence[Slot]) -> None:
        """Move answers until their sequences follow each other, else llama.cpp computes each group by itself.

        A move is a copy of a stream, once; a gap would cost one more pass over the weights with every token.
        """
        count = len(busy)
        taken = {slot.seq for slot in busy}
        start = max(range(len(self.all) - count + 1), key=lambda at: len(taken & set(range(at, at + count))))
        holes = [slot for slot in self.all[start : start + count] if slot.answer is None]
        movers = [slot for slot in busy if not start <= slot.seq < start + count]
        for source, hole in zip(movers, holes, strict=True):
            self._copy(source, hole)
            hole.answer, source.answer = source.answer, None
            hole.last_used = source.last_used

    def _place_for(self, prompt: Sequence[int], *, exact: bool) -> Place:
        shared = {slot: self._shared(slot, prompt, exact=exact) for slot in self.all}
        taken = {slot.seq for slot in self.busy}

        def worth(slot: Slot) -> tuple[int, bool, int, int]:
            beside = not taken or slot.seq - 1 in taken or slot.seq + 1 in taken
            return shared[slot] // self._worth_copying, beside, shared[slot], -slot.last_used

        best = max((slot for slot in self.all if slot.answer is None), key=worth)
        source = max(self.all, key=lambda slot: shared[slot])
        if shared[source] - shared[best] >= self._worth_copying:
            return Place(best, shared[source], source)
        return Place(best, shared[best])

    def _shared(self, slot: Slot, prompt: Sequence[int], *, exact: bool) -> int:
        keep = common(slot.held, prompt, min(slot.exact if exact else len(slot.held), len(prompt) - 1))
        return keep - keep % self._n_batch if exact else keep

    def _copy(self, source: Slot, target: Slot) -> None:
        """All of a stream into another; llama.cpp copies nothing less between streams, and ends the process if asked.

        It moves the bytes at the next decode, and knows at once which places are filled.
        """
        self._api.llama_memory_seq_cp(self._memory, source.seq, target.seq, -1, -1)
        target.held = source.held[:]
        target.exact = source.exact
