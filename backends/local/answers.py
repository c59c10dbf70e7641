"""One answer of a batch: its prompt, sampler, text and limits, until it ends. Must not know slots or other answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backends.local.decode import Ending, OnPrefill, Outcome
from backends.local.flusher import MAX_WAITING_TOKENS, Flusher, OnText
from backends.local.model import LoadedModel
from backends.local.sampler import Sampler
from backends.local.text_stream import TextStream
from backends.records import Number, Sampling, Usage


class Answer:
    """State of one run. `close` frees its sampler; `add` is called with each token drawn."""

    def __init__(
        self,
        request_id: int,
        model: LoadedModel,
        prompt: Sequence[int],
        sampling: Sampling,
        *,
        exact: bool,
        on_prefill: OnPrefill,
        on_text: OnText,
    ) -> None:
        self.id = request_id
        self.prompt = prompt
        self.exact = exact
        self.on_prefill = on_prefill
        self.cached = 0
        self.next_token = 0
        self.ending: Ending | None = None
        self._api = model.api
        self._n_ctx = model.n_ctx
        self._left = model.n_ctx if sampling.max_tokens is None else sampling.max_tokens
        self._sampler = Sampler(model.api, model.n_vocab, sampling, prompt)
        self._stream = TextStream(sampling.stop)
        self._flusher = Flusher(self._stream, on_text)
        self._begun = False
        self._steps = 0
        self._widths = 0

    @property
    def chain(self) -> Any:
        return self._sampler.chain

    def close(self) -> None:
        self._sampler.close()

    def add(self, token: int, piece: bytes | None, stamp_ns: int, n_held: int) -> None:
        """A token was drawn with `n_held` tokens before it in the cache; `ending` is set where it was the last."""
        if piece is None:
            self.ending = "stop"
            return
        self._stream.add(piece, stamp_ns)
        self._left -= 1
        self.next_token = token
        if self._stream.stopped:
            self.ending = "stop"
        elif self._left <= 0 or n_held >= self._n_ctx:
            self.ending = "length"
        # The first text goes at once; the rest in time, unless it piles up.
        if (not self._begun and self._stream.ready) or self._stream.waiting >= MAX_WAITING_TOKENS:
            self._begun = True
            self._flusher.flush()

    def count_step(self, width: int) -> None:
        """One decode gave this answer a token, and `width` answers theirs."""
        self._steps += 1
        self._widths += width

    def flush(self) -> None:
        """Hand out what there is, but for the first text, which its own step hands out."""
        if self._begun:
            self._flusher.flush()

    def end(self, n_threads: int) -> Outcome:
        """Hand out the rest; what the run was."""
        self._stream.finish()
        self._flusher.close()
        usage = Usage(len(self.prompt), self._flusher.n_tokens, self.cached)
        return Outcome(self.ending or "cancelled", usage, self._timings(n_threads))

    def _timings(self, n_threads: int) -> Mapping[str, Number]:
        """What is true of this run alone: llama.cpp's clocks run for the whole context, its samplers' for each chain.

        `batch_mean` is how many answers, this one counted, shared its decodes on average.
        """
        drawn = self._api.llama_perf_sampler(self._sampler.chain)
        return {
            "prompt_n": len(self.prompt) - self.cached,
            "predicted_n": self._steps,
            "sample_ms": max(0.0, drawn.t_sample_ms),
            "sample_n": drawn.n_sample,
            "batch_mean": self._widths / self._steps if self._steps else 0.0,
            "n_threads": n_threads,
        }
