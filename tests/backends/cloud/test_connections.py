"""Ports, names, networks and certificates that fail: each its own sentence."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backends.cloud.patience import Patience
from backends.egress import Egress
from backends.egress_policy import Policy
from backends.egress_route import Route
from backends.events import Event, Failed
from tests.backends.cloud.support import IMPATIENT, ask, engine_at, failed, finished, request
from tests.fakes.openai_server import CERTIFICATES, Exchange, OpenAIServer


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


async def _ask_at(base_url: str, patience: Patience | None = None, egress: Egress | None = None) -> Failed:
    events: list[Event] = []
    async with engine_at(base_url, patience=patience, egress=egress) as engine:
        await engine.run(request(), events.append)
    return failed(events)


async def test_a_refused_port_is_named() -> None:
    port = _free_port()
    end = await _ask_at(f"http://127.0.0.1:{port}/v1")
    assert end.problem.code == "unreachable"
    assert end.problem.what == f"Nothing answers at 127.0.0.1, port {port}: the connection was refused."


async def test_a_name_that_does_not_exist_is_said_to_be_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_such_name(*_args: object, **_more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", no_such_name)
    egress = Egress(Policy(local_only=False, allowed_hosts=frozenset({"nowhere.example"})))
    end = await _ask_at("http://nowhere.example:8080/v1", egress=egress)
    assert end.problem.code == "unreachable"
    assert "name nowhere.example could not be found" in end.problem.what


async def test_a_name_of_this_machine_is_never_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver could point it elsewhere; whatever answers there would be taken for this machine."""
    looked_up: list[object] = []
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lambda *names, **_more: looked_up.append(names))
    with OpenAIServer() as server:
        events: list[Event] = []
        async with engine_at(f"http://some.name.localhost:{server.port}/v1") as engine:
            await engine.run(request(), events.append)
    assert finished(events).result.text == "Hello there."
    assert looked_up == []


async def test_no_way_to_the_network_is_called_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreachable(*_args: object, **_more: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", unreachable)
    egress = Egress(Policy(local_only=False, allowed_hosts=frozenset({"192.0.2.7"})))
    assert "offline" in (await _ask_at("http://192.0.2.7:8080/v1", egress=egress)).problem.what
    here = (await _ask_at("http://127.0.0.1:8080/v1")).problem
    assert "loopback network is down" in here.what
    assert "Local models work all the same" in here.fix


async def test_a_certificate_nobody_signed_is_refused() -> None:
    with OpenAIServer(certificate="valid", host="localhost") as server:
        end = await _ask_at(server.base_url)
        assert server.received == []
    assert end.problem.code == "unreachable"
    assert "not trusted" in end.problem.what


def _trusting(name: str) -> Egress:
    """A door whose person has added a test certificate to those of the system."""
    egress = Egress()
    egress.route = Route(ca_file=str(CERTIFICATES / f"{name}.pem"))
    return egress


async def test_an_expired_certificate_asks_to_look_at_the_clock() -> None:
    with OpenAIServer(certificate="expired", host="localhost") as server:
        end = await _ask_at(server.base_url, egress=_trusting("expired"))
    assert "not valid today" in end.problem.what
    assert "date of this computer" in end.problem.fix


async def test_an_encrypted_answer_is_read() -> None:
    with OpenAIServer(certificate="valid", host="localhost") as server:
        result = finished(await ask(server, egress=_trusting("valid"))).result
    assert result.text == "Hello there."
    assert result.engine_timings["client_connect_ms"] > 0


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file or directory"), (b"not a certificate", "it holds no certificate")],
)
async def test_a_file_of_certificates_that_cannot_be_used_is_said(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_bytes(content)
    egress = Egress()
    with OpenAIServer(certificate="valid", host="localhost") as server:
        async with engine_at(server.base_url, egress=egress) as engine:
            await engine.warm_up()
            egress.route = Route(ca_file=str(file))
            events: list[Event] = []
            await engine.run(request(), events.append)
        assert server.received == []
    assert failed(events).problem.code == "route_unusable"
    assert words in failed(events).problem.what


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
