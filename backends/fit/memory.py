"""What a Llama needs on each device: weights, KV cache, compute buffer, overhead; in bytes. Must not know what is free.

Sources: src/llama-model.cpp (`load_tensors`: which layer goes where), src/llama-kv-cache.cpp and src/llama-context.cpp
of the llama.cpp that is pinned, run through `graph` and `schedule`; docs/measurements/fit-agreement.md sets the result
beside llama.cpp's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from backends.fit.graph import KV_BLOCKS, MATRICES, Graph, Work
from backends.fit.schedule import buffer_bytes
from backends.local.facts import CPU_BATCH, GPU_BATCH
from backends.models.records import ModelFacts, Shape, Weights
from backends.records import KvType

MIB = 2**20
CELLS_STEP = 256
# What a driver takes for a context on a GPU, its kernels and its scratch, which no log line tells. Others reckon with
# 250 MiB (gguf-parser) to 457 MiB (Ollama); the higher one also holds the pools that CUDA takes during a run. What a
# machine really took corrects it.
GPU_OVERHEAD_BYTES = 457 * MIB
# The worker itself: Python, llama.cpp, a vocabulary of 128,256 tokens; gguf-parser's figure for the same thing.
HOST_OVERHEAD_BYTES = 150 * MIB
# Layers of one device repeat the same pattern; by the third its buffer has met everything that it will.
TELLING_LAYERS = 3


@dataclass(frozen=True, slots=True)
class Layout:
    """How many layers each GPU takes, in order, counted with the output layer; what is left over stays on the host.

    The GPUs take the last layers of the model and always its output. `shared`: GPU and host use the same memory.
    """

    gpu_layers: tuple[int, ...] = ()
    shared: bool = False

    @property
    def on_gpus(self) -> int:
        return sum(self.gpu_layers)


@dataclass(frozen=True, slots=True)
class Need:
    """What lands on one device, but for overhead."""

    layers: int
    weights_bytes: int
    kv_bytes: int
    compute_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes + self.compute_bytes


def context_of(shape: Shape, n_ctx: int) -> int:
    """The context that is really made: never beyond training."""
    return min(n_ctx, shape.n_ctx_train) if shape.n_ctx_train else n_ctx


def cells_of(shape: Shape, n_ctx: int) -> int:
    """Tokens that the KV cache holds: llama.cpp rounds a context up to 256."""
    return -(-context_of(shape, n_ctx) // CELLS_STEP) * CELLS_STEP


def kv_bytes_per_layer(shape: Shape, n_ctx: int, kv_type: KvType, n_parallel: int = 1) -> int:
    """K and V of one layer: 2 * cells * kv_heads * head_dim elements in blocks of their type, for each answer."""
    elements, block_bytes = KV_BLOCKS[kv_type]
    return n_parallel * 2 * cells_of(shape, n_ctx) * shape.n_kv_heads * shape.head_dim // elements * block_bytes


def batch_of(shape: Shape, n_ctx: int, n_batch: int | None, *, on_gpu: bool, n_parallel: int = 1) -> int:
    """Prompt tokens read at a time, as the worker chooses them; never fewer than there are answers at once."""
    return max(min(n_batch or (GPU_BATCH if on_gpu else CPU_BATCH), context_of(shape, n_ctx)), n_parallel)


def needs(
    model: ModelFacts, layout: Layout, n_ctx: int, kv_type: KvType, n_batch: int | None, n_parallel: int = 1
) -> tuple[Need, ...]:
    """One entry per GPU of the layout, in order, and the host's last."""
    shape = model.shape
    weights = weights_on(model.weights, layout)
    per_layer = kv_bytes_per_layer(shape, n_ctx, kv_type, n_parallel)
    compute = compute_on(model, layout, n_ctx, kv_type, n_batch, n_parallel)
    repeating = list(layout.gpu_layers)
    if repeating:
        repeating[-1] -= 1  # the output has no cache
    repeating.append(shape.n_layers - sum(repeating))
    layers = (*layout.gpu_layers, shape.n_layers + 1 - layout.on_gpus)
    return tuple(
        Need(count, size, cached * per_layer, buffer)
        for count, size, cached, buffer in zip(layers, weights, repeating, compute, strict=True)
    )


