"""The work that llama.cpp does for one batch of prompt tokens in a Llama, as a list of operations. Must not place them.

Source: src/models/llama.cpp, src/llama-graph.cpp and src/llama-kv-cache.cpp of the llama.cpp that is pinned, with the
choices of our worker: flash attention on, a row of logits and a stream of the cache for each sequence. Tensors are
sizes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backends.models.records import Shape
from backends.records import KvType

FLOAT_BYTES = 4
HALF_BYTES = 2
# Elements in a block, bytes of a block: ggml's own formats.
KV_BLOCKS: dict[KvType, tuple[int, int]] = {"f16": (1, 2), "q8_0": (32, 34), "q4_0": (32, 18)}
SMALLEST_ROTATION = 64
# With so many tokens or more, CUDA wants the work on weights that lie in the machine's memory, and copies them over.
OFFLOAD_MIN_ROWS = 32
MATRICES = ("q", "v", "k", "output", "gate", "up", "down")


class Tensor:
    """A tensor of the graph. `device` is None until something decides where it is computed.

    `kept` is memory that was there before (weights, KV cache): it takes nothing of the compute buffer. `n_rows` of an
    operation on weights is how many tokens go through it. `scratch_bytes` is what a GPU wants beside the result.
    """

    __slots__ = (
        "copied_in",
        "device",
        "in_place",
        "is_weight",
        "kept",
        "n_rows",
        "n_users",
        "offset",
        "owns",
        "scratch_bytes",
        "size_bytes",
        "sources",
        "stays",
    )

    def __init__(self, size_bytes: int, *, device: int | None = None, kept: bool = False, weight: bool = False) -> None:
        self.size_bytes = size_bytes
        self.device = device
        self.kept = kept
        self.is_weight = weight
        self.sources: list[Tensor] = []
        self.in_place = False
        self.n_rows = 0
        self.scratch_bytes = 0
        self.n_users = 0
        self.offset = 0
        self.owns = False
        self.stays = False
        self.copied_in: dict[int, Tensor] = {}


@dataclass(frozen=True, slots=True)
class Work:
    """The largest batch there is: `n_tokens` in all, of `n_parallel` sequences with `n_cells` of the cache each.

    llama.cpp reserves for as many tokens of each sequence, so it rounds their number up.
    """

    n_cells: int
    kv_type: KvType
    n_tokens: int
    n_parallel: int = 1

    @property
    def n_reserved(self) -> int:
        return -(-self.n_tokens // self.n_parallel) * self.n_parallel


class Graph:
    """Operations in the order they run, and the inputs, which the host writes, in the order of their first use.

    `layers` says where each layer's weights and KV cache lie, by a device's number; `host` is the host's.
    """

    def __init__(self, shape: Shape, work: Work, host: int, *, all_on_gpus: bool) -> None:
        self.operations: list[Tensor] = []
        self.inputs: list[Tensor] = []
        self.host = host
        # llama-context.cpp, graph_get_cb: else the norm of a layer would be left to the GPU before.
        n_tokens = work.n_reserved
        self._pins_norms = all_on_gpus or n_tokens < OFFLOAD_MIN_ROWS
        self._shape = shape
        self._n_tokens = n_tokens
        self._n_outputs = work.n_parallel
        self._kv_width = shape.n_kv_heads * shape.head_dim
        self._q_width = shape.n_heads * shape.head_dim
        n_cells = work.n_cells
        n_kept = n_cells * work.n_parallel
        elements, block_bytes = KV_BLOCKS[work.kv_type]
        self._cache_bytes = n_kept * self._kv_width // elements * block_bytes
        quantised = work.kv_type != "f16"
        self._rotates = quantised and shape.head_dim % SMALLEST_ROTATION == 0
        # Attention over a quantised cache first turns all of K and V into 16-bit floats (ggml-cuda/fattn.cu).
        self._attention_scratch = 2 * n_kept * self._kv_width * HALF_BYTES if quantised else 0
        self._mask_bytes = n_cells * n_tokens * HALF_BYTES
        self._named: dict[str, Tensor] = {}
        self._rope_tables: dict[int, Tensor] = {}

    def build(self, layers: Sequence[int], output: int, matrix_bytes: dict[str, int]) -> None:
        """The whole batch: embedding, layers, a row of logits for each sequence on device `output`."""
        tokens = self._input("tokens", self._n_tokens * FLOAT_BYTES)
        table = Tensor(0, device=self.host, kept=True, weight=True)
        current = self._operation(self._shape.hidden, table, tokens, rows=0)
        self._input("embeddings", self._shape.hidden * self._n_tokens * FLOAT_BYTES)  # the other way in, always there
        n_rows = self._n_tokens
        for index, device in enumerate(layers):
            attended = self._attention(current, device, matrix_bytes)
            if index == len(layers) - 1:
                n_rows = self._n_outputs
                chosen = self._input("chosen", FLOAT_BYTES * n_rows)
                attended = self._rows(attended, chosen)
                current = self._rows(current, chosen)
            current = self._feed_forward(attended, current, device, matrix_bytes, n_rows)
        normed = self._norm(current, output, n_rows, pinned=False)
        self._operation(self._shape.vocab, self._weight(output, 0), normed, n_tokens=n_rows, rows=n_rows)

    def _attention(self, current: Tensor, device: int, matrix_bytes: dict[str, int]) -> Tensor:
        def projected(name: str, width: int, source: Tensor) -> Tensor:
            return self._operation(width, self._weight(device, matrix_bytes[name]), source, rows=self._n_tokens)

        normed = self._norm(current, device, self._n_tokens)
        q = self._rope(projected("q", self._q_width, normed), self._q_width, device)
        q = self._rotated("k", q, self._q_width)
        v = self._rotated("v", projected("v", self._kv_width, normed), self._kv_width)
        k = self._rope(projected("k", self._kv_width, normed), self._kv_width, device)
        k = self._rotated("k", k, self._kv_width)
        caches = [Tensor(self._cache_bytes, device=device, kept=True) for _ in range(2)]
        for name, fresh in (("k_places", k), ("v_places", v)):
            stored = Tensor(0, device=device, kept=True)
            stored.sources = [fresh, self._input(name, self._n_tokens * 8)]
            self.operations.append(stored)
        attended = self._operation(self._q_width, q, *caches, self._input("mask", self._mask_bytes))
        attended.scratch_bytes = self._attention_scratch
        return projected("output", self._shape.hidden, self._rotated("v", attended, self._q_width))

    def _feed_forward(
        self, attended: Tensor, current: Tensor, device: int, matrix_bytes: dict[str, int], n_rows: int
    ) -> Tensor:
        def projected(name: str, width: int, source: Tensor) -> Tensor:
            weight = self._weight(device, matrix_bytes[name])
            return self._operation(width, weight, source, n_tokens=n_rows, rows=n_rows)

        hidden, ffn = self._shape.hidden, self._shape.ffn
        summed = self._operation(hidden, attended, current, n_tokens=n_rows, in_place=True)
        normed = self._norm(summed, device, n_rows)
        gate = projected("gate", ffn, normed)
        up = projected("up", ffn, normed)
        down = projected("down", hidden, self._operation(ffn, gate, up, n_tokens=n_rows))
        return self._operation(hidden, down, summed, n_tokens=n_rows, in_place=True)

    def _norm(self, source: Tensor, device: int, n_rows: int, *, pinned: bool = True) -> Tensor:
        hidden = self._shape.hidden
        plain = self._operation(hidden, source, n_tokens=n_rows, in_place=True)
        plain.device = device if pinned and self._pins_norms else None
        weight = self._weight(device, hidden * FLOAT_BYTES)
        return self._operation(hidden, plain, weight, n_tokens=n_rows, rows=n_rows, in_place=True)

    def _rope(self, source: Tensor, width: int, device: int) -> Tensor:
        positions = self._input("positions", self._n_tokens * FLOAT_BYTES)
        if device not in self._rope_tables:
            self._rope_tables[device] = self._weight(device, self._shape.head_dim // 2 * FLOAT_BYTES)
        return self._operation(width, source, positions, self._rope_tables[device])

    def _rotated(self, which: str, source: Tensor, width: int) -> Tensor:
        """A quantised cache holds K and V rotated, which spreads outliers; the rotation is one more matrix product."""
        if not self._rotates:
            return source
        size = SMALLEST_ROTATION
        while which == "k" and self._shape.head_dim % (2 * size) == 0:
            size *= 2
        matrix = self._input(f"{which}_rotation", size * size * FLOAT_BYTES)
        return self._operation(width, matrix, source)

    def _rows(self, source: Tensor, chosen: Tensor) -> Tensor:
        return self._operation(self._shape.hidden, source, chosen, n_tokens=self._n_outputs)

    def _operation(
        self, width: int, *sources: Tensor, n_tokens: int | None = None, rows: int = 0, in_place: bool = False
    ) -> Tensor:
        result = Tensor(width * FLOAT_BYTES * (self._n_tokens if n_tokens is None else n_tokens))
        result.sources = list(sources)
        result.n_rows = rows
        result.in_place = in_place
        self.operations.append(result)
        return result

    def _weight(self, device: int, size_bytes: int) -> Tensor:
        return Tensor(size_bytes, device=device, kept=True, weight=True)

    def _input(self, name: str, size_bytes: int) -> Tensor:
        if name not in self._named:
            self._named[name] = Tensor(size_bytes, device=self.host)
            self.inputs.append(self._named[name])
        return self._named[name]
