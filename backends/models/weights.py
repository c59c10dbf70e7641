"""Where the bytes of a model's tensors lie, from its header or by rule, for fit. Must not know devices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from backends.errors import ModelUnusable
from backends.models.gguf import GgufHeader
from backends.models.gguf_types import Tensor
from backends.models.quant_rules import QUANTS
from backends.models.records import ModelFacts, Shape, Weights
from backends.models.tensor_table import file_bytes, tensor_table

EMBEDDINGS = frozenset({"token_embd.weight", "per_layer_token_embd.weight"})
_LAYER = re.compile(r"blk\.(\d{1,3})\.")


def weights_of(tensors: Sequence[Tensor], n_layers: int) -> Weights:
    """Tensor bytes by place, unpadded. The table that stretches positions is small and counted to the first layer."""
    layers = [0] * n_layers
    embedding = output = 0
    for tensor in tensors:
        layer = 0 if tensor.name.startswith("rope_") else _layer_of(tensor.name)
        if tensor.name in EMBEDDINGS:
            embedding += tensor.size_bytes
        elif layer is not None and layer < n_layers:
            layers[layer] += tensor.size_bytes
        else:
            output += tensor.size_bytes
    tied = all(tensor.name != "output.weight" for tensor in tensors)
    return Weights(embedding, tuple(layers), output + (embedding if tied else 0), tied)


@cache
def weights_by_rule(shape: Shape, quant: str, *, imatrix: bool = True) -> Weights:
    """To the byte, for the quants of `quant_rules.QUANTS`; raises KeyError for others."""
    return weights_of(tensor_table(shape, quant, imatrix=imatrix), shape.n_layers)


@cache
def weights_by_size(shape: Shape, size_bytes: int) -> Weights:
    """For a mixture without rules, such as UD-Q4_K_XL: the quant nearest in size, its layers stretched to fit.

    The total is right and the place of each byte roughly so, since such mixtures change types in the layers.
    """
    quant = min(QUANTS, key=lambda name: abs(file_bytes(shape, name) - size_bytes))
    near = weights_by_rule(shape, quant)
    in_layers = sum(near.layer_bytes)
    stretch = max(0.0, 1 + (size_bytes - file_bytes(shape, quant)) / in_layers)
    layers = tuple(round(size * stretch) for size in near.layer_bytes)
    return Weights(near.embedding_bytes, layers, near.output_bytes, near.tied)


def weights_from(header: GgufHeader) -> Weights:
    """To the byte from the tensor table; of a split model, join the headers of its parts first.

    Raises ModelUnusable where the header does not tell how many layers there are.
    """
    return weights_of(header.tensors, _shape(header).n_layers)


def facts_by_rule(
    name: str, quant: str, shape: Shape, *, imatrix: bool = True, size_bytes: int | None = None
) -> ModelFacts:
    """Facts of a model that is not here; `size_bytes` of its files serves a quant without rules, else KeyError."""
    if quant in QUANTS or size_bytes is None:
        weights = weights_by_rule(shape, quant, imatrix=imatrix)
    else:
        weights = weights_by_size(shape, size_bytes)
    return ModelFacts(name, quant, shape, weights, from_header=False)


def facts_from_header(header: GgufHeader, *, name: str, quant: str | None = None) -> ModelFacts:
    """Facts of the file itself; `quant` is what it is called where the header's own name is coarser."""
    return ModelFacts(name, quant or header.quant, _shape(header), weights_from(header), from_header=True)


def weights_file_bytes(weights: Weights) -> int:
    """What the tensors take in a file, where a tied matrix stands once."""
    output = weights.output_bytes - (weights.embedding_bytes if weights.tied else 0)
    return weights.embedding_bytes + sum(weights.layer_bytes) + output


def _shape(header: GgufHeader) -> Shape:
    if header.shape is None:
        raise ModelUnusable("The file does not say how large its model is, so what it needs cannot be told.")
    return header.shape


def _layer_of(name: str) -> int | None:
    found = _LAYER.match(name)
    return None if found is None else int(found[1])
