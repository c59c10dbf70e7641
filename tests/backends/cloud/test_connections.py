"""Ports, names, networks and certificates that fail: each its own sentence."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from backends.cloud.patience import Patience
from backends.events import Event, Failed
from tests.backends.cloud.support import IMPATIENT, ask, engine_at, failed, finished, request
from tests.fakes.openai_server import CERTIFICATES, Exchange, OpenAIServer


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


async def _ask_at(base_url: str, patience: Patience | None = None) -> Failed:
    events: list[Event] = []
    async with engine_at(base_url, patience=patience) as engine:
        await engine.run(request(), events.append)
    return failed(events)


async def test_a_refused_port_is_named() -> None:
    port = _free_port()
    end = await _ask_at(f"http://127.0.0.1:{port}/v1")
    assert end.problem.code == "unreachable"
    assert end.problem.what == f"Nothing answers at 127.0.0.1, port {port}: the connection was refused."


async def test_a_name_that_does_not_exist_is_said_to_be_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    # Names under .localhost count as this machine, so that no question leaves it; the resolver is made to fail.
    async def no_such_name(*_args: object, **_more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", no_such_name)
    end = await _ask_at("http://nowhere.localhost:8080/v1")
    assert end.problem.code == "unreachable"
    assert "name nowhere.localhost could not be found" in end.problem.what


async def test_no_way_to_the_network_is_called_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreachable(*_args: object, **_more: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", unreachable)
    assert "offline" in (await _ask_at("http://127.0.0.1:8080/v1")).problem.what


async def test_a_certificate_nobody_signed_is_refused() -> None:
    with OpenAIServer(certificate="valid", host="localhost") as server:
        end = await _ask_at(server.base_url)
        assert server.received == []
    assert end.problem.code == "unreachable"
    assert "not trusted" in end.problem.what


def _trust(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the system's trust store hold a test certificate."""
    context = ssl.create_default_context(cafile=CERTIFICATES / f"{name}.pem")
    monkeypatch.setattr("httpx2.create_ssl_context", lambda **_: context)


async def test_an_expired_certificate_asks_to_look_at_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    _trust(monkeypatch, "expired")
    with OpenAIServer(certificate="expired", host="localhost") as server:
        end = await _ask_at(server.base_url)
    assert "not valid today" in end.problem.what
    assert "date of this computer" in end.problem.fix


async def test_an_encrypted_answer_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    _trust(monkeypatch, "valid")
    with OpenAIServer(certificate="valid", host="localhost") as server:
        result = finished(await ask(server)).result
    assert result.text == "Hello there."
    assert result.engine_timings["client_connect_ms"] > 0


@contextmanager
def _speaking(words: bytes) -> Iterator[int]:
    """A server that says the same to whatever comes, and hangs up."""

    def speak() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(words)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=speak)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


async def test_encryption_where_there_is_none_is_said() -> None:
    with _speaking(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as port:
        end = await _ask_at(f"https://127.0.0.1:{port}/v1")
    assert end.problem.code == "unreachable"
    assert "secure connection" in end.problem.what
    assert "http://" in end.problem.fix


@pytest.mark.parametrize("words", [b"220 mail.example ESMTP\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x46"])
async def test_a_server_that_does_not_speak_http(words: bytes) -> None:
    with _speaking(words) as port:
        end = await _ask_at(f"http://127.0.0.1:{port}/v1")
    assert end.problem.code == "not_an_api"
    assert "does not speak HTTP" in end.problem.what


async def test_a_server_that_takes_the_question_and_says_nothing() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.until_gone()

    with OpenAIServer(script) as server:
        end = failed(await ask(server, patience=IMPATIENT))
    assert end.problem.code == "stalled"
    assert "sent nothing" in end.problem.what


async def test_a_server_that_hangs_up_without_a_word() -> None:
    async def script(exchange: Exchange) -> None:
        exchange.close()

    with OpenAIServer(script) as server:
        end = failed(await ask(server))
    assert end.problem.code == "connection_lost"
    assert "before it answered" in end.problem.what
