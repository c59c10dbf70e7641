"""What the cloud engine makes of a stream that keeps to the protocol, in every shape that servers use."""

from __future__ import annotations

import asyncio
import time

import pytest

from backends.events import Delta, Event
from tests.backends.cloud.support import ask, engine_at, failed, finished, request
from tests.fakes.openai_server import Exchange, OpenAIServer, chunk, usage


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


async def test_text_in_parts_is_joined() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    parts = [thought, {"type": "text", "text": "Forty"}, {"type": "reference", "reference_ids": [1]}, "-two"]

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.event(chunk({"content": parts}))
        await exchange.event(chunk({"content": []}))
        await exchange.say(".")
        await exchange.finish()

    with OpenAIServer(script) as server:
        result = finished(await ask(server)).result
    assert (result.text, result.reasoning_text, result.complete) == ("Forty-two.", "Hm.", True)


@pytest.mark.parametrize("content", [[{"type": "image_url", "image_url": {}}], [7], {"text": "x"}, 7, [None]])
async def test_what_is_no_text_is_never_an_empty_answer(content: object) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.say("So far.")
        await exchange.event(chunk({"content": content}))
        await exchange.finish()

    with OpenAIServer(script) as server:
        end = failed(await ask(server))
    assert (end.problem.code, end.result.text, end.result.complete) == ("unreadable_reply", "So far.", False)


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
