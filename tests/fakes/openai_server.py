"""A real HTTP server on loopback that speaks the OpenAI protocol as a script tells it to, politely or not.

It runs in a thread with a loop of its own, so that a test may block, and writes bytes itself, so that it may break
every rule. Must not know the app's code.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

CERTIFICATES = Path(__file__).parent / "certificates"
EVENT_STREAM = "text/event-stream; charset=utf-8"
# What the kernel has accepted is ours a few turns of the loop later; asyncio forgets to close it if that is too late.
TURNS_TO_CONNECT = 5


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


@dataclass
class Exchange:
    """One request and the means to answer it. Every method writes at once."""

    request: Received
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: OpenAIServer
    _chunked: bool = field(default=False, init=False)

    async def head(
        self,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        *,
        chunked: bool = True,
        kind: str = EVENT_STREAM,
    ) -> None:
        """Status line and headers; the body follows in chunks, or until the connection closes."""
        fields = {"Content-Type": kind, **(headers or {})}
        self._chunked = chunked and "Content-Length" not in fields
        if self._chunked:
            fields["Transfer-Encoding"] = "chunked"
        lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        await self.raw("\r\n".join(lines).encode("latin-1"))

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def data(self, data: bytes) -> None:
        """Body bytes, framed as the head promised."""
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data) if self._chunked else data)

    async def event(self, value: object) -> None:
        """One server-sent event holding JSON."""
        await self.data(b"data: " + json.dumps(value).encode() + b"\n\n")

    async def say(self, text: str, **delta: object) -> None:
        await self.event(chunk({"content": text, **delta}))

    async def finish(self, reason: str = "stop", usage: Mapping[str, object] | None = None, **extra: object) -> None:
        """The last chunk, usage if there is any, [DONE], and the end of the body."""
        await self.event(chunk({}, finish_reason=reason))
        if usage is not None or extra:
            await self.event({**chunk(None), "choices": [], "usage": usage, **extra})
        await self.data(b"data: [DONE]\n\n")
        await self.end()

    async def end(self) -> None:
        if self._chunked:
            await self.raw(b"0\r\n\r\n")

    async def answer_json(self, status: int, value: object, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        await self.head(status, {"Content-Length": str(len(body)), **(headers or {})}, kind="application/json")
        await self.raw(body)

    async def answer_text(self, status: int, text: str, kind: str, headers: Mapping[str, str] | None = None) -> None:
        body = text.encode()
        await self.head(status, {"Content-Length": str(len(body)), **(headers or {})}, kind=kind)
        await self.raw(body)

    def close(self) -> None:
        """End the connection as a server does that is done."""
        self.writer.close()

    def reset(self) -> None:
        """End the connection with RST, as a crash or a firewall does."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def until_gone(self, limit_s: float = 30.0) -> None:
        """Until the client closes its side; the server notes when."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(limit_s):
                while await self.reader.read(4096):
                    pass
                self.server.note_gone()
                return
        self.server.note_gone()


Script = Callable[[Exchange], Awaitable[None]]


def chunk(
    delta: Mapping[str, object] | None, *, finish_reason: str | None = None, model: str = "scripted-1"
) -> dict[str, Any]:
    """A chat.completion.chunk as servers send it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }


def usage(prompt: int, completion: int, *, cached: int = 0, reasoning: int = 0) -> dict[str, object]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def answer(*pieces: str, pause_s: float = 0.0, counts: Mapping[str, object] | None = None) -> Script:
    """A well-behaved answer of these pieces."""

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.event(chunk({"role": "assistant", "content": ""}))
        for piece in pieces:
            await exchange.say(piece)
            if pause_s:
                await asyncio.sleep(pause_s)
        await exchange.finish(usage=counts or usage(12, len(pieces)))

    return script


def error(status: int, headers: Mapping[str, str] | None = None, **fields: object) -> Script:
    """An error in the shape that OpenAI gives it."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer_json(
            status, {"error": {"message": "no", "type": None, "param": None, "code": None, **fields}}, headers
        )

    return script


def by_path(routes: Mapping[str, object]) -> Script:
    """GETs of these paths are answered with JSON, or with a bare status where that is given; others with 404."""

    async def script(exchange: Exchange) -> None:
        value = routes.get(exchange.request.path, 404)
        if isinstance(value, int):
            await exchange.answer_json(value, {"error": {"message": "no"}})
        else:
            await exchange.answer_json(200, value)

    return script


class OpenAIServer:
    """Answers the first request by the first script, and so on; the last script answers all that follow."""

    def __init__(self, *scripts: Script, certificate: str | None = None, host: str = "127.0.0.1") -> None:
        self.scripts: Sequence[Script] = scripts or (answer("Hello", " there", "."),)
        self.received: list[Received] = []
        self.connections = 0
        self.gone = threading.Event()
        self.gone_at = 0.0
        self.failures: list[BaseException] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._certificate = certificate
        self._host = host
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="openai-server", daemon=True)
        self.port = 0

    @property
    def base_url(self) -> str:
        scheme = "http" if self._certificate is None else "https"
        return f"{scheme}://{self._host}:{self.port}/v1"

    def start(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def stop(self) -> None:
        """End it and every connection; raises what a script raised of its own fault."""
        assert self._loop is not None
        assert self._stopping is not None
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)
        assert not self._thread.is_alive()
        if self.failures:
            raise self.failures[0]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def note_gone(self) -> None:
        self.gone_at = time.monotonic()
        self.gone.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        tls = None
        if self._certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(CERTIFICATES / f"{self._certificate}.pem")
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # Not a coroutine: one that is cancelled before its first step would never close what it was given.
            self.connections += 1
            self._writers.add(writer)
            task = asyncio.create_task(self._connection(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(connected, self._host, 0, ssl=tls, limit=2**20)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        for _ in range(TURNS_TO_CONNECT):
            await asyncio.sleep(0)
        server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read_request(reader)) is not None:
                self.received.append(request)
                script = self.scripts[min(len(self.received), len(self.scripts)) - 1]
                await script(Exchange(request, reader, writer, self))
                if writer.is_closing():
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            self.note_gone()
        except asyncio.CancelledError:
            pass
        except Exception as failure:  # noqa: BLE001  raised again by stop(), in the test
            self.failures.append(failure)
        finally:
            writer.close()
            self._writers.discard(writer)
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    """One request with its body, or None where the connection has ended."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")
    method, path, _version = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, body)
