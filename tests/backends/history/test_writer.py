"""The thread that writes: order, failures, and what its end promises. Must not know a database."""

from __future__ import annotations

import threading
from types import TracebackType

import pytest

from backends.errors import HistoryUnavailable
from backends.history.writer import Writer


class Crowded:
    """A lock on which another thread waits: whenever it is let go, that thread gets its turn at once."""

    def __init__(self, writer: Writer, done: list[str]) -> None:
        self._lock = threading.Lock()
        self._writer = writer
        self._done = done
        self._busy = False

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._lock.release()
        if not self._busy:
            self._busy = True
            self._writer.submit(lambda: self._done.append("late")).exception(timeout=30)
            self._busy = False


def test_nothing_is_done_after_the_last_job() -> None:
    done: list[str] = []
    writer = Writer()
    writer.submit(lambda: done.append("first")).result(timeout=30)
    writer._lock = Crowded(writer, done)  # type: ignore[assignment]  # a lock, and nobody else's class
    writer.close(lambda: done.append("last")).result(timeout=30)
    assert done == ["first", "last"]


def test_a_closed_writer_refuses_and_may_be_closed_again() -> None:
    done: list[str] = []
    writer = Writer()
    writer.submit(lambda: done.append("due later"), delay_s=60)
    writer.close(lambda: done.append("last")).result(timeout=30)
    for future in (writer.submit(lambda: done.append("late")), writer.close(lambda: done.append("again"))):
        with pytest.raises(HistoryUnavailable, match="closed"):
            future.result(timeout=30)
    assert done == ["last"]
