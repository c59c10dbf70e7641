"""The HTTP transport behind `Egress.http_client`: checks, counts and stamps at the socket. Must not read what passes.

This module and egress_socket are the only ones that open connections. It imports httpx2, so import it late.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import anyio
import httpcore2
import httpx2

from backends.egress import Egress, Entry
from backends.egress_guard import admitted
from backends.egress_policy import literal_of, on_this_machine
from backends.egress_route import MAX_HEAD_BYTES, check_tunnel, reaching, trust, tunnel_request

KEEP_ALIVE_S = 30.0
MAX_IDLE = 8

# At debug level these write down whole response heads, where a server may have put anything, our key included.
for _chatty in ("httpcore2", "httpx2"):
    logging.getLogger(_chatty).setLevel(logging.WARNING)


class Wire(httpcore2.AsyncNetworkStream):
    """A connection that counts its bytes and stamps the last arrival.

    A response is read by pulling: the text handed on between two reads arrived with the first of them. So
    `arrived_ns`, read while an event is handled, is when the bytes that completed that event came off the socket.
    """

    def __init__(self, stream: httpcore2.AsyncNetworkStream, egress: Egress, entry: Entry, connect_ns: int) -> None:
        self._stream = stream
        self._egress = egress
        self._entry = entry
        self._asking = False
        self.connect_ns = connect_ns
        self.arrived_ns = 0

    @property
    def requests(self) -> int:
        """Requests begun on this connection, the present one included; HTTP/1.1 has one at a time."""
        return self._entry.requests

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  httpcore's interface
        try:
            data = await self._stream.read(max_bytes, timeout)
        except Exception:  # raised again, unless our own cut is the cause
            self.check()
            raise
        self.arrived_ns = time.monotonic_ns()
        self.check()
        self._asking = False
        self._entry.bytes_received += len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  as above
        self.check()
        if not self._asking:
            self._asking = True
            self._entry.requests += 1
        await self._stream.write(buffer, timeout)
        self._entry.bytes_sent += len(buffer)

    def check(self) -> None:
        """Raises NetworkNotAllowed where the person has forbidden this host since, in mid-answer too."""
        self._egress.check_open(self._entry)

    async def aclose(self) -> None:
        self._entry.became("closed")
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  as above
    ) -> httpcore2.AsyncNetworkStream:
        began_ns = time.monotonic_ns()
        try:
            self.check()
            # Not `ssl_context`: that is as old as the pool, and the person may have added certificates since.
            inner = await self._stream.start_tls(trust(self._egress.route.ca_file), server_hostname, timeout)
        except BaseException:
            self._entry.became("failed")
            await self._stream.aclose()  # httpcore closes what it failed to encrypt, but not where we refused to try
            raise
        return Wire(inner, self._egress, self._entry, self.connect_ns + time.monotonic_ns() - began_ns)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class RecordingBackend(httpcore2.AsyncNetworkBackend):
    """Opens TCP connections for one purpose. The transport has asked the policy; no name has been looked up yet."""

    def __init__(self, egress: Egress, purpose: str) -> None:
        self._egress = egress
        self._purpose = purpose
        self._backend = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  as above
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        loop, scope = asyncio.get_running_loop(), anyio.CancelScope()
        abort = partial(_from_any_thread, loop, scope.cancel)
        entry = self._egress.begin(self._purpose, host, port, abort)
        began_ns = time.monotonic_ns()
        stream: httpcore2.AsyncNetworkStream | None = None
        try:
            with scope:
                stream = await self._reach(entry, timeout, local_address, socket_options)
                entry.abort = partial(_shut, stream)
            wire = Wire(stream, self._egress, entry, time.monotonic_ns() - began_ns)  # type: ignore[arg-type]
            wire.check()  # local only may have been switched on while it connected
        except BaseException:
            entry.became("failed")
            if stream is not None:
                await stream.aclose()
            raise
        entry.became("open")
        return wire

    async def _reach(
        self,
        entry: Entry,
        timeout: float | None,  # noqa: ASYNC109  as above
        local_address: str | None,
        socket_options: Iterable[Any] | None,
    ) -> httpcore2.AsyncNetworkStream:
        """Straight to the host, or through the proxy, which passes everything on unread. One time limit for all."""
        try:
            with anyio.fail_after(timeout):
                if entry.proxy is None:
                    return await self._straight(entry, local_address, socket_options)
                with reaching(entry.proxy):
                    stream = await self._one(*entry.proxy, local_address, socket_options)
                try:
                    await _open_tunnel(stream, entry.proxy, entry)
                except BaseException:
                    await stream.aclose()
                    raise
                return stream
        except TimeoutError as error:
            with reaching(entry.proxy):
                raise httpcore2.ConnectTimeout from error

    async def _straight(
        self, entry: Entry, local_address: str | None, socket_options: Iterable[Any] | None
    ) -> httpcore2.AsyncNetworkStream:
        """A name of this machine is never looked up."""
        if not on_this_machine(entry.host):
            return await self._one(entry.host, entry.port, local_address, socket_options)
        *others, last = literal_of(entry.host)
        for literal in others:
            with suppress(httpcore2.ConnectError):
                return await self._one(literal, entry.port, local_address, socket_options)
        return await self._one(last, entry.port, local_address, socket_options)

    async def _one(
        self, host: str, port: int, local_address: str | None, socket_options: Iterable[Any] | None
    ) -> httpcore2.AsyncNetworkStream:
        with admitted(host):
            return await self._backend.connect_tcp(host, port, None, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


async def _open_tunnel(stream: httpcore2.AsyncNetworkStream, proxy: tuple[str, int], entry: Entry) -> None:
    """Raises RouteUnusable where the proxy does not open it. These bytes are the proxy's, and are not counted."""
    await stream.write(tunnel_request(entry.host, entry.port))
    head = b""
    while not head.endswith(b"\r\n\r\n") and len(head) < MAX_HEAD_BYTES:
        data = await stream.read(1)  # never a byte of what comes after the head
        if not data:
            break
        head += data
    check_tunnel(head, proxy, entry.host)


