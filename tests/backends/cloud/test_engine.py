"""The cloud engine against a server that behaves: what is sent, what is measured, what is kept."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from backends.cloud.engine import CloudEngine
from backends.egress import Egress, Policy
from backends.events import Delta, Event, Notice, Sent
from backends.keys import Secret
from backends.records import Prompt, RunRequest, Target, Usage
from tests.backends.cloud.support import (
    KEY,
    QUESTION,
    ask,
    end_of,
    endpoint_at,
    engine_at,
    failed,
    finished,
    has_text,
    request,
    until,
)
from tests.backends.conformance import EngineConformance
from tests.fakes.openai_server import Exchange, OpenAIServer, answer, chunk, usage

LEAKS = {
    "OPENAI_API_KEY": "sk-from-the-environment",
    "OPENAI_ADMIN_KEY": "sk-admin-from-the-environment",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/other",
    "OPENAI_ORG_ID": "org-leak",
    "OPENAI_PROJECT_ID": "proj-leak",
    "OPENAI_CUSTOM_HEADERS": "X-Leak: custom-leak\nAuthorization: Bearer leak",
}


class TestConformance(EngineConformance):
    @pytest.fixture
    def server(self) -> Iterator[OpenAIServer]:
        async def script(exchange: Exchange) -> None:
            wanted = exchange.request.json.get("max_completion_tokens", 16)
            await exchange.head()
            for number in range(wanted):
                await exchange.say(f"word{number} ")
                await asyncio.sleep(0.001)
            await exchange.finish("length", usage(12, wanted))

        with OpenAIServer(script) as server:
            yield server

    @pytest.fixture
    async def engine(self, server: OpenAIServer) -> AsyncIterator[CloudEngine]:
        async with engine_at(server.base_url) as engine:
            yield engine

    @pytest.fixture
    def target(self) -> Target:
        return Target("openai", "gpt-4o")


async def test_the_request_is_ours_and_nothing_of_the_environment_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LEAKS.items():
        monkeypatch.setenv(name, value)
    with OpenAIServer() as server:
        finished(await ask(server, request(max_tokens=7, temperature=0.5, seed=3, stop=("END",))))
        received = server.received[0]
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.json == {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": QUESTION}],
        "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
        "max_completion_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.95,
        "seed": 3,
        "stop": ["END"],
    }
    assert "leak" not in str(received.headers)
    assert not {"openai-organization", "openai-project", "x-stainless-os", "cookie"} & set(received.headers)


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap, OpenAIServer() as server:
        trap.settimeout(0.2)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{trap.getsockname()[1]}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{trap.getsockname()[1]}")
        finished(await ask(server))
        with pytest.raises(TimeoutError):
            trap.accept()


async def test_no_password_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with OpenAIServer() as server:
        finished(await ask(server))
        assert server.received[0].headers["authorization"] == f"Bearer {KEY}"


async def test_a_server_without_key_gets_no_authorization(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    with OpenAIServer() as server:
        endpoint = replace(endpoint_at(server.base_url), needs_key=False)
        engine = CloudEngine(endpoint, egress=Egress(), key=lambda: None)
        events: list[Event] = []
        await engine.run(request(), events.append)
        await engine.close()
        finished(events)
        assert "authorization" not in server.received[0].headers


async def test_a_missing_key_sends_nothing() -> None:
    with OpenAIServer() as server:
        end = failed(await ask(server, key=None))
        assert end.problem.code == "key_missing"
        assert server.connections == 0


async def test_usage_details_and_cost_are_kept() -> None:
    with OpenAIServer(answer("a", "b", counts=usage(2000, 500, cached=1024, reasoning=100))) as server:
        result = finished(await ask(server)).result
    assert result.usage == Usage(2000, 500, 1024, 100)
    assert result.cost.usd == Decimal("0.00872")
    assert result.cost.basis == "api_price"
    assert result.cost.price_as_of == "2026-10-12"
    assert result.model == "scripted-1"
    assert result.complete


async def test_an_unknown_model_has_an_unknown_price() -> None:
    with OpenAIServer() as server:
        result = finished(await ask(server, request("somebody/tuned-this"))).result
    assert result.cost.usd is None
    assert result.cost.basis == "unknown_price"


async def test_server_timings_are_kept_flat() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head(headers={"openai-processing-ms": "41"})
        await exchange.say("Hi")
        groq = {**usage(3, 1), "queue_time": 0.25, "total_time": 0.5, "mode": "fast"}
        await exchange.finish(
            usage=None, timings={"prompt_ms": 1.5, "predicted_n": 1, "odd": "x"}, x_groq={"usage": groq}
        )

    with OpenAIServer(script) as server:
        result = finished(await ask(server)).result
    timings = dict(result.engine_timings)
    assert timings.pop("client_connect_ms") > 0
    assert timings == {
        "openai_processing_ms": 41,
        "prompt_ms": 1.5,
        "predicted_n": 1,
        "queue_time": 0.25,
        "total_time": 0.5,
    }
    assert result.usage == Usage(3, 1, 0, 0)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_reasoning_is_apart_from_the_answer(name: str) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.event(chunk({name: "Let me think. "}))
        await exchange.event(chunk({name: "Yes."}))
        await exchange.say("42")
        await exchange.finish(usage=usage(5, 9, reasoning=8))

    with OpenAIServer(script) as server:
        events = await ask(server)
    result = finished(events).result
    assert (result.text, result.reasoning_text) == ("42", "Let me think. Yes.")
    assert [event.kind for event in events if isinstance(event, Delta)] == ["reasoning", "reasoning", "text"]
    assert result.ttfr_ms is not None
    assert result.ttft_ms is not None
    assert result.ttfr_ms <= result.ttft_ms


async def test_a_refusal_is_the_answer() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.event(chunk({"content": None, "refusal": "I cannot help with that."}))
        await exchange.finish(usage=usage(5, 6))

    with OpenAIServer(script) as server:
        assert finished(await ask(server)).result.text == "I cannot help with that."


async def test_empty_and_null_choices_are_not_text() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.event({**chunk(None), "choices": None})
        await exchange.event({**chunk(None), "choices": []})
        await exchange.event(chunk({"role": "assistant", "content": ""}))
        await exchange.event(chunk(None))
        await exchange.event(None)
        await exchange.data(b": a comment\n\n")
        await exchange.say("Hi")
        await exchange.finish(usage=usage(1, 1))

    with OpenAIServer(script) as server:
        events = await ask(server)
    assert [event.text for event in events if isinstance(event, Delta)] == ["Hi"]
    assert finished(events).result.complete


async def test_characters_cut_in_two_arrive_whole() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        whole = b'data: {"choices":[{"index":0,"delta":{"content":"gr\xc3\xbc\xc3\x9fe"}}]}\n\n'
        for place in range(len(whole)):
            await exchange.data(whole[place : place + 1])
        for half in ("\\ud83d", "\\ude00", "\\ud83d", "x"):
            await exchange.data(b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % half.encode())
        await exchange.finish(usage=usage(1, 1))

    with OpenAIServer(script) as server:
        result = finished(await ask(server)).result
    assert result.text == "grüße😀\N{REPLACEMENT CHARACTER}x"


async def test_text_after_the_end_is_ignored_but_usage_counts() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.say("Done.")
        await exchange.event(chunk({}, finish_reason="stop"))
        await exchange.say(" And more.")
        await exchange.finish("length", usage(1, 2))

    with OpenAIServer(script) as server:
        result = finished(await ask(server)).result
    assert (result.text, result.finish_reason, result.usage.completion_tokens) == ("Done.", "stop", 2)


async def test_a_connection_is_kept_for_the_next_question() -> None:
    egress = Egress()
    with OpenAIServer() as server:
        async with engine_at(server.base_url, egress=egress) as engine:
            for _ in range(3):
                events: list[Event] = []
                await engine.run(request(), events.append)
                timings = finished(events).result.engine_timings
        assert server.connections == 1
        assert "client_connect_ms" not in timings
    (contact,) = egress.log()
    assert (contact.requests, contact.outcome, contact.purpose) == (3, "closed", "ask a model")
    assert contact.bytes_sent > 3 * len(QUESTION)


async def test_deltas_are_stamped_when_their_bytes_came() -> None:
    """Fifty texts of one packet are handled one by one, slowly: they still arrived together."""

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.data(b"".join(b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n' for _ in range(50)))
        await asyncio.sleep(0.2)
        await exchange.say("last")
        await exchange.finish(usage=usage(1, 51))

    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, Delta):
            time.sleep(0.001)

    with OpenAIServer(script) as server:
        async with engine_at(server.base_url) as engine:
            await engine.run(request(), listen)
    stamps = [event.at_ns for event in events if isinstance(event, Delta)]
    assert len(stamps) == 51
    assert len(set(stamps[:50])) == 1
    assert stamps[50] - stamps[49] > 100_000_000


async def test_cancelling_closes_the_socket_at_once() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.say("Once upon a time")
        await exchange.until_gone()

    with OpenAIServer(script) as server:
        async with engine_at(server.base_url) as engine:
            events: list[Event] = []
            task = asyncio.create_task(engine.run(request(), events.append))
            await until(lambda: has_text(events))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.gone.wait, 1.0)
    end = end_of(events)
    assert type(end).__name__ == "Cancelled"
    assert end.result.text == "Once upon a time"
    assert end.result.cost.basis == "usage_missing"


async def test_cancelling_before_the_first_byte_closes_the_socket_too() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.until_gone()

    with OpenAIServer(script) as server:
        async with engine_at(server.base_url) as engine:
            events: list[Event] = []
            task = asyncio.create_task(engine.run(request(), events.append))
            await until(lambda: server.received)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.gone.wait, 1.0)
    assert type(end_of(events)).__name__ == "Cancelled"


async def test_answers_side_by_side_do_not_mix() -> None:
    async def script(exchange: Exchange) -> None:
        name = exchange.request.json["messages"][0]["content"]
        await exchange.head()
        for _ in range(20):
            await exchange.say(name)
            await asyncio.sleep(0.002)
        await exchange.finish(usage=usage(1, 20))

    async def one(engine: CloudEngine, name: str) -> str:
        events: list[Event] = []
        await engine.run(request(text=name), events.append)
        return finished(events).result.text

    with OpenAIServer(script) as server:
        async with engine_at(server.base_url) as engine:
            texts = await asyncio.gather(*(one(engine, name) for name in "abcd"))
    assert texts == [name * 20 for name in "abcd"]


async def test_local_only_sends_nothing_away_but_reaches_this_machine() -> None:
    egress = Egress(Policy(local_only=True, allowed_hosts=frozenset({"api.openai.com"})))
    async with engine_at("https://api.openai.com/v1", egress=egress) as engine:
        events: list[Event] = []
        await engine.run(request(), events.append)
    assert failed(events).problem.code == "network_not_allowed"
    assert "api.openai.com" in failed(events).problem.what
    assert egress.snapshot().connections == 0
    assert [contact.outcome for contact in egress.log()] == ["refused"]
    with OpenAIServer() as server:
        async with engine_at(server.base_url, egress=egress) as engine:
            events = []
            await engine.run(request(), events.append)
        finished(events)


async def test_a_model_that_chooses_its_own_temperature_is_not_told_one() -> None:
    with OpenAIServer() as server:
        events = await ask(server, request("gpt-6-luna"))
        body = server.received[0].json
    assert "temperature" not in body
    assert "top_p" not in body
    assert "own_sampling" in [event.code for event in events if isinstance(event, Notice)]
    assert finished(events).result.settings["not_sent"] == [
        "min_p",
        "repeat_penalty",
        "temperature",
        "top_k",
        "top_p",
    ]


async def test_a_whole_conversation_is_sent() -> None:
    asked = RunRequest("run-1", Target("openai", "gpt-4o"), Prompt.ask("And now?", system="Be brief."))
    with OpenAIServer() as server:
        finished(await ask(server, asked))
        assert server.received[0].json["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "And now?"},
        ]


def test_the_loop_stays_free_while_the_client_is_loaded() -> None:
    """In a fresh process, where the SDK is not imported yet."""
    code = """
