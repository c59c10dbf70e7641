"""Writes Llama GGUF files of any shape and quant whose weights are a hole in the file. Must not decide what they hold.

Such a file has the size, header and tensor table of a real one and takes a few MB on disk, so that llama.cpp can be
asked (`no_alloc`) what a 405B would need. `split_model` cuts a small real model into parts as llama.cpp itself does.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np

from backends.models.gguf_types import Tensor, aligned
from backends.models.quant_rules import QUANTS
from backends.models.records import Shape
from backends.models.tensor_table import data_bytes, tensor_table
from tests.gguf_factory import BOS, EOT, LLAMA3_TEMPLATE, vocabulary

Vocab = Literal["short", "real"]

REAL_MERGES = 280_147  # as many as Llama 3's tokeniser has; with them a header is about as long as a published file's


class Packed(tuple[int, int, bytes]):
    """An array as it stands in a file: element type, count, and the elements one after the other."""

    __slots__ = ()


class _Writer(gguf.GGUFWriter):
    """The package's own writer, except that arrays of 128,256 strings come ready-made: it packs them one by one."""

    def _pack_val(self, val: Any, *args: Any, **keywords: Any) -> bytes:
        if isinstance(val, Packed):
            kind, count, content = val
            return struct.pack("<IIQ", gguf.GGUFValueType.ARRAY, kind, count) + content
        return bytes(super()._pack_val(val, *args, **keywords))


def write_sparse(
    path: Path,
    shape: Shape,
    quant: str,
    *,
    n_ctx_train: int | None = None,
    vocab: Vocab = "short",
    imatrix: bool = True,
    template: str | None = LLAMA3_TEMPLATE,
) -> Path:
    """A valid Llama file; a "real" vocabulary is as long as Llama 3's, a "short" one has the same count, few merges."""
    tensors = tensor_table(shape, quant, imatrix=imatrix)
    writer = _Writer(path, "llama")
    _describe(writer, path.stem, shape, quant, n_ctx_train or shape.n_ctx_train, template)
    for key, packed in _tokeniser(shape.vocab, vocab).items():
        writer.add_key_value(key, packed, gguf.GGUFValueType.ARRAY)
    for tensor in tensors:
        _add(writer, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    os.truncate(path, aligned(path.stat().st_size) + data_bytes(tensors))
    return path


def split_model(path: Path, n_parts: int, folder: Path | None = None) -> tuple[Path, ...]:
    """Copy a small file into parts named as llama.cpp wants them: <stem>-00001-of-0000N.gguf."""
    reader = gguf.GGUFReader(path)
    entries = {
        name: field
        for name, field in reader.fields.items()
        if not name.startswith(("GGUF.", "split.", "general.align"))
    }
    per_part = -(-len(reader.tensors) // n_parts)
    parts = []
    for number in range(n_parts):
        tensors = reader.tensors[number * per_part : (number + 1) * per_part]
        target = (folder or path.parent) / f"{path.stem}-{number + 1:05}-of-{n_parts:05}.gguf"
        raw = [_raw(field) for field in entries.values()] if number == 0 else []
        _write_part(target, raw, number, n_parts, len(reader.tensors), tensors)
        parts.append(target)
    return tuple(parts)


def _describe(writer: _Writer, name: str, shape: Shape, quant: str, n_ctx_train: int, template: str | None) -> None:
    writer.add_name(name)
    writer.add_context_length(n_ctx_train)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.n_layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.n_heads)
    writer.add_head_count_kv(shape.n_kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500_000.0)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_vocab_size(shape.vocab)
    writer.add_file_type(QUANTS[quant][0])
    writer.add_quantization_version(2)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_bos_token_id(shape.vocab - 5)  # the special tokens are the last ones, in the order of gguf_factory
    writer.add_eos_token_id(shape.vocab - 1)
    if template is not None:
        writer.add_chat_template(template)


def _add(writer: _Writer, tensor: Tensor) -> None:
    rows_first = tuple(reversed(tensor.dimensions))
    quant = gguf.GGMLQuantizationType(tensor.type.number)
    writer.add_tensor_info(tensor.name, rows_first, np.dtype(np.float32), tensor.size_bytes, raw_dtype=quant)


@cache
def _tokeniser(size: int, vocab: Vocab) -> dict[str, Packed]:
    """Token list, types and merges, packed once for each size: they take longer to make than all the rest."""
    words = vocabulary(size)
    merges = list(words.merges)
    if vocab == "real":
        merges += [f"{left:05} {left % 1000:03}" for left in range(REAL_MERGES - len(merges))]
    assert words.tokens[size - 5] == BOS
    assert words.tokens[size - 1] == EOT
    types = struct.pack(f"<{size}i", *words.types)
    return {
        "tokenizer.ggml.tokens": _strings(words.tokens),
        "tokenizer.ggml.token_type": Packed((gguf.GGUFValueType.INT32, size, types)),
        "tokenizer.ggml.merges": _strings(merges),
    }


def _strings(texts: Iterable[str]) -> Packed:
    encoded = [text.encode() for text in texts]
    length = struct.Struct("<Q").pack
    content = b"".join(piece for text in encoded for piece in (length(len(text)), text))
    return Packed((gguf.GGUFValueType.STRING, len(encoded), content))


def _raw(field: gguf.ReaderField) -> bytes:
    """An entry of a header as it stands in the file."""
    return b"".join(part.tobytes() for part in field.parts)


def _write_part(
    path: Path, raw: list[bytes], number: int, n_parts: int, n_tensors: int, tensors: list[gguf.ReaderTensor]
) -> None:
    entries = [
        *raw,
        _entry("split.no", 2, struct.pack("<H", number)),
        _entry("split.count", 2, struct.pack("<H", n_parts)),
    ]
    entries.append(_entry("split.tensors.count", 5, struct.pack("<i", n_tensors)))
    table, data = [], []
    offset = 0
    for tensor in tensors:
        content = tensor.data.tobytes()
        table.append(_table_line(tensor, offset))
        data.append(content.ljust(aligned(len(content)), b"\0"))
        offset += aligned(len(content))
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(entries)) + b"".join(entries) + b"".join(table)
    path.write_bytes(header.ljust(aligned(len(header)), b"\0") + b"".join(data))


def _entry(key: str, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + value


def _table_line(tensor: gguf.ReaderTensor, offset: int) -> bytes:
    name = tensor.name.encode()
    line = struct.pack("<Q", len(name)) + name + struct.pack("<I", len(tensor.shape))
    return (
        line
        + struct.pack(f"<{len(tensor.shape)}Q", *map(int, tensor.shape))
        + struct.pack("<IQ", tensor.tensor_type, offset)
    )
