"""The tensor table of a GGUF header, each line checked as llama.cpp will. Must not know what tensors are for."""

from __future__ import annotations

import math

from backends.errors import ModelUnusable
from backends.models.gguf_cursor import Cursor, Damaged
from backends.models.gguf_types import REMOVED_TYPES, TYPE_BY_NUMBER, Tensor, TensorType, aligned

MAX_TENSORS = 100_000
MAX_NAME_BYTES = 63
MAX_DIMENSIONS = 4
MAX_ELEMENTS = 2**50
MAX_TYPE_NUMBER = 255


def read_tensors(cursor: Cursor, count: int, alignment: int) -> tuple[Tensor, ...]:
    """`count` lines in file order; raises Damaged, HeaderIncomplete, or ModelUnusable for a type from elsewhere."""
    tensors: list[Tensor] = []
    names: set[bytes] = set()
    expected_offset = 0
    for _ in range(count):
        raw = cursor.string()
        if not raw or len(raw) > MAX_NAME_BYTES or raw in names:
            raise Damaged("a tensor's name is empty, too long or appears twice")
        names.add(raw)
        tensor = _tensor(cursor, raw.decode(errors="replace"))
        if tensor.offset_bytes != expected_offset:
            raise Damaged("a tensor has an impossible size, type or place")
        expected_offset += aligned(tensor.size_bytes, alignment)
        tensors.append(tensor)
    return tuple(tensors)


def _tensor(cursor: Cursor, name: str) -> Tensor:
    n_dimensions = cursor.u32()
    if not 1 <= n_dimensions <= MAX_DIMENSIONS:
        raise Damaged("a tensor has an impossible number of dimensions")
    dimensions = tuple(cursor.u64() for _ in range(n_dimensions))
    number, offset = cursor.u32(), cursor.u64()
    if not 0 < math.prod(dimensions) <= MAX_ELEMENTS or number > MAX_TYPE_NUMBER:
        raise Damaged("a tensor has an impossible size, type or place")
    type_ = _type(number)
    if dimensions[0] % type_.block_elements:
        raise Damaged("a tensor's row does not fill whole blocks")
    return Tensor(name, dimensions, type_, offset)


def _type(number: int) -> TensorType:
    type_ = TYPE_BY_NUMBER.get(number)
    if type_ is not None:
        return type_
    if number in REMOVED_TYPES:
        raise ModelUnusable(
            "Its weights are packed in an old way that llama.cpp no longer reads.",
            fix="Download another quant of this model, such as Q4_K_M or Q4_0.",
        )
    raise ModelUnusable(
        f"Its weights have a type (number {number}) that this version of llama.cpp does not know.",
        fix="Download another quant of this model, such as Q4_K_M, or a newer Nearfar.",
    )