import asyncio, sys, time
from tests.backends.cloud.support import ask, finished
from tests.fakes.openai_server import OpenAIServer

async def main():
    assert "openai" not in sys.modules and "httpx2" not in sys.modules
    beats, events = [], []
    async def beat():
        while True:
            beats.append(time.monotonic())
            await asyncio.sleep(0.005)
    heart = asyncio.create_task(beat())
    with OpenAIServer() as server:
        events = await ask(server)
    heart.cancel()
    notices = [(e.code, e.text) for e in events if type(e).__name__ == "Notice"]
    assert notices[0] == ("preparing", "Loading the cloud client…") and notices[-1] == ("preparing", ""), notices
    finished(events)
    print(len(beats))
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10  # a loop blocked by the import would have beaten once or twice


async def test_figures_start_at_the_request_that_counts() -> None:
    with OpenAIServer() as server:
        events = await ask(server)
    sent = [event for event in events if isinstance(event, Sent)]
    assert len(sent) == 1
    result = finished(events).result
    assert result.ttft_ms is not None
    assert result.ttft_ms > 0


async def test_the_key_is_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with OpenAIServer() as server:
        async with engine_at(server.base_url) as engine:
            events: list[Event] = []
            await engine.run(request(), events.append)
            held = repr(engine) + repr(engine._setting) + repr(vars(engine._setting.client))  # type: ignore[union-attr]
    for place in (repr(events), caplog.text, held, repr(Secret(KEY))):
        assert KEY not in place
        assert KEY[-8:] not in place
    assert QUESTION not in caplog.text
