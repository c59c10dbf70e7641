"""The door to the network: what it refuses, what it writes down, and that nobody pays for it before it is used."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from backends.egress import Egress
from backends.egress_policy import Policy, host_matches, on_this_machine
from backends.errors import NetworkNotAllowed
from backends.events import Delta, Event
from tests.backends.cloud.support import engine_at, failed, request, until
from tests.fakes.openai_server import Exchange, OpenAIServer

OPEN = Policy(local_only=False, allowed_hosts=frozenset({"api.openai.com"}))


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("box.localhost", True),
        ("::ffff:127.0.0.1", True),
        ("192.168.1.2", False),
        ("0.0.0.0", False),
        ("api.openai.com", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("notlocalhost", False),
        ("", False),
    ],
)
def test_what_counts_as_this_machine(host: str, here: bool) -> None:
    assert on_this_machine(host) is here


def test_a_policy_allows_this_machine_and_the_hosts_it_names() -> None:
    assert OPEN.allows("api.openai.com")
    assert OPEN.allows("API.OpenAI.com")
    assert OPEN.allows("127.0.0.1")
    assert not OPEN.allows("api.openai.com.evil.example")
    assert not OPEN.allows("evil-api.openai.com")
    closed = Policy(local_only=True, allowed_hosts=OPEN.allowed_hosts)
    assert not closed.allows("api.openai.com")
    assert closed.allows("localhost")
    assert Policy().local_only


@pytest.mark.parametrize(
    ("host", "pattern", "matches"),
    [
        ("huggingface.co", "huggingface.co", True),
        ("HuggingFace.CO.", "huggingface.co", True),
        ("huggingface.co.evil.com", "huggingface.co", False),
        ("evil-huggingface.co", "huggingface.co", False),
        ("cdn-lfs.hf.co", "*.hf.co", True),
        ("a.b.HF.co", "*.hf.co", True),
        ("hf.co", "*.hf.co", False),
        ("evilhf.co", "*.hf.co", False),
        ("cdn.hf.co.evil.com", "*.hf.co", False),
        ("", "*.hf.co", False),
    ],
)
def test_a_pattern_matches_whole_labels_at_the_end(host: str, pattern: str, matches: bool) -> None:
    assert host_matches(host, pattern) is matches


def test_a_purpose_has_hosts_of_its_own() -> None:
    egress = Egress(Policy(local_only=False))
    egress.allow_for("model download", ("huggingface.co", "*.hf.co"))
    egress.check("model download", "https://cdn-lfs.hf.co/x")
    egress.check("model download", "https://huggingface.co/x")
    for purpose, host in (("model download", "huggingface.co.evil.com"), ("ask a model", "huggingface.co")):
        with pytest.raises(NetworkNotAllowed, match="not among the hosts you allowed"):
            egress.check(purpose, f"https://{host}/x")
    assert ("model download", "*.hf.co") in egress.snapshot().allowed_for
    egress.set_policy(replace(egress.policy, local_only=True))
    with pytest.raises(NetworkNotAllowed, match="Local only"):
        egress.connect("model download", "https://huggingface.co/x", timeout_s=1)


@pytest.mark.parametrize("policy", [Policy(), Policy(local_only=False), OPEN])
def test_a_refused_host_gets_no_client_and_is_written_down(policy: Policy) -> None:
    egress = Egress(policy)
    with pytest.raises(NetworkNotAllowed, match=r"huggingface\.co"):
        egress.http_client("download a model", "https://huggingface.co/x")
    (contact,) = egress.log()
    assert (contact.purpose, contact.host, contact.port) == ("download a model", "huggingface.co", 443)
    assert contact.outcome == "refused"
    assert egress.snapshot().connections == 0
    assert egress.snapshot().contacted_hosts == ()


async def test_no_name_is_looked_up_for_a_refused_host(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[object] = []

    async def look_up(*args: object, **_more: object) -> None:
        looked_up.append(args)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    egress = Egress(OPEN)
    async with egress.http_client("test", "https://api.openai.com/v1") as client:
        with pytest.raises(NetworkNotAllowed):
            await client.get("https://evil.example/")
    assert looked_up == []


async def test_a_changed_policy_holds_on_open_connections() -> None:
    egress = Egress(OPEN)
    async with egress.http_client("test", "https://api.openai.com/v1") as client:
        egress.set_policy(Policy(local_only=True))
        with pytest.raises(NetworkNotAllowed, match="Local only"):
            await client.get("/models")
    egress.set_policy(Policy(local_only=False))
    egress.allow("Example.COM")
    assert egress.policy.allows("example.com")


async def test_a_changed_policy_holds_on_a_connection_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """With this machine's own name taken for a foreign host, so that the policy has something to refuse."""
    monkeypatch.setattr("backends.egress.on_this_machine", lambda host: host != "localhost")
    monkeypatch.setattr("backends.egress_policy.on_this_machine", lambda host: host != "localhost")
    egress = Egress(Policy(local_only=False, allowed_hosts=frozenset({"localhost"})))
    with OpenAIServer() as server:
        async with egress.http_client("test", f"http://localhost:{server.port}/v1") as client:
            assert (await client.get("/one")).status_code == 200
            egress.set_policy(Policy(local_only=True))
            with pytest.raises(NetworkNotAllowed):
                await client.get("/two")
        assert [received.path for received in server.received] == ["/v1/one"]
    assert egress.snapshot().connections == 1


