"""The bytes of each token, asked of llama.cpp once. Must not know text, runs or limits."""

from __future__ import annotations

import ctypes
from typing import Any

FIRST_PIECE_BYTES = 256


class Pieces(dict[int, bytes | None]):
    """Token id to its bytes; None for a token that ends the answer. Holds at most the vocabulary.

    A run meets the same few hundred tokens over and over: looking one up costs a tenth of the two calls it replaces.
    """

    def __init__(self, api: Any, vocab: Any) -> None:
        super().__init__()
        self._api = api
        self._vocab = vocab
        self._buffer = ctypes.create_string_buffer(FIRST_PIECE_BYTES)

    def __missing__(self, token: int) -> bytes | None:
        piece = None if self._api.llama_vocab_is_eog(self._vocab, token) else self._ask(token)
        self[token] = piece
        return piece

    def _ask(self, token: int) -> bytes:
        buffer = self._buffer
        count = self._api.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        if count < 0:  # the piece is longer than the buffer: it says how long
            self._buffer = ctypes.create_string_buffer(-count)
            return self._ask(token)
        return ctypes.string_at(buffer, count)
