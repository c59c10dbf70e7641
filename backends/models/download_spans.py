"""Which bytes of a file are there, as a list of ranges. Pure; must not know files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Span = tuple[int, int]


class Spans:
    """Half-open ranges of bytes, sorted, apart from one another. A download has a handful of them."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._spans: list[Span] = []
        for start, stop in spans:
            self.add(start, stop)

    def __iter__(self) -> Iterator[Span]:
        return iter(self._spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spans) and self._spans == other._spans

    def __repr__(self) -> str:
        return f"Spans({self._spans})"

    def copy(self) -> Spans:
        twin = Spans()
        twin._spans = list(self._spans)
        return twin

    def add(self, start: int, stop: int) -> None:
        if stop <= start:
            return
        before = [span for span in self._spans if span[1] < start]
        after = [span for span in self._spans if span[0] > stop]
        touching = self._spans[len(before) : len(self._spans) - len(after)]
        if touching:
            start, stop = min(start, touching[0][0]), max(stop, touching[-1][1])
        self._spans = [*before, (start, stop), *after]

    def covers(self, start: int, stop: int) -> bool:
        return any(span[0] <= start and stop <= span[1] for span in self._spans)

    @property
    def total(self) -> int:
        return sum(stop - start for start, stop in self._spans)

    @property
    def front(self) -> int:
        """How many bytes are there from the start without a gap."""
        return self._spans[0][1] if self._spans and self._spans[0][0] == 0 else 0

    def gaps(self, size: int) -> Iterator[Span]:
        """What is missing of a file of `size` bytes, in order."""
        at = 0
        for start, stop in self._spans:
            if start > at:
                yield at, min(start, size)
            at = max(at, stop)
        if at < size:
            yield at, size
