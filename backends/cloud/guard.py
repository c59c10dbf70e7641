"""Bounds what one response may make this process hold. Must not know what the bytes mean, beyond lines.

The SDK gathers a line until it ends and an error body until it is whole, without any limit of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

from backends.errors import AnswerTooLarge

MAX_LINE_BYTES = 16_000_000  # one event may hold a whole answer, with every character escaped
MAX_ERROR_BYTES = 64_000


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, *, is_answer: bool) -> None:
        self._inner = inner
        self._is_answer = is_answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        n_bytes = 0
        async for part in self._inner:
            if self._is_answer:
                end_of_line = part.rfind(b"\n")
                n_bytes = n_bytes + len(part) if end_of_line < 0 else len(part) - end_of_line - 1
                if n_bytes > MAX_LINE_BYTES:
                    raise AnswerTooLarge(f"One piece of the answer passed {MAX_LINE_BYTES // 1_000_000} MB.")
            else:
                n_bytes += len(part)
                if n_bytes > MAX_ERROR_BYTES:
                    return
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()


async def bound_response(response: httpx2.Response) -> None:
    """A response hook for the HTTP client: a line has a limit, and an error body is cut at one."""
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream, is_answer=response.is_success)
