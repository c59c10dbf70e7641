"""Builds llama.cpp's native sampler chain from the parameters of a run. Must not know tokens' text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backends.records import Sampling

PENALTY_WINDOW = 64  # tokens looked back on, llama.cpp's own default
NO_PENALTY = 1.0


class Sampler:
    """A chain penalties -> top-k -> top-p -> min-p -> temperature -> draw; greedy at 0. `close` frees it."""

    def __init__(self, api: Any, n_vocab: int, sampling: Sampling, prompt: Sequence[int]) -> None:
        self._api = api
        parameters = api.llama_sampler_chain_default_params()
        parameters.no_perf = False
        self.chain = api.llama_sampler_chain_init(parameters)
        self._add_penalties(n_vocab, sampling, prompt)
        if sampling.temperature <= 0:
            self._add(api.llama_sampler_init_greedy())
            return
        if sampling.top_k > 0:
            self._add(api.llama_sampler_init_top_k(sampling.top_k))
        if sampling.top_p < 1:
            self._add(api.llama_sampler_init_top_p(sampling.top_p, 1))
        if sampling.min_p > 0:
            self._add(api.llama_sampler_init_min_p(sampling.min_p, 1))
        self._add(api.llama_sampler_init_temp(sampling.temperature))
        self._add(api.llama_sampler_init_dist(sampling.seed or 0))

    def close(self) -> None:
        if self.chain is not None:
            self._api.llama_sampler_free(self.chain)
            self.chain = None

    def _add_penalties(self, n_vocab: int, sampling: Sampling, prompt: Sequence[int]) -> None:
        if sampling.repeat_penalty == NO_PENALTY:
            return
        api = self._api
        self._add(api.llama_sampler_init_penalties(n_vocab, PENALTY_WINDOW, sampling.repeat_penalty, 0.0, 0.0))
        for token in prompt[-PENALTY_WINDOW:]:
            api.llama_sampler_accept(self.chain, token)

    def _add(self, sampler: Any) -> None:
        self._api.llama_sampler_chain_add(self.chain, sampler)
