"""Models that think before they write, without a byte meanwhile: waited for, said, and stopped at once."""

from __future__ import annotations

import asyncio
import time

import pytest

from backends.cloud.patience import Patience
from backends.events import Event
from tests.backends.cloud.support import ask, engine_at, failed, finished, notices, request, until
from tests.fakes.openai_server import Exchange, OpenAIServer

SHORT = Patience(connect_s=5, read_s=0.3, silence_s=0.3, tail_s=0.3, thinking_s=20.0, say_thinking_s=0.05)
SAYS = "is thinking. Up to a minute without text are waited for."


async def late(exchange: Exchange) -> None:
    await exchange.head()
    await asyncio.sleep(0.8)
    await exchange.say("At last.")
    await exchange.finish()


async def never(exchange: Exchange) -> None:
    await exchange.until_gone()


@pytest.mark.parametrize(("model", "effort"), [("gpt-6-luna", None), ("gpt-6-luna", "high"), ("gpt-4o", "high")])
async def test_a_model_that_thinks_is_waited_for_longer(model: str, effort: str | None) -> None:
    with OpenAIServer(late) as server:
        events = await ask(server, request(model, reasoning_effort=effort), patience=SHORT)
    assert finished(events).result.text == "At last."
    said = [text for code, text in notices(events) if code == "thinking"]
    assert said == [f"{model} {SAYS}", ""]


@pytest.mark.parametrize(("model", "effort"), [("gpt-4o", None), ("gpt-6-luna", "none")])
async def test_any_other_silence_is_a_stall(model: str, effort: str | None) -> None:
    with OpenAIServer(late) as server:
        events = await ask(server, request(model, reasoning_effort=effort), patience=SHORT)
    assert failed(events).problem.code == "stalled"
    assert "thinking" not in [code for code, _text in notices(events)]


async def test_what_thinks_stops_at_once() -> None:
    with OpenAIServer(never) as server:
        async with engine_at(server.base_url, patience=SHORT) as engine:
            events: list[Event] = []
            task = asyncio.create_task(engine.run(request("gpt-6-luna"), events.append))
            await until(lambda: "thinking" in [code for code, _text in notices(events)])
            began = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - began < 1.0
        assert await asyncio.to_thread(server.gone.wait, 2.0)
