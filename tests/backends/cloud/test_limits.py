"""Servers that send too much, or too slowly, are bounded in memory and in time."""

from __future__ import annotations

import asyncio
import json

import psutil
import pytest

from backends.cloud import guard, stream
from backends.events import Event, Failed
from tests.backends.cloud.breaks import SAID
from tests.backends.cloud.support import IMPATIENT, ask, engine_at, failed, finished, request
from tests.fakes.openai_server import Exchange, OpenAIServer, Script, chunk, usage


async def test_eight_megabytes_are_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_TEXT_BYTES", 100_000)

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        while True:
            await exchange.say("ü" * 1000)

    with OpenAIServer(script) as server:
        async with engine_at(server.base_url) as engine:
            events: list[Event] = []
            await engine.run(request(), events.append)
            assert await asyncio.to_thread(server.gone.wait, 1.0)  # it cannot go on sending
    end = failed(events)
    assert end.problem.code == "answer_too_large"
    assert end.result.text == "ü" * 50_000


async def test_a_line_without_end_does_not_fill_the_memory() -> None:
    line = b"x" * 1_000_000

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.say(SAID)
        await exchange.data(b"data: ")
        for _ in range(100):
            await exchange.data(line)

    with OpenAIServer(script) as server:
        async with engine_at(server.base_url) as engine:
            await engine.warm_up()
            before = psutil.Process().memory_info().rss
            events: list[Event] = []
            await engine.run(request(), events.append)
            grown = psutil.Process().memory_info().rss - before
    end = failed(events)
    assert end.problem.code == "answer_too_large"
    assert end.result.text == SAID
    assert grown < 150_000_000


async def test_a_long_line_is_read() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.say("y" * 1_000_000)
        await exchange.finish(usage=usage(1, 1))

    with OpenAIServer(script) as server:
        assert len(finished(await ask(server)).result.text) == 1_000_000


async def test_an_endless_error_body_is_cut() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head(400, kind="text/plain")
        for _ in range(1000):
            await exchange.data(b"bad " * 25_000)

    with OpenAIServer(script) as server:
        end = failed(await ask(server))
    assert end.problem.code == "request_refused"
    assert len(end.problem.what) < 400
    assert guard.MAX_ERROR_BYTES < 1_000_000


async def test_a_drip_of_single_bytes_is_read_in_time_or_given_up() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.say(SAID)
        gone = asyncio.create_task(exchange.until_gone())
        while not gone.done():
            await exchange.data(b"x")
            await asyncio.sleep(0.05)

    with OpenAIServer(script) as server:
        end = failed(await ask(server, patience=IMPATIENT))
    assert end.problem.code == "stalled"
    assert end.result.text == SAID


async def _grown(script: Script) -> tuple[Failed, int]:
    """How the run failed, and by how many bytes this process grew meanwhile."""
    with OpenAIServer(script) as server:
        async with engine_at(server.base_url, patience=IMPATIENT) as engine:
            await engine.warm_up()
            before = psutil.Process().memory_info().rss
            events: list[Event] = []
            await engine.run(request(), events.append)
            grown = psutil.Process().memory_info().rss - before
            assert await asyncio.to_thread(server.gone.wait, 2.0)
        assert len(server.received) == 1
    return failed(events), grown


async def test_of_a_hundred_megabytes_eight_are_kept() -> None:
    event = b"data: " + json.dumps(chunk({"content": "y" * 100_000})).encode() + b"\n\n"

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        for _ in range(1000):
            await exchange.data(event)

    end, grown = await _grown(script)
    assert end.problem.code == "answer_too_large"
    assert len(end.result.text) == stream.MAX_TEXT_BYTES == 8_000_000
    assert grown < 150_000_000


@pytest.mark.parametrize("line", [b"data: ab\n", b"data: ab\r\n", b"data: ab\r"])
async def test_an_event_of_lines_without_end_does_not_fill_the_memory(line: bytes) -> None:
    """The SDK keeps every line of an event until an empty one ends it."""
    lines = line * 50_000

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.say(SAID)
        for _ in range(250):
            await exchange.data(lines)

    end, grown = await _grown(script)
    assert end.problem.code == "answer_too_large"
    assert end.result.text == SAID
    assert grown < 50_000_000


async def test_a_flood_of_comments_is_not_kept_and_ends_as_silence() -> None:
    comments = b": still here\n\n" * 5_000

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        while True:
            await exchange.data(comments)

    end, grown = await _grown(script)
    assert end.problem.code == "stalled"
    assert "sent no text" in end.problem.what
    assert grown < 50_000_000


@pytest.mark.parametrize("between", [b"\n", b"\r", b"\r\n"])
async def test_events_cut_anywhere_are_whole_and_never_too_long(
    between: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many servers write an event and the empty line after it one by one."""
    monkeypatch.setattr(guard, "MAX_EVENT_LINES", 10)

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        for _ in range(100):
            await exchange.data(b"data: " + json.dumps(chunk({"content": "z"})).encode() + between)
            await exchange.data(between[:1])
            if between[1:]:
                await exchange.data(between[1:])
        await exchange.finish(usage=usage(1, 100))

    with OpenAIServer(script) as server:
        assert finished(await ask(server)).result.text == "z" * 100
