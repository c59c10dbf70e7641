"""Builds GGUF headers byte by byte, right or wrong in one place. Must not know what makes them wrong."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

U8, I32, U16, U32, F32, BOOL, STRING, ARRAY, U64 = 0, 5, 2, 4, 6, 7, 8, 9, 10
FORMATS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
F32_TYPE, Q8_0_TYPE = 0, 8


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def value(kind: int, content: Any) -> bytes:
    """A typed value as it stands after its key; bytes are taken as they are."""
    if isinstance(content, bytes) and kind not in (STRING,):
        return struct.pack("<I", kind) + content
    if kind == STRING:
        return struct.pack("<I", kind) + text(content)
    return struct.pack("<I", kind) + struct.pack(FORMATS[kind], content)


def array(kind: int, items: Sequence[Any], *, count: int | None = None) -> tuple[int, bytes]:
    packed = b"".join(text(item) if kind == STRING else struct.pack(FORMATS[kind], item) for item in items)
    return ARRAY, struct.pack("<IQ", kind, len(items) if count is None else count) + packed


@dataclass(frozen=True)
class Line:
    """A line of the tensor table; offset None is the right one."""

    name: str | bytes
    dimensions: tuple[int, ...]
    type: int = F32_TYPE
    offset: int | None = None
    size_bytes: int = 0
    n_dimensions: int | None = None


@dataclass(frozen=True)
class Raw:
    """A small valid Llama header; `replace` its fields to break it."""

    magic: bytes = b"GGUF"
    version: int = 3
    n_tensors: int | None = None
    n_entries: int | None = None
    entries: Mapping[str | bytes, tuple[int, Any]] = field(
        default_factory=lambda: {
            "general.architecture": (STRING, "llama"),
            "llama.block_count": (U32, 1),
            "llama.embedding_length": (U32, 32),
            "llama.feed_forward_length": (U32, 64),
            "llama.attention.head_count": (U32, 4),
            "llama.attention.head_count_kv": (U32, 2),
            "llama.context_length": (U32, 128),
            "tokenizer.ggml.tokens": array(STRING, ["a", "b", "c"]),
            "tokenizer.ggml.token_type": array(I32, [1, 1, 1]),
            "tokenizer.ggml.bos_token_id": (U32, 0),
        }
    )
    twice: str | bytes | None = None
    lines: tuple[Line, ...] = (Line("token_embd.weight", (32, 3), size_bytes=384), Line("output_norm.weight", (32,)))
    data_bytes: int = 1024

    def with_entry(self, key: str | bytes, kind: int, content: Any) -> Raw:
        return replace(self, entries={**self.entries, key: (kind, content)})

    def without(self, key: str) -> Raw:
        return replace(self, entries={name: entry for name, entry in self.entries.items() if name != key})

    def header(self) -> bytes:
        entries = [text(key) + value(*entry) for key, entry in self.entries.items()]
        if self.twice is not None:
            entries.append(text(self.twice) + value(U32, 1))
        n_entries = len(entries) if self.n_entries is None else self.n_entries
        n_tensors = len(self.lines) if self.n_tensors is None else self.n_tensors
        head = self.magic + struct.pack("<IQQ", self.version, n_tensors % 2**64, n_entries % 2**64)
        return head + b"".join(entries) + self._table()

    def file(self) -> bytes:
        header = self.header()
        return header.ljust(-(-len(header) // 32) * 32, b"\0") + bytes(self.data_bytes)

    def _table(self) -> bytes:
        table, offset = b"", 0
        for line in self.lines:
            n_dimensions = len(line.dimensions) if line.n_dimensions is None else line.n_dimensions
            table += text(line.name) + struct.pack("<I", n_dimensions)
            table += b"".join(struct.pack("<Q", length % 2**64) for length in line.dimensions)
            table += struct.pack("<IQ", line.type, offset if line.offset is None else line.offset)
            offset += -(-line.size_bytes // 32) * 32
        return table
