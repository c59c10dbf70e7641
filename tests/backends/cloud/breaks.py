"""Ways in which a stream breaks, each as what the scripted server does. Must not know what the app makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.backends.cloud.support import KEY
from tests.fakes.openai_server import Exchange, Script, chunk

SAID = "Tokens per second"
Break = Callable[[Exchange], Awaitable[None]]


def after_some_text(break_it: Break) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.say(SAID)
        await break_it(exchange)

    return script


async def reset(exchange: Exchange) -> None:
    await asyncio.sleep(0.05)  # RST throws away what the client has not read yet
    exchange.reset()


async def no_terminator(exchange: Exchange) -> None:
    exchange.close()


async def half_a_chunk(exchange: Exchange) -> None:
    await exchange.raw(b"ffff\r\ndata: {")
    exchange.close()


async def bad_json(exchange: Exchange) -> None:
    await exchange.data(b'data: {"choices": [{"del\n\n')
    await exchange.end()


async def bad_utf8(exchange: Exchange) -> None:
    await exchange.data(b'data: {"choices":[{"index":0,"delta":{"content":"\xff\xfe"}}]}\n\n')
    await exchange.end()


async def an_array(exchange: Exchange) -> None:
    await exchange.event([1, 2, 3])
    await exchange.end()


async def a_string(exchange: Exchange) -> None:
    await exchange.event("hello")
    await exchange.end()


async def choices_of_nonsense(exchange: Exchange) -> None:
    await exchange.event({**chunk(None), "choices": ["x"]})
    await exchange.end()


async def error_event(exchange: Exchange) -> None:
    await exchange.event({"error": {"message": f"upstream broke, key {KEY}", "type": "server_error"}})
    await exchange.end()


async def error_finish(exchange: Exchange) -> None:
    await exchange.event(
        {**chunk(None), "choices": [{"index": 0, "delta": {}, "finish_reason": "error", "error": {"message": "gone"}}]}
    )
    await exchange.end()


async def groq_error(exchange: Exchange) -> None:
    await exchange.event({**chunk(None), "choices": [], "x_groq": {"error": "over capacity"}})
    await exchange.end()


async def quota_event(exchange: Exchange) -> None:
    await exchange.event({"error": {"message": "no", "code": "insufficient_quota"}})
    await exchange.end()


async def stall(exchange: Exchange) -> None:
    await exchange.until_gone()


async def comments_only(exchange: Exchange) -> None:
    with_gone = asyncio.create_task(exchange.until_gone())
    while not with_gone.done():
        await exchange.data(b": still here\n\n")
        await asyncio.sleep(0.05)


async def clean_end(exchange: Exchange) -> None:
    await exchange.end()


async def done_without_finish(exchange: Exchange) -> None:
    await exchange.data(b"data: [DONE]\n\n")
    await exchange.end()


async def cut_inside_json(exchange: Exchange) -> None:
    await exchange.data(b'data: {"choices":[{"index":0,"delta":{"content":"lost')
    await exchange.end()
