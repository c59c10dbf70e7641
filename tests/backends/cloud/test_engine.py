"""The cloud engine against a server that behaves: what is measured, what is kept, and that it can be cancelled."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import pytest

from backends.cloud.engine import CloudEngine
from backends.egress import Egress
from backends.events import Event, Sent
from backends.records import Target, Usage
from tests.backends.cloud.support import QUESTION, ask, end_of, engine_at, finished, has_text, request, until
from tests.backends.conformance import EngineConformance
from tests.fakes.openai_server import Exchange, OpenAIServer, answer, usage


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
