"""Reads numbers and strings of a GGUF header, each checked against what is there. Must not know what they mean.

What is there may be a whole file or only its beginning: then the reader says how much more it needs.
"""

from __future__ import annotations

import struct

MAX_STRING_BYTES = 16 * 2**20
MAX_STRINGS = 2 * 2**20  # in all lists together; the longest vocabularies in use have 0.8 million with their merges
MAX_HEADER_BYTES = 64 * 2**20  # the longest headers in use have 20 MB
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
SCALAR_BYTES = {kind: struct.calcsize(form) for kind, form in SCALARS.items()}
STRING, ARRAY = 8, 9

_U64 = struct.Struct("<Q").unpack_from
_U32 = struct.Struct("<I").unpack_from


class Damaged(Exception):
    """The header breaks a rule; its text ends the sentence "<file> is damaged: ..."."""


class HeaderIncomplete(Exception):
    """The header goes on after what was given; `at_least_bytes` of the file are needed, counted from its start.

    Often more than that is needed, so whoever fetches should also double what it has.
    """

    def __init__(self, at_least_bytes: int) -> None:
        super().__init__(f"the header takes at least {at_least_bytes} bytes")
        self.at_least_bytes = at_least_bytes


class Cursor:
    """A place in a header. `file_bytes` is the length of the whole file, None where that is not known.

    Every method raises Damaged where the header runs past the file or a limit, else HeaderIncomplete where more of it
    is needed.
    """

    def __init__(self, data: bytes, file_bytes: int | None, at: int = 0) -> None:
        self._data = data
        self._have = min(len(data), MAX_HEADER_BYTES)
        self._file_bytes = file_bytes
        self._strings_left = MAX_STRINGS
        self.at = at

    def u32(self) -> int:
        start = self.skip(4)
        return int(_U32(self._data, start)[0])

    def u64(self) -> int:
        start = self.skip(8)
        return int(_U64(self._data, start)[0])

    def scalar(self, kind: int) -> int | float | bool:
        start = self.skip(SCALAR_BYTES[kind])
        value: int | float | bool = struct.unpack_from(SCALARS[kind], self._data, start)[0]
        return value

    def scalars(self, kind: int, count: int) -> tuple[int | float | bool, ...]:
        start = self.skip(SCALAR_BYTES[kind] * count)
        return struct.unpack_from(f"<{count}{SCALARS[kind][1]}", self._data, start)

    def string(self) -> bytes:
        length = self.u64()
        if length > MAX_STRING_BYTES:
            raise Damaged("a text in its header is impossibly long")
        start = self.skip(length)
        return self._data[start : self.at]

    def strings(self, count: int, *, keep: bool) -> list[bytes]:
        """`count` strings, or none of them where they are only passed over.

        The hot loop: a Llama 3 file has 400,000 strings, so it keeps to local names.
        """
        if count > self._strings_left:
            raise Damaged("a list in its header is impossibly long")
        self._strings_left -= count
        data, at, have = self._data, self.at, self._have
        found: list[bytes] = []
        for left in range(8 * count, 0, -8):
            if at + left > have:  # each string that is left takes 8 bytes or more
                self._reach(at + left)
            length = _U64(data, at)[0]
            start = at + 8
            at = start + length
            if length > MAX_STRING_BYTES:
                raise Damaged("a text in its header runs past the end of the file")
            if at > have:
                self._reach(at + left - 8)
            if keep:
                found.append(data[start:at])
        self.at = at
        return found

    def skip(self, count: int) -> int:
        """Step over `count` bytes; returns where they begin."""
        start = self.at
        if start + count > self._have:
            self._reach(start + count)
        self.at = start + count
        return start

    def _reach(self, end: int) -> None:
        if self._file_bytes is not None and end > self._file_bytes:
            raise Damaged("its header runs past the end of the file")
        if end > MAX_HEADER_BYTES:
            raise Damaged("its header is impossibly long")
        raise HeaderIncomplete(end)
