"""The way through a proxy: tunnels for names, nothing for this machine, and what a proxy refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.egress import Egress
from backends.egress_policy import Policy
from backends.egress_route import Route, tunnel_request
from backends.errors import RouteUnusable
from backends.events import Event
from backends.models.hub_failures import of_connection
from tests.backends.cloud.support import engine_at, failed, finished, request
from tests.fakes.openai_server import CERTIFICATES, OpenAIServer
from tests.fakes.proxy_server import ProxyServer

FAR = "far.example"


def _door(proxy: ProxyServer, ca_file: Path | None = None) -> Egress:
    egress = Egress(Policy(local_only=False, allowed_hosts=frozenset({FAR, "localhost"})))
    egress.route = Route(proxy.url, None if ca_file is None else str(ca_file))
    return egress


async def test_a_question_goes_through_the_proxy_and_no_name_is_looked_up() -> None:
    with OpenAIServer() as server, ProxyServer(("127.0.0.1", server.port)) as proxy:
        egress = _door(proxy)
        events: list[Event] = []
        async with engine_at(f"http://{FAR}/v1", egress=egress) as engine:
            await engine.run(request(), events.append)
        assert finished(events).result.text == "Hello there."
        assert proxy.asked == [f"CONNECT {FAR}:80 HTTP/1.1"]
        assert len(server.received) == 1
    (contact,) = egress.log()
    assert (contact.host, contact.via) == (FAR, proxy.url.removeprefix("http://"))
    assert egress.snapshot().contacted_hosts == (FAR,)


async def test_an_encrypted_question_stays_encrypted_from_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """With this machine's own name taken for a foreign one, since the certificate bears it."""
    monkeypatch.setattr("backends.egress.on_this_machine", lambda host: host != "localhost")
    monkeypatch.setattr("backends.egress_policy.on_this_machine", lambda host: host != "localhost")
    monkeypatch.setattr("backends.egress_http.on_this_machine", lambda host: host != "localhost")
    with (
        OpenAIServer(certificate="valid", host="localhost") as server,
        ProxyServer(("localhost", server.port)) as proxy,
    ):
        events: list[Event] = []
        async with engine_at(server.base_url, egress=_door(proxy, CERTIFICATES / "valid.pem")) as engine:
            await engine.run(request(), events.append)
        assert finished(events).result.text == "Hello there."
        assert proxy.asked == [f"CONNECT localhost:{server.port} HTTP/1.1"]


async def test_servers_on_this_machine_are_never_asked_through_a_proxy() -> None:
    with OpenAIServer() as server, ProxyServer(("127.0.0.1", server.port)) as proxy:
        egress = _door(proxy)
        events: list[Event] = []
        async with engine_at(server.base_url, egress=egress) as engine:
            await engine.run(request(), events.append)
        finished(events)
        connection = egress.connect("model download", server.base_url, timeout_s=5)
        connection.close()
        assert proxy.asked == []
    assert [contact.via for contact in egress.log()] == ["", ""]


def test_a_download_goes_through_the_proxy_too() -> None:
    with OpenAIServer() as server, ProxyServer(("127.0.0.1", server.port)) as proxy:
        connection = _door(proxy).connect("model download", f"http://{FAR}/", timeout_s=5)
        connection.begin_request()
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.reader(lambda _n_bytes: None).readline().startswith(b"HTTP/1.1 ")
        connection.close()
        assert proxy.asked == [f"CONNECT {FAR}:80 HTTP/1.1"]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "asks for a name and a password"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", f"does not let this machine reach {FAR}"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", f"could not reach {FAR} (HTTP 502)"),
        (b"220 mail.example ESMTP\r\n\r\n", "is not a proxy"),
        (b"", "is not a proxy"),
        (b"HTTP/1.1 200 OK\r\nX: y", f"broke off while it opened the way to {FAR}"),
    ],
)
async def test_a_proxy_that_opens_no_tunnel_is_named_and_gets_no_prompt(reply: bytes, words: str) -> None:
    with OpenAIServer() as server, ProxyServer(("127.0.0.1", server.port), reply=reply) as proxy:
        egress = _door(proxy)
        events: list[Event] = []
        async with engine_at(f"http://{FAR}/v1", egress=egress) as engine:
            await engine.run(request(), events.append)
        assert failed(events).problem.code == "route_unusable"
        assert words in failed(events).problem.what
        with pytest.raises(RouteUnusable, match=r"proxy"):
            egress.connect("model download", f"http://{FAR}/", timeout_s=5)
        assert server.received == []
    assert {contact.outcome for contact in egress.log()} == {"failed"}


async def test_a_dead_proxy_is_named_and_not_the_server_behind_it() -> None:
    with ProxyServer(("127.0.0.1", 9)) as proxy:
        gone = proxy.url
    egress = Egress(Policy(local_only=False, allowed_hosts=frozenset({FAR})))
    egress.route = Route(gone)
    events: list[Event] = []
    async with engine_at(f"http://{FAR}/v1", egress=egress) as engine:
        await engine.run(request(), events.append)
    problem = failed(events).problem
    place = gone.removeprefix("http://")
    assert problem.code == "route_unusable"
    assert problem.what == f"The proxy {place} does not answer: the connection was refused."
    assert problem.fix == "Look at the proxy in Settings."
    with pytest.raises(RouteUnusable, match=place) as told:
        egress.connect("model download", f"http://{FAR}/", timeout_s=5)
    assert of_connection(told.value, FAR) is told.value
    assert {contact.outcome for contact in egress.log()} == {"failed"}


def test_a_proxy_must_be_reached_by_http() -> None:
    with pytest.raises(RouteUnusable, match="http://"):
        _ = Route("https://proxy.example:3128").proxy
    assert Route("http://proxy.example").proxy == ("proxy.example", 8080)
    assert tunnel_request("::1", 443).startswith(b"CONNECT [::1]:443 HTTP/1.1\r\n")
