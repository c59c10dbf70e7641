"""Reads a GGUF's header before native code does, and refuses what would make it fail or abort. Must not load weights.

The limits are those that keep llama.cpp's loader out of trouble: one flipped bit can abort the process, and every abort
seen in 5,864 mutations of a small file came from two equal strings in the vocabulary. Only a hash can find a weight
that changed; this is about the header and the file's length.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from backends.errors import ModelMissing, ModelUnusable, NotAModel

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_ENTRIES = 10_000
MAX_TENSORS = 100_000
MAX_STRING_BYTES = 16 * 2**20
MAX_NAME_BYTES = 63
MAX_DIMENSIONS = 4
MAX_ELEMENTS = 2**50
MAX_TENSOR_TYPE = 255
DEFAULT_ALIGNMENT = 32
STRING, ARRAY = 8, 9
SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
# ggml's tensor types: number -> (weights in a block, bytes of a block). A type not named here is left to llama.cpp.
TENSOR_BLOCKS = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    9: (32, 40),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    15: (256, 292),
    16: (256, 66),
    17: (256, 74),
    18: (256, 98),
    19: (256, 50),
    20: (32, 18),
    21: (256, 110),
    22: (256, 82),
    23: (256, 136),
    24: (1, 1),
    25: (1, 2),
    26: (1, 4),
    27: (1, 8),
    28: (1, 8),
    29: (256, 56),
    30: (1, 2),
    34: (256, 54),
    35: (256, 66),
    39: (32, 17),
    40: (64, 36),
    41: (128, 18),
}
WEB_PAGE_OPENINGS = (b"<!doctype html", b"<html", b"<head", b"<?xml")


class _Damaged(Exception):
    """The header breaks a rule; its text ends the sentence "<file> is damaged: ..."."""


def check_model_file(path: Path) -> None:
    """Return if llama.cpp may open this file; raises ModelMissing, NotAModel or ModelUnusable."""
    size = _size_of(path)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _check_opening(path, data)
            _Header(data, size).check()
    except _Damaged as damage:
        raise NotAModel(f"{path.name} is damaged: {damage}.") from None
    except OSError as error:
        raise ModelMissing(f"{path.name} cannot be read ({error.strerror}).") from None


def _size_of(path: Path) -> int:
    try:
        if path.is_dir():
            raise NotAModel(f"{path.name} is a folder, not a model file.", fix="Choose the .gguf file inside it.")
        if not path.exists():
            raise ModelMissing(f"There is no file {path}.")
        if not path.is_file():
            raise NotAModel(f"{path.name} is not a regular file.")
        size = path.stat().st_size
    except OSError as error:
        raise ModelMissing(f"{path.name} cannot be read ({error.strerror}).") from None
    if size == 0:
        raise NotAModel(f"{path.name} is empty.")
    return size


def _check_opening(path: Path, data: mmap.mmap) -> None:
    opening = data[:512]
    if opening[:4] == MAGIC:
        return
    if opening.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(WEB_PAGE_OPENINGS):
        raise NotAModel(
            f"{path.name} is a web page, not a model: a sign-in or error page was saved in its place.",
            fix="Sign in to the network or the site, then download the file again.",
        )
    raise NotAModel(f"{path.name} is not a GGUF model file.")


class _Header:
    """A cursor over the header; every read is checked against the end of the file."""

    def __init__(self, data: mmap.mmap, size: int) -> None:
        self._data = data
        self._size = size
        self._at = len(MAGIC)
        self._alignment = DEFAULT_ALIGNMENT

    def check(self) -> None:
        version = self._u32()
        if version not in VERSIONS:
            raise ModelUnusable(
                f"This file is GGUF version {version}; this app reads versions 2 and 3.",
                fix="Download the model again from a newer source.",
            )
        n_tensors, n_entries = self._u64(), self._u64()
        if not 0 < n_tensors <= MAX_TENSORS or n_entries > MAX_ENTRIES:
            raise _Damaged(f"its header claims {n_tensors:,} tensors and {n_entries:,} entries")
        keys: set[bytes] = set()
        for _ in range(n_entries):
            self._entry(keys)
        self._tensors(n_tensors)

    def _entry(self, keys: set[bytes]) -> None:
        key = self._string()
        if not key or key in keys:
            raise _Damaged("a name in its header is empty or appears twice")
        keys.add(key)
        kind = self._u32()
        if kind == STRING:
            self._string()
        elif kind == ARRAY:
            self._array(key)
        elif kind in SCALAR_BYTES:
            value = self._take(SCALAR_BYTES[kind])
            if key == b"general.alignment":
                self._set_alignment(kind, value)
        else:
            raise _Damaged("a value in its header has an unknown type")

    def _set_alignment(self, kind: int, value: bytes) -> None:
        alignment = int.from_bytes(value, "little")
        if kind != 4 or alignment == 0 or alignment & (alignment - 1):
            raise _Damaged("its alignment is not a power of two")
        self._alignment = alignment

    def _array(self, key: bytes) -> None:
        kind, count = self._u32(), self._u64()
        if kind == STRING:
            # Each string takes at least the 8 bytes of its length.
            if count > (self._size - self._at) // 8:
                raise _Damaged("a list in its header runs past the end of the file")
            strings = self._strings(count)
            if key == b"tokenizer.ggml.tokens" and len(set(strings)) != count:
                raise _Damaged("its vocabulary holds the same token twice")
        elif kind in SCALAR_BYTES:
            self._skip(count * SCALAR_BYTES[kind])
        else:
            raise _Damaged("a list in its header has an unknown type")

    def _strings(self, count: int) -> list[bytes]:
        """The hot loop: a Llama-3 vocabulary has 400,000 strings."""
        data, at, size = self._data, self._at, self._size
        unpack = struct.Struct("<Q").unpack_from
        strings = []
        for _ in range(count):
            if at + 8 > size:
                raise _Damaged("a list in its header runs past the end of the file")
            end = at + 8 + unpack(data, at)[0]
            if end > size or end - at > MAX_STRING_BYTES:
                raise _Damaged("a text in its header runs past the end of the file")
            strings.append(data[at + 8 : end])
            at = end
        self._at = at
        return strings

    def _tensors(self, count: int) -> None:
        names: set[bytes] = set()
        ends = 0
        for _ in range(count):
            name = self._string()
            if not name or len(name) > MAX_NAME_BYTES or name in names:
                raise _Damaged("a tensor's name is empty, too long or appears twice")
            names.add(name)
            ends = max(ends, self._tensor_end())
        start = -(-self._at // self._alignment) * self._alignment
        if start + ends > self._size:
            missing = start + ends - self._size
            raise _Damaged(f"it ends {missing:,} bytes too early, so the download or copy was cut short")

    def _tensor_end(self) -> int:
        """Where this tensor's bytes end, counted from the start of the data."""
        n_dimensions = self._u32()
        if not 1 <= n_dimensions <= MAX_DIMENSIONS:
            raise _Damaged("a tensor has an impossible number of dimensions")
        dimensions = [self._u64() for _ in range(n_dimensions)]
        elements = 1
        for length in dimensions:
            elements *= length
        kind, offset = self._u32(), self._u64()
        if not 0 < elements <= MAX_ELEMENTS or kind > MAX_TENSOR_TYPE or offset % self._alignment:
            raise _Damaged("a tensor has an impossible size, type or place")
        block, block_bytes = TENSOR_BLOCKS.get(kind, (1, 0))
        if dimensions[0] % block:
            raise _Damaged("a tensor's row does not fill whole blocks")
        return int(offset) + elements // block * block_bytes

    def _string(self) -> bytes:
        length = self._u64()
        if length > MAX_STRING_BYTES:
            raise _Damaged("a text in its header is impossibly long")
        return self._take(length)

    def _u32(self) -> int:
        return int.from_bytes(self._take(4), "little")

    def _u64(self) -> int:
        return int.from_bytes(self._take(8), "little")

    def _take(self, count: int) -> bytes:
        start = self._at
        self._skip(count)
        return self._data[start : self._at]

    def _skip(self, count: int) -> None:
        if self._at + count > self._size:
            raise _Damaged("its header runs past the end of the file")
        self._at += count
