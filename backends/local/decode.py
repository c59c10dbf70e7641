"""The decode loop: prompt tokens in, text and stamps out, over llama.cpp's C API. Must not know messages or pipes.

Every step costs one `llama_decode`, one native sampler call and one look-up of the token's bytes; the answer is never
detokenised as a whole, so a token costs the same at any length.
"""

from __future__ import annotations

import array
import ctypes
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from backends.errors import ModelUnusable, PromptTooLong, WorkerError
from backends.local.flusher import MAX_WAITING_TOKENS, Flusher, OnText
from backends.local.kept_states import LEAST_TOKENS, Kept, KeptStates, common
from backends.local.model import LoadedModel
from backends.local.pieces import Pieces
from backends.local.sampler import Sampler
from backends.local.text_stream import TextStream
from backends.records import Number, Sampling, Usage

Ending = Literal["stop", "length", "cancelled"]
OnPrefill = Callable[[int, int], None]

DECODED, NO_SLOT, ABORTED = 0, 1, 2
NOT_SET = b"\0"
INT_BYTES = ctypes.sizeof(ctypes.c_int32)


@dataclass(frozen=True, slots=True)
class Outcome:
    ending: Ending
    usage: Usage
    timings: Mapping[str, Number]


class Session:
    """One context's running state: which tokens its KV cache holds, and the buffers that every run uses again.

    A chunk of prompt tokens is *exact* when it was computed from position 0 on in whole steps of `n_batch`: the same
    prompt computed afresh would give the same bits. Kernels round differently for other widths, so a run that must be
    repeatable takes over exact chunks only; any other run takes over the longest common prefix.
    """

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self._api = model.api
        self._memory = model.api.llama_get_memory(model.context)
        self._batch = model.api.llama_batch_init(model.n_batch, 0, 1)
        for i in range(model.n_batch):
            self._batch.n_seq_id[i] = 1
            self._batch.seq_id[i][0] = 0
        self._held = array.array("i")
        self._exact = 0
        self._cached = 0
        self._changed = False
        self.kept_states = KeptStates(model.api, model.context)
        self._pieces = Pieces(model.api, model.vocab)

    def close(self) -> None:
        self._api.llama_batch_free(self._batch)

    @property
    def held(self) -> tuple[int, ...]:
        """The tokens in the KV cache, in order."""
        return tuple(self._held)

    def tokenize(self, text: str, *, add_special: bool) -> list[int]:
        """Token ids; special tokens written in `text` become themselves, as chat templates need."""
        return tokenize(self.model, text, add_special=add_special)

    def run(
        self, prompt: Sequence[int], sampling: Sampling, *, exact: bool, on_prefill: OnPrefill, on_text: OnText
    ) -> Outcome:
        """Answer `prompt`; raises PromptTooLong before anything is computed, WorkerError where llama.cpp fails."""
        model = self.model
        refuse_long(prompt, model.n_ctx)
        self._api.llama_perf_context_reset(model.context)
        sampler = Sampler(self._api, model.n_vocab, sampling, prompt)
        stream = TextStream(sampling.stop)
        try:
            with Flusher(stream, on_text) as flusher:
                self._cached = self._reuse(prompt, exact)
                ending: Ending = "cancelled"
                if self._prefill(prompt, on_prefill):
                    ending = self._generate(sampler, sampling.max_tokens, stream, flusher)
                stream.finish()
                flusher.close()
            timings = self._timings(sampler)
        finally:
            sampler.close()
        return Outcome(ending, Usage(len(prompt), flusher.n_tokens, self._cached), timings)

    def rest(self) -> None:
        """Nothing is asked now: copy what the cache holds, before another conversation takes its place."""
        if self._changed:
            self._changed = False
            self.kept_states.keep(self._held, self._exact)

    def _reuse(self, prompt: Sequence[int], exact: bool) -> int:
        """Keep what the KV cache already holds of `prompt`, less its last token, whose logits are needed.

        Where a kept state holds more of it, that state takes the cache's place first.
        """
        keep = common(self._held, prompt, min(self._exact if exact else len(self._held), len(prompt) - 1))
        kept, shared = self.kept_states.best(prompt, exact=exact)
        if kept is not None and shared - keep >= LEAST_TOKENS:
            keep = self._put_back(kept, shared)
        if exact:
            keep -= keep % self.model.n_batch
        if not self._api.llama_memory_seq_rm(self._memory, 0, keep, -1):
            # A recurrent model cannot forget a part.
            self._api.llama_memory_clear(self._memory, True)
            keep = 0
        self._forget(keep)
        return keep

    def _put_back(self, kept: Kept, shared: int) -> int:
        """Restore this state; 0 where llama.cpp refused it, after which the cache is empty."""
        if self.kept_states.restore(kept):
            self._held[:], self._exact = array.array("i", kept.tokens), kept.exact
            return shared
        self._api.llama_memory_clear(self._memory, True)
        self._forget(0)
        return 0

    def _forget(self, keep: int) -> None:
        del self._held[keep:]
        self._exact = min(self._exact, keep - keep % self.model.n_batch)
        self._changed = True

    def _prefill(self, prompt: Sequence[int], on_prefill: OnPrefill) -> bool:
        """Read the prompt in chunks; False when the person stopped it."""
        total, width = len(prompt), self.model.n_batch
        on_prefill(len(self._held), total)
        while len(self._held) < total:
            start = len(self._held)
            # Whole steps from 0, so that a chunk's width never depends on what an earlier run left behind.
            chunk = prompt[start : min(total, start - start % width + width)]
            self._fill(chunk, start, want_logits=start + len(chunk) == total)
            if not self._decode():
                return False
            self._held.extend(chunk)
            if start == self._exact and len(chunk) == width and self.model.has_all_threads:
                self._exact += width
            on_prefill(len(self._held), total)
        return not self.model.abort.is_set

    def _fill(self, tokens: Sequence[int], start: int, *, want_logits: bool) -> None:
        batch, count = self._batch, len(tokens)
        batch.n_tokens = count
        for pointer, values in ((batch.token, tokens), (batch.pos, range(start, start + count))):
            data = array.array("i", values)
            ctypes.memmove(pointer, data.buffer_info()[0], count * INT_BYTES)
        ctypes.memset(batch.logits, 0, count)
        batch.logits[count - 1] = want_logits

    def _decode(self) -> bool:
        """Compute the batch; False when it was stopped, after which the cache holds none of it."""
        status = int(self._api.llama_decode(self.model.context, self._batch))
        return status == DECODED or stopped(status)

    def _generate(self, sampler: Sampler, max_tokens: int | None, stream: TextStream, flusher: Flusher) -> Ending:
        """Sample, show, decode, until the model ends, a limit is met or the person stops it.

        Everything that a step touches is a local name here: between two decodes the caches of the processor are cold,
        and each look-up of an attribute is felt.
        """
        model, held, batch, pieces = self.model, self._held, self._batch, self._pieces
        sample, decode = self._api.llama_sampler_sample, self._api.llama_decode
        chain, context, aborted = sampler.chain, model.context, model.abort.byte
        token_at, position_at = batch.token, batch.pos
        now, add, append, n_held, n_ctx = time.monotonic_ns, stream.add, held.append, len(held), model.n_ctx
        last = n_held + (n_ctx if max_tokens is None else max_tokens) - 1
        begun = False
        batch.n_tokens = 1
        batch.logits[0] = True
        while aborted[0] == NOT_SET:
            token = sample(chain, context, -1)
            stamp = now()
            if (piece := pieces[token]) is None:
                return "stop"
            add(piece, stamp)
            if stream.stopped:
                return "stop"
            if not begun and stream.ready:
                begun = True
                flusher.begin()
            elif stream.waiting >= MAX_WAITING_TOKENS:
                flusher.flush()
            if n_held >= last or n_held >= n_ctx:
                return "length"
            token_at[0], position_at[0] = token, n_held
            if (status := decode(context, batch)) != DECODED:
                stopped(status)
                break
            append(token)
            n_held += 1
        return "cancelled"

    def _timings(self, sampler: Sampler) -> dict[str, Number]:
        """llama.cpp's own counters for this run; milliseconds and tokens."""
        run = self._api.llama_perf_context(self.model.context)
        drawn = self._api.llama_perf_sampler(sampler.chain)
        return {
            "prompt_ms": max(0.0, run.t_p_eval_ms),
            "prompt_n": run.n_p_eval,
            "predicted_ms": max(0.0, run.t_eval_ms),
            "predicted_n": run.n_eval,
            "sample_ms": max(0.0, drawn.t_sample_ms),
            "sample_n": drawn.n_sample,
            "load_ms": max(0.0, run.t_load_ms),
            "graphs_reused": run.n_reused,
            "n_threads": self.model.n_threads,
        }


def stopped(status: int) -> bool:
    """False where a decode was stopped on purpose; raises WorkerError where it failed."""
    if status == ABORTED:
        return False
    if status == NO_SLOT:
        raise WorkerError("The model's context memory is full.", fix="Shorten the prompt, or start again.")
    raise WorkerError(f"llama.cpp could not compute the next token (status {status}).")


def tokenize(model: LoadedModel, text: str, *, add_special: bool) -> list[int]:
    """See Session.tokenize."""
    data = text.encode("utf-8", "replace")
    room = len(data) + 8
    tokens = (ctypes.c_int32 * room)()
    count = int(model.api.llama_tokenize(model.vocab, data, len(data), tokens, room, add_special, True))
    if count < 0:
        raise ModelUnusable("This model could not read the prompt into tokens.")
    return tokens[:count]


def refuse_long(prompt: Sequence[int], n_ctx: int) -> None:
    """Raises PromptTooLong where the context does not hold the prompt and one token more."""
    too_many = len(prompt) + 1 - n_ctx
    if too_many > 0:
        raise PromptTooLong(
            f"The prompt is {len(prompt):,} tokens long, too long by {too_many:,}: "
            f"the context holds {n_ctx:,} with at least one for the answer."
        )
