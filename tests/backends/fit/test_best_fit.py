"""The allocator never hands out memory twice, and joins what is given back."""

from __future__ import annotations

import random

from backends.fit.best_fit import BestFit


def test_blocks_never_overlap_and_all_can_be_given_back() -> None:
    rng = random.Random(7)
    buffer = BestFit(128)
    held: dict[int, int] = {}
    for _ in range(2000):
        if held and rng.random() < 0.45:
            offset = rng.choice(list(held))
            buffer.give_back(offset, held.pop(offset))
            continue
        size = rng.randrange(1, 5000)
        offset = buffer.take(size)
        assert offset % 128 == 0
        assert all(offset + size <= other or other + length <= offset for other, length in held.items())
        held[offset] = size
    for offset, size in held.items():
        buffer.give_back(offset, size)
    peak = buffer.peak_bytes
    assert buffer.take(peak) == 0, "nothing was lost between blocks"
    assert buffer.peak_bytes == peak


def test_the_smallest_hole_that_holds_it_is_taken() -> None:
    buffer = BestFit(1)
    offsets = [buffer.take(size) for size in (100, 10, 50, 10)]
    buffer.give_back(offsets[0], 100)
    buffer.give_back(offsets[2], 50)
    assert buffer.take(40) == offsets[2]
    assert buffer.take(60) == offsets[0]
    assert buffer.peak_bytes == 170
