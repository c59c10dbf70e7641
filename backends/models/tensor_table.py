"""The tensor table that a Llama of a given shape and quant has in its file. Must not read files or know repos."""

from __future__ import annotations

from collections.abc import Iterator

from backends.models.gguf_types import TYPES, Tensor, aligned
from backends.models.quant_rules import matrix_type
from backends.models.records import Shape
from backends.models.shapes import VOCAB, has_rope_factors

# Header of the published Llama 3 files: 7.83 to 7.87 million bytes, nearly all of it the vocabulary and its merges.
HEADER_BYTES = 7_850_000


def tensor_table(shape: Shape, quant: str, *, imatrix: bool = True) -> tuple[Tensor, ...]:
    """All tensors in file order, offsets included; raises KeyError where no rules are known for the quant."""
    tensors = []
    offset = 0
    for tensor in _tensors(shape, quant, imatrix):
        tensors.append(Tensor(tensor.name, tensor.dimensions, tensor.type, offset))
        offset += aligned(tensor.size_bytes)
    return tuple(tensors)


def data_bytes(tensors: tuple[Tensor, ...]) -> int:
    """What a file's tensors take, each aligned to 32 bytes."""
    return sum(aligned(tensor.size_bytes) for tensor in tensors)


def file_bytes(shape: Shape, quant: str, *, imatrix: bool = True) -> int:
    """A file's size to about 20 kB: its tensors exactly, its header by the size that published files have."""
    return data_bytes(tensor_table(shape, quant, imatrix=imatrix)) + HEADER_BYTES * shape.vocab // VOCAB


def _tensors(shape: Shape, quant: str, imatrix: bool) -> Iterator[Tensor]:
    def matrix(role: str, columns: int, rows: int, layer: int | None = None) -> Tensor:
        type_ = matrix_type(role, columns, quant, shape, layer=layer or 0, imatrix=imatrix)
        prefix = "" if layer is None else f"blk.{layer}."
        return Tensor(f"{prefix}{role}.weight", (columns, rows), type_)

    def norm(name: str, length: int = shape.hidden) -> Tensor:
        return Tensor(f"{name}.weight", (length,), TYPES["F32"])

    heads, kv_heads = shape.n_heads * shape.head_dim, shape.n_kv_heads * shape.head_dim
    yield matrix("token_embd", shape.hidden, shape.vocab)
    if has_rope_factors(shape):
        yield norm("rope_freqs", shape.head_dim // 2)
    for layer in range(shape.n_layers):
        yield norm(f"blk.{layer}.attn_norm")
        yield matrix("attn_q", shape.hidden, heads, layer)
        yield matrix("attn_k", shape.hidden, kv_heads, layer)
        yield matrix("attn_v", shape.hidden, kv_heads, layer)
        yield matrix("attn_output", heads, shape.hidden, layer)
        yield norm(f"blk.{layer}.ffn_norm")
        yield matrix("ffn_gate", shape.hidden, shape.ffn, layer)
        yield matrix("ffn_up", shape.hidden, shape.ffn, layer)
        yield matrix("ffn_down", shape.ffn, shape.hidden, layer)
    yield norm("output_norm")
    if not shape.tied:
        yield matrix("output", shape.hidden, shape.vocab)
