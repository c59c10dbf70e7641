"""The tensor types of GGUF, and a tensor as a line of its table. Must not know which quant uses which type, or files.

Blocks are ggml's: so many elements of a row share so many bytes (ggml.h and ggml-common.h of llama.cpp).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

DEFAULT_ALIGNMENT = 32


@dataclass(frozen=True, slots=True)
class TensorType:
    """`number` stands in files; a block of `block_elements` elements of a row takes `block_bytes` bytes."""

    name: str
    number: int
    block_elements: int
    block_bytes: int

    @property
    def quantised(self) -> bool:
        return self.block_elements > 1


_TABLE = (
    ("F32", 0, 1, 4),
    ("F16", 1, 1, 2),
    ("Q4_0", 2, 32, 18),
    ("Q4_1", 3, 32, 20),
    ("Q5_0", 6, 32, 22),
    ("Q5_1", 7, 32, 24),
    ("Q8_0", 8, 32, 34),
    ("Q8_1", 9, 32, 36),
    ("Q2_K", 10, 256, 84),
    ("Q3_K", 11, 256, 110),
    ("Q4_K", 12, 256, 144),
    ("Q5_K", 13, 256, 176),
    ("Q6_K", 14, 256, 210),
    ("Q8_K", 15, 256, 292),
    ("IQ2_XXS", 16, 256, 66),
    ("IQ2_XS", 17, 256, 74),
    ("IQ3_XXS", 18, 256, 98),
    ("IQ1_S", 19, 256, 50),
    ("IQ4_NL", 20, 32, 18),
    ("IQ3_S", 21, 256, 110),
    ("IQ2_S", 22, 256, 82),
    ("IQ4_XS", 23, 256, 136),
    ("I8", 24, 1, 1),
    ("I16", 25, 1, 2),
    ("I32", 26, 1, 4),
    ("I64", 27, 1, 8),
    ("F64", 28, 1, 8),
    ("IQ1_M", 29, 256, 56),
    ("BF16", 30, 1, 2),
    ("TQ1_0", 34, 256, 54),
    ("TQ2_0", 35, 256, 66),
    ("MXFP4", 39, 32, 17),
    ("NVFP4", 40, 64, 36),
    ("Q1_0", 41, 128, 18),
    ("Q2_0", 42, 64, 18),
)
TYPES = {name: TensorType(name, number, elements, size) for name, number, elements, size in _TABLE}
TYPE_BY_NUMBER = {type_.number: type_ for type_ in TYPES.values()}
# Q4_2, Q4_3 and the repacked forms of Q4_0 and IQ4_NL: llama.cpp once wrote them and reads them no more.
REMOVED_TYPES = frozenset({4, 5, 31, 32, 33, 36, 37, 38})


@dataclass(frozen=True, slots=True)
class Tensor:
    """`dimensions` are in GGUF's order, the row first; `offset_bytes` counts from where the data begins."""

    name: str
    dimensions: tuple[int, ...]
    type: TensorType
    offset_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        return math.prod(self.dimensions) // self.type.block_elements * self.type.block_bytes


def aligned(size_bytes: int, alignment: int = DEFAULT_ALIGNMENT) -> int:
    """`size_bytes` rounded up to a multiple of `alignment`."""
    return -(-size_bytes // alignment) * alignment