async def test_every_connection_is_counted_to_the_byte() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer_text(200, "x" * 1000, "text/plain")

    egress = Egress()
    before = datetime.now(UTC)
    with OpenAIServer(script) as server:
        async with egress.http_client("ask a model", server.base_url) as client:
            await client.post("/a", content=b"y" * 500)
            await client.get("/b")
            assert egress.log()[0].outcome == "open"
        assert server.connections == 1
    (contact,) = egress.log()
    assert (contact.purpose, contact.host, contact.port) == ("ask a model", "127.0.0.1", server.port)
    assert contact.on_this_machine
    assert contact.requests == 2
    assert contact.outcome == "closed"
    assert before - timedelta(seconds=1) <= contact.at <= datetime.now(UTC)
    head = b"HTTP/1.1 200 Scripted\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n"
    assert contact.bytes_received == 2 * (len(head) + 1000)
    assert 500 < contact.bytes_sent < 1500
    assert egress.snapshot().connections == 0


async def test_a_connection_away_from_this_machine_is_counted_even_if_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_args: object, **_more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "no network in tests")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fail)
    egress = Egress(OPEN)
    async with egress.http_client("ask a model", "https://api.openai.com/v1") as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get("/models")
    snapshot = egress.snapshot()
    assert (snapshot.connections, snapshot.contacted_hosts) == (1, ("api.openai.com",))
    assert snapshot.allowed_hosts == ("api.openai.com",)
    assert not snapshot.local_only
    assert egress.log()[0].outcome == "failed"


async def test_redirects_and_proxies_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer_text(302, "", "text/plain", {"Location": "http://localhost:1/"})

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with OpenAIServer(script) as server:
        async with Egress().http_client("test", server.base_url) as client:
            assert (await client.get("/")).status_code == 302
        headers = server.received[0].headers
    assert headers["user-agent"].startswith("Nearfar/")
    assert headers["accept-encoding"] == "identity"


def test_a_blocking_connection_is_counted_and_asked_for_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer_text(200, "x" * 1000, "text/plain")

    egress = Egress()
    with OpenAIServer(script) as server:
        connection = egress.connect("model download", server.base_url, timeout_s=5)
        connection.begin_request()
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        received = connection.reader(lambda _size: None).read(1000)
        assert len(received) == 1000
        monkeypatch.setattr("backends.egress.on_this_machine", lambda _host: False)
        monkeypatch.setattr("backends.egress_policy.on_this_machine", lambda _host: False)
        with pytest.raises(NetworkNotAllowed, match="Local only"):
            connection.receive_into(bytearray(10))
        monkeypatch.undo()
        connection.abort()
        connection.close()
        connection.close()
    contact = egress.log()[0]
    assert (contact.purpose, contact.requests, contact.outcome) == ("model download", 1, "cut")
    assert contact.bytes_sent == 27
    assert contact.bytes_received >= 1000


def test_a_blocking_connection_that_fails_is_written_down() -> None:
    egress = Egress()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        egress.connect("model download", f"http://127.0.0.1:{port}/", timeout_s=5)
    assert egress.log()[0].outcome == "failed"


def test_a_read_that_waits_ends_when_another_thread_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection = Egress().connect("test", f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=60)
        outcome: list[int] = []
        reading = threading.Thread(target=lambda: outcome.append(connection.receive_into(bytearray(10))))
        reading.start()
        connection.abort()
        reading.join(10)
        assert outcome == [0]
        connection.close()


def test_timeouts_are_the_agreed_ones() -> None:
    client = Egress().http_client("test", "http://127.0.0.1:1")
    assert client.timeout == httpx2.Timeout(connect=5, read=60, write=30, pool=5)


def test_importing_the_door_opens_nothing() -> None:
    """The window imports these before first paint."""
    code = (
        "import sys, backends.egress, backends.keys, backends.cloud.engine, backends.cloud.practice;"
        "backends.egress.Egress().snapshot();"
        "slow = {'openai', 'httpx2', 'httpcore2', 'genai_prices', 'xllamacpp', 'anyio'};"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_local_only_ends_an_answer_that_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """With this machine's own name taken for a foreign one; the server never stops by itself."""
    monkeypatch.setattr("backends.egress.on_this_machine", lambda host: host != "localhost")
    monkeypatch.setattr("backends.egress_policy.on_this_machine", lambda host: host != "localhost")
    monkeypatch.setattr("backends.egress_http.on_this_machine", lambda host: host != "localhost")
    gone = threading.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.say("first words")
        await exchange.until_gone()
        gone.set()

    egress = Egress(Policy(local_only=False, allowed_hosts=frozenset({"localhost"})))
    with OpenAIServer(script, host="localhost") as server:
        events: list[Event] = []
        async with engine_at(server.base_url, egress=egress) as engine:
            asking = asyncio.create_task(engine.run(request(), events.append))
            await until(lambda: any(isinstance(event, Delta) for event in events))
            await asyncio.to_thread(egress.set_local_only, True)
            await asyncio.wait_for(asking, 10)
        assert gone.wait(10)
    end = failed(events)
    assert end.problem.code == "network_cut_off"
    assert "had been sent before" in end.problem.safe
    assert end.result.text == "first words"
    assert [contact.outcome for contact in egress.log()] == ["cut"]


def test_a_policy_is_not_undone_by_what_another_thread_adds() -> None:
    egress = Egress(Policy(local_only=False))
    switching = threading.Thread(target=egress.set_policy, args=[Policy(local_only=True)])

    class Host(str):
        """Its name is asked for in the middle of `allow`."""

        __slots__ = ()

        def strip(self, _chars: str | None = None, /) -> str:
            switching.start()
            switching.join(0.2)
            return str(self)

    egress.allow(Host("example.org"))
    switching.join()
    assert egress.policy.local_only


def test_local_only_ends_only_where_nobody_has_switched_it_on() -> None:
    egress = Egress()
    assert not egress.end_local_only(unless=lambda: True)
    assert egress.policy.local_only
    assert egress.end_local_only(unless=lambda: False)
    assert not egress.policy.local_only