def weights_on(weights: Weights, layout: Layout) -> tuple[int, ...]:
    """Tensor bytes per GPU, and the host's last. A tied matrix stands on the host and once more beside the output."""
    sums = _sums(weights.layer_bytes)
    at = len(weights.layer_bytes) + 1 - layout.on_gpus
    if at > len(weights.layer_bytes):
        output = weights.output_bytes - (weights.embedding_bytes if weights.tied else 0)
        return (*(0 for _ in layout.gpu_layers), weights.embedding_bytes + sums[-1] + output)
    host = weights.embedding_bytes + sums[at]
    placed = []
    for count in layout.gpu_layers:
        placed.append(sums[min(at + count, len(sums) - 1)] - sums[at])
        at += count
    placed[-1] += weights.output_bytes
    return (*placed, host)


def compute_on(
    model: ModelFacts, layout: Layout, n_ctx: int, kv_type: KvType, n_batch: int | None, n_parallel: int = 1
) -> tuple[int, ...]:
    """Compute buffers per GPU, and the host's last with the row of logits that it keeps for each answer.

    Layers that stay on the host weigh on the first GPU too: with a prompt of 32 tokens or more, CUDA fetches their
    weights and their KV cache, layer by layer, and computes them itself.
    """
    shape = model.shape
    batch = batch_of(shape, n_ctx, n_batch, on_gpu=layout.on_gpus > 0, n_parallel=n_parallel)
    on_host = shape.n_layers + 1 - layout.on_gpus
    matrices = _matrix_bytes(shape, model.weights) if on_host and layout.gpu_layers else _NO_MATRICES
    telling = tuple(min(count, TELLING_LAYERS + 1) for count in (*layout.gpu_layers, on_host))
    work = Work(cells_of(shape, n_ctx), kv_type, batch, n_parallel)
    sizes = _compute(shape, work, telling, layout.shared, matrices, on_host == 0)
    logits = shape.vocab * 4 * n_parallel
    return (*sizes[:-1], sizes[-1] + logits)


_NO_MATRICES = (0,) * len(MATRICES)


@lru_cache(maxsize=8192)
def _compute(
    shape: Shape,
    work: Work,
    telling: tuple[int, ...],
    shared: bool,
    matrix_bytes: tuple[int, ...],
    all_on_gpus: bool,
) -> tuple[int, ...]:
    """`telling` layers per GPU, the output counted with the last, and on the host: as few as show the whole pattern."""
    *on_gpus, on_host = telling
    host = len(on_gpus)
    places = [host] * on_host
    for number, count in enumerate(on_gpus):
        places += [number] * count
    # Where no GPU takes part, the host's count holds the output already.
    *layers, output = places
    graph = Graph(shape, work, host, all_on_gpus=all_on_gpus)
    graph.build(layers, output, dict(zip(MATRICES, matrix_bytes, strict=True)))
    return buffer_bytes(graph, pipelined=all_on_gpus and host > 1, shared=shared)


@lru_cache(maxsize=4096)
def _sums(layer_bytes: tuple[int, ...]) -> tuple[int, ...]:
    """Bytes of the first n layers, at place n."""
    return (0, *accumulate(layer_bytes))


@lru_cache(maxsize=4096)
def _matrix_bytes(shape: Shape, weights: Weights) -> tuple[int, ...]:
    """The matrices of the heaviest layer, estimated from its sum.

    Mixed quants give V and `down` of some layers more bits: what a layer has beyond the lightest goes to those two.
    """
    q, kv = shape.n_heads * shape.head_dim, shape.n_kv_heads * shape.head_dim
    sizes = dict(zip(MATRICES, (q, kv, kv, q, shape.ffn, shape.ffn, shape.ffn), strict=True))
    lightest, heaviest = min(weights.layer_bytes), max(weights.layer_bytes)
    plain = max(0, lightest - 2 * shape.hidden * 4) / sum(sizes.values())
    extra = (heaviest - lightest) / (kv + shape.ffn)
    return tuple(round(size * (plain + (extra if name in ("v", "down") else 0))) for name, size in sizes.items())