def _from_any_thread(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop has ended, and everything on it
        loop.call_soon_threadsafe(work)


def _shut(stream: httpcore2.AsyncNetworkStream) -> None:
    """End a connection from any thread: a read that waits returns at once."""
    sock = stream.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


class RecordingTransport(httpx2.AsyncBaseTransport):
    """HTTP/1.1 over a pool of recorded connections. A rehearsal brings a `backend` that only plays the network."""

    def __init__(self, egress: Egress, purpose: str, backend: httpcore2.AsyncNetworkBackend | None = None) -> None:
        self._egress = egress
        self._purpose = purpose
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=trust(egress.route.ca_file),
            max_connections=None,  # a suite decides how many it opens; waiting for one here would look like latency
            max_keepalive_connections=MAX_IDLE,
            keepalive_expiry=KEEP_ALIVE_S,
            network_backend=backend or RecordingBackend(egress, purpose),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        # Asked again for every request: the policy may have changed since the connection was opened.
        self._egress.check(self._purpose, str(request.url))
        if not isinstance(request.stream, httpx2.AsyncByteStream):
            raise TypeError("an asynchronous client sends asynchronous bodies")
        inner = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _httpx_errors():
            response = await self._pool.handle_async_request(inner)
        return httpx2.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    """May be iterated again for what is left: the SDK does so to drain a response and keep its connection."""

    def __init__(self, response: httpcore2.Response) -> None:
        assert isinstance(response.stream, AsyncIterable)
        self._parts: AsyncIterable[bytes] = response.stream
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors():
            async for part in self._parts:
                yield part

    async def aclose(self) -> None:
        with _httpx_errors():
            await self._response.aclose()


@contextmanager
def _httpx_errors() -> Iterator[None]:
    """httpcore's errors under the names that httpx2 gives them, which are the same names."""
    try:
        yield
    except (
        httpcore2.TimeoutException,
        httpcore2.NetworkError,
        httpcore2.ProtocolError,
        httpcore2.UnsupportedProtocol,
    ) as error:
        raise getattr(httpx2, type(error).__name__)(str(error)) from error
