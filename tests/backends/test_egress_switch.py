"""Local only switched on at the worst moment: while a connection opens, or among thousands. Nothing stays behind.

This machine's own name is taken for a foreign one, so that the policy has something to refuse.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from backends.egress import LOG_LENGTH, Egress
from backends.egress_http import RecordingBackend
from backends.egress_policy import Policy
from backends.egress_route import Route
from backends.errors import NetworkNotAllowed, RouteUnusable
from tests.fakes.openai_server import OpenAIServer

FAR = "far.example"


@pytest.fixture(autouse=True)
def _foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("egress", "egress_policy", "egress_http", "egress_socket"):
        monkeypatch.setattr(f"backends.{module}.on_this_machine", lambda host: host in ("127.0.0.1", "::1"))


def _open_door(*hosts: str) -> Egress:
    return Egress(Policy(local_only=False, allowed_hosts=frozenset(hosts or ("localhost",))))


class Silent:
    """Takes connections, says what it is told to, a byte at a time if `pause_s`, and notes when each has gone."""

    def __init__(self, words: bytes = b"", pause_s: float = 0.0) -> None:
        self.came, self.gone = threading.Event(), threading.Event()
        self.received = 0
        self._words, self._pause_s = words, pause_s
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listening.accept()
            self.came.set()
            with client:
                client.settimeout(30)
                for byte in self._words:
                    client.sendall(bytes([byte]))
                    self.gone.wait(self._pause_s)
                with contextlib.suppress(OSError):
                    while data := client.recv(4096):
                        self.received += len(data)
            self.gone.set()

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    made = Silent()
    yield made
    made.close()


async def test_a_connection_that_waits_for_its_proxy_ends_at_once(silent: Silent) -> None:
    egress = _open_door(FAR)
    egress.route = Route(f"http://127.0.0.1:{silent.port}")
    async with egress.http_client("test", f"http://{FAR}/") as client:
        asking = asyncio.create_task(client.get("/"))
        await asyncio.to_thread(silent.came.wait, 10)
        await asyncio.to_thread(egress.set_local_only, True)
        with pytest.raises(NetworkNotAllowed):
            await asyncio.wait_for(asking, 5)
    assert silent.gone.wait(5)
    assert egress.log()[0].outcome == "cut"


def test_a_blocking_connection_that_waits_for_its_proxy_ends_at_once(silent: Silent) -> None:
    egress = _open_door(FAR)
    egress.route = Route(f"http://127.0.0.1:{silent.port}")
    errors: list[BaseException] = []

    def connect() -> None:
        try:
            egress.connect("model download", f"http://{FAR}/", timeout_s=60)
        except (NetworkNotAllowed, RouteUnusable, OSError) as error:
            errors.append(error)

    connecting = threading.Thread(target=connect)
    connecting.start()
    assert silent.came.wait(10)
    egress.set_local_only(True)
    connecting.join(5)
    assert len(errors) == 1
    assert silent.gone.wait(5)
    assert egress.log()[0].outcome == "failed"


async def test_what_has_just_connected_sends_nothing_and_is_closed(
    monkeypatch: pytest.MonkeyPatch, silent: Silent
) -> None:
    """Switched on between the connection and its use: no byte of a request, nor of a handshake."""
    egress = _open_door()
    reach = RecordingBackend._reach

    async def switched(self: RecordingBackend, *arguments: Any) -> Any:
        stream = await reach(self, *arguments)
        egress.set_local_only(True)
        return stream

    monkeypatch.setattr(RecordingBackend, "_reach", switched)
    async with egress.http_client("test", f"https://localhost:{silent.port}/") as client:
        with pytest.raises(NetworkNotAllowed):
            await client.get("/")
    assert silent.gone.wait(5), "it was not left open"
    assert silent.received == 0
    assert egress.log()[0].outcome == "cut"


async def test_one_of_thousands_ends_too() -> None:
    egress = _open_door()
    gone = threading.Event()

    async def script(exchange: object) -> None:
        await exchange.until_gone()  # type: ignore[attr-defined]
        gone.set()

    with OpenAIServer(script, host="localhost") as server:
        connection = await asyncio.to_thread(egress.connect, "test", server.base_url, timeout_s=5)
        for _ in range(LOG_LENGTH + 1):
            egress.went_around("elsewhere.example", 1)
        assert all(contact.host != "localhost" for contact in egress.log())
        connection.begin_request()
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        egress.set_local_only(True)
        assert await asyncio.to_thread(gone.wait, 10)
        connection.close()


def test_switching_local_only_on_takes_every_permission_back() -> None:
    egress = _open_door("api.openai.com")
    egress.allow_for("model download", ["*.hf.co"])
    egress.set_local_only(True)
    egress.set_local_only(False)
    assert not egress.policy.allows("api.openai.com")
    assert not egress.policy.allows("cdn.hf.co", "model download")


def test_hosts_that_no_lane_names_any_more_are_taken_back() -> None:
    egress = _open_door("api.openai.com", "api.together.ai")
    egress.allow_only(["API.together.ai", "never.allowed.example"])
    assert not egress.policy.allows("api.openai.com")
    assert egress.policy.allows("api.together.ai")
    assert not egress.policy.allows("never.allowed.example")


async def test_a_proxy_has_one_time_limit_for_all_it_does() -> None:
    dripping = Silent(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100, pause_s=0.1)
    egress = _open_door(FAR)
    egress.route = Route(f"http://127.0.0.1:{dripping.port}")
    async with egress.http_client("test", f"http://{FAR}/") as client:
        with pytest.raises(RouteUnusable, match="did not answer in time"):
            await client.get("/", timeout=httpx2.Timeout(60, connect=0.5))
    other = Silent(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100, pause_s=0.1)
    egress.route = Route(f"http://127.0.0.1:{other.port}")
    with pytest.raises(RouteUnusable, match="did not answer in time"):
        egress.connect("model download", f"http://{FAR}/", timeout_s=0.5)
    dripping.close()
    other.close()


def test_names_of_all_scripts_are_one_name() -> None:
    egress = Egress(Policy(local_only=False))
    egress.allow("München.example")
    assert egress.policy.allows("xn--mnchen-3ya.example")
    egress.check("test", "https://münchen.example/v1")
    assert egress.begin("test", "xn--mnchen-3ya.example", 443).host == "xn--mnchen-3ya.example"
