"""Bounds what one response may make this process hold. Must not know what the bytes mean, beyond lines and events.

The SDK gathers a line until it ends, an event until an empty line ends it, and an error body until it is whole, without
any limit of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

from backends.errors import AnswerTooLarge

MAX_EVENT_BYTES = 16_000_000  # one event may hold a whole answer, with every character escaped
MAX_EVENT_LINES = 10_000  # each is an object of its own in the SDK; servers use one to four
MAX_ERROR_BYTES = 64_000
EMPTY_LINES = (b"\n\n", b"\r\r", b"\n\r\n")  # what ends an event, in every way that lines may end
SEAM_BYTES = 2  # an end of an event may be cut by the border of two parts


class _Event:
    """Counts the event that is under way, across parts."""

    def __init__(self) -> None:
        self._n_bytes = self._n_lines = 0
        self._seam = b""

    def add(self, part: bytes) -> None:
        """Raises AnswerTooLarge."""
        seamed = self._seam + part
        ends = max(seamed.rfind(mark) + len(mark) if mark in seamed else -1 for mark in EMPTY_LINES)
        if ends >= 0:
            self._n_bytes = self._n_lines = 0
            part = seamed[ends:]
        self._seam = seamed[-SEAM_BYTES:]
        self._n_bytes += len(part)
        self._n_lines += max(part.count(b"\n"), part.count(b"\r"))
        if self._n_bytes > MAX_EVENT_BYTES:
            raise AnswerTooLarge(f"One piece of the answer passed {MAX_EVENT_BYTES // 1_000_000} MB.")
        if self._n_lines > MAX_EVENT_LINES:
            raise AnswerTooLarge(f"One piece of the answer passed {MAX_EVENT_LINES:,} lines.")


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, *, is_answer: bool) -> None:
        self._inner = inner
        self._is_answer = is_answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        event, n_bytes = _Event(), 0
        async for part in self._inner:
            if self._is_answer:
                event.add(part)
            else:
                n_bytes += len(part)
                if n_bytes > MAX_ERROR_BYTES:
                    return
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()


async def bound_response(response: httpx2.Response) -> None:
    """A response hook for the HTTP client: an event has a limit, and an error body is cut at one."""
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream, is_answer=response.is_success)
