"""Places blocks in a buffer that grows, in the very way ggml's graph allocator does. Must not know tensors or models.

Source: ggml/src/ggml-alloc.c (`ggml_dyn_tallocr_*`) of the llama.cpp that is pinned; its rules decide how much of a
compute buffer is lost between blocks, which at long contexts is hundreds of MiB.
"""

from __future__ import annotations

ENDLESS = 2**62


class BestFit:
    """Free blocks by offset, the last of them endless; `peak_bytes` is what the buffer must hold."""

    __slots__ = ("_alignment", "_free", "peak_bytes")

    def __init__(self, alignment: int) -> None:
        self._alignment = alignment
        self._free: list[list[int]] = [[0, ENDLESS]]
        self.peak_bytes = 0

    def take(self, size_bytes: int) -> int:
        """The offset of the smallest free block that holds so much, the later one of equals."""
        size = self._aligned(size_bytes)
        free = self._free
        best, best_size = len(free) - 1, ENDLESS
        for index in range(len(free) - 1):
            if size <= free[index][1] <= best_size:
                best, best_size = index, free[index][1]
        block = free[best]
        offset = block[0]
        block[0] += size
        block[1] -= size
        if not block[1]:
            del free[best]
        if offset + size > self.peak_bytes:
            self.peak_bytes = offset + size
        return offset

    def give_back(self, offset: int, size_bytes: int) -> None:
        """Free a block and join it with its free neighbours."""
        size = self._aligned(size_bytes)
        free = self._free
        after = next(index for index, block in enumerate(free) if block[0] > offset)
        following = free[after]
        before = free[after - 1] if after else None
        joins_following = offset + size == following[0]
        if before is not None and before[0] + before[1] == offset:
            before[1] += size
            if joins_following:
                before[1] += following[1]
                del free[after]
        elif joins_following:
            following[0] = offset
            following[1] += size
        else:
            free.insert(after, [offset, size])

    def _aligned(self, size_bytes: int) -> int:
        return -(-size_bytes // self._alignment) * self._alignment
