"""A bare loop over llama.cpp's C API: several sequences in one llama_batch, greedy, and nothing else. Prints tok/s.

Arguments: model file, sequences, tokens of each prompt, tokens of each answer, n_ctx of each, threads. The context's
parameters are those of our worker. The rate is over the decoding alone, all sequences together.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import llama_cpp.llama_cpp as llama_cpp

API: Any = llama_cpp  # its functions are made by a decorator that mypy cannot follow
N_BATCH = 256
quiet = API.llama_log_callback(lambda _level, _text, _data: None)  # llama.cpp keeps it as long as it runs


def context_of(path: str, n_seq: int, n_ctx: int, threads: int) -> Any:
    API.llama_log_set(quiet, None)
    model = API.llama_model_load_from_file(os.fsencode(path), API.llama_model_default_params())
    parameters = API.llama_context_default_params()
    parameters.n_ctx = n_ctx * n_seq
    parameters.n_seq_max = parameters.n_outputs_max = n_seq
    parameters.n_batch = parameters.n_ubatch = N_BATCH
    parameters.n_threads = parameters.n_threads_batch = threads
    parameters.flash_attn_type = API.LLAMA_FLASH_ATTN_TYPE_ENABLED
    return API.llama_init_from_model(model, parameters)


def put(batch: Any, rows: list[tuple[int, int, int]]) -> None:
    """Rows of token, position and sequence; logits for all rows of a step, for the last of a prompt."""
    batch.n_tokens = len(rows)
    for row, (token, position, seq) in enumerate(rows):
        batch.token[row], batch.pos[row], batch.n_seq_id[row], batch.seq_id[row][0] = token, position, 1, seq
        batch.logits[row] = row + 1 == len(rows) or rows[row + 1][2] != seq


def main() -> int:
    path = sys.argv[1]
    n_seq, n_prompt, n_answer, n_ctx, threads = map(int, sys.argv[2:])
    context = context_of(path, n_seq, n_ctx, threads)
    batch = API.llama_batch_init(N_BATCH, 0, 1)
    chain = API.llama_sampler_chain_init(API.llama_sampler_chain_default_params())
    API.llama_sampler_chain_add(chain, API.llama_sampler_init_greedy())
    tokens = []
    for seq in range(n_seq):
        put(batch, [(300 + seq + position, position, seq) for position in range(n_prompt)])
        assert API.llama_decode(context, batch) == 0
        tokens.append(API.llama_sampler_sample(chain, context, -1))
    started_s = time.monotonic()
    for step in range(n_answer - 1):
        put(batch, [(token, n_prompt + step, seq) for seq, token in enumerate(tokens)])
        assert API.llama_decode(context, batch) == 0
        tokens = [API.llama_sampler_sample(chain, context, seq) for seq in range(n_seq)]
    print(n_seq * (n_answer - 1) / (time.monotonic() - started_s))
    return 0


if __name__ == "__main__":
    sys.exit(main())
