"""The named values at the start of a GGUF header, within limits that native code survives. Must not know of tensors.

llama.cpp aborts the whole process where two tokens of a vocabulary are equal, and also reads texts only up to their
first zero byte, so the vocabulary is compared as llama.cpp will see it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from backends.models.gguf_cursor import ARRAY, MAX_HEADER_BYTES, SCALAR_BYTES, STRING, Cursor, Damaged

MAX_ENTRIES = 10_000
MAX_TOKENS = 2**20  # four times the longest vocabulary in use
MAX_KEPT_TEXT_BYTES = 4096
MAX_KEPT_NUMBERS = 1024
MAX_KEY_BYTES = 65_535  # as the format says
INTEGERS = (0, 1, 2, 3, 4, 5, 10, 11)
TOKENS = "tokenizer.ggml.tokens"

Scalar = int | float | bool | str


@dataclass(frozen=True, slots=True)
class Array:
    """A list by its element type and length; `numbers` are its values where it is a short list of whole numbers."""

    kind: int
    count: int
    numbers: tuple[int, ...] | None = None


@dataclass(slots=True)
class Entries:
    """What stands before the tensor table. A text longer than 4 KiB is known by its length alone."""

    kinds: dict[str, int] = field(default_factory=dict)
    values: dict[str, Scalar] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)
    text_bytes: dict[str, int] = field(default_factory=dict)

    def integer(self, key: str) -> int | None:
        """A whole number; of a list, its one value where all are equal. None where there is no such thing."""
        value = self.values.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        array = self.arrays.get(key)
        if array is not None and array.numbers and len(set(array.numbers)) == 1:
            return array.numbers[0]
        return None

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        return value if isinstance(value, str) else None


def read_entries(cursor: Cursor, count: int) -> Entries:
    """`count` entries; raises Damaged or HeaderIncomplete."""
    entries = Entries()
    for _ in range(count):
        key = _key(cursor, entries)
        kind = cursor.u32()
        entries.kinds[key] = kind
        if kind == STRING:
            text = cursor.string()
            entries.text_bytes[key] = len(text)
            if len(text) <= MAX_KEPT_TEXT_BYTES:
                entries.values[key] = text.decode(errors="replace")
        elif kind == ARRAY:
            entries.arrays[key] = _array(cursor, key)
        elif kind in SCALAR_BYTES:
            entries.values[key] = cursor.scalar(kind)
        else:
            raise Damaged("a value in its header has an unknown type")
    return entries


def _key(cursor: Cursor, entries: Entries) -> str:
    raw = cursor.string()
    if len(raw) > MAX_KEY_BYTES:
        raise Damaged("a name in its header is impossibly long")
    try:
        key = raw.decode()
    except UnicodeDecodeError:
        raise Damaged("a name in its header is not text") from None
    if not key or key in entries.kinds:
        raise Damaged("a name in its header is empty or appears twice")
    return key


def _array(cursor: Cursor, key: str) -> Array:
    kind, count = cursor.u32(), cursor.u64()
    if kind == STRING:
        if key == TOKENS and count > MAX_TOKENS:
            raise Damaged("its vocabulary is impossibly long")
        strings = cursor.strings(count, keep=key == TOKENS)
        if key == TOKENS:
            _check_vocabulary(strings)
        return Array(kind, count)
    if kind not in SCALAR_BYTES:
        raise Damaged("a list in its header has an unknown type")
    if kind in INTEGERS and count <= MAX_KEPT_NUMBERS:
        return Array(kind, count, tuple(int(number) for number in cursor.scalars(kind, count)))
    cursor.skip(min(count, MAX_HEADER_BYTES) * SCALAR_BYTES[kind])
    return Array(kind, count)


def _check_vocabulary(tokens: list[bytes]) -> None:
    if not tokens:
        raise Damaged("its vocabulary is empty")
    different = set(tokens)
    if len(different) == len(tokens) and b"" not in different and b"\0" not in b"".join(tokens):
        return
    seen: set[bytes] = set()
    for number, token in enumerate(tokens):
        # llama.cpp stops at a zero byte, and gives an empty token this name.
        read = token.partition(b"\0")[0] or b"[EMPTY_%d]" % number
        if read in seen:
            raise Damaged("its vocabulary holds the same token twice")
        seen.add(read)
