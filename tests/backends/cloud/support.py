"""What the cloud tests share: a target on a scripted server, an engine for it, and one question."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from backends.cloud.engine import CloudEngine
from backends.cloud.patience import Patience
from backends.cloud.providers import CloudModel, Endpoint, shipped_endpoints
from backends.egress import Egress
from backends.events import Cancelled, Delta, Event, Failed, Finished, Notice, is_terminal
from backends.ids import new_id
from backends.keys import Secret
from backends.records import Prompt, RunRequest, Sampling, Target
from tests.fakes.openai_server import OpenAIServer

KEY = "sk-CANARY-0123456789abcdefghij"
QUESTION = "What does tok/s mean?"
IMPATIENT = Patience(connect_s=5, read_s=0.5, silence_s=1.0, tail_s=0.3, thinking_s=1.0)


def endpoint_at(base_url: str, provider: str = "openai") -> Endpoint:
    return replace(shipped_endpoints()[provider], base_url=base_url)


def request(model: str = "gpt-4o", *, text: str = QUESTION, provider: str = "openai", **sampling: Any) -> RunRequest:
    return RunRequest(new_id("run"), Target(provider, model), Prompt.ask(text), replace(Sampling(), **sampling))


async def until(condition: Callable[[], object], limit_s: float = 20.0) -> None:
    """Until something is so in another thread, process or task."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110  no event tells of it
            await asyncio.sleep(0.002)


@asynccontextmanager
async def engine_at(
    base_url: str,
    *,
    provider: str = "openai",
    key: str | None = KEY,
    patience: Patience | None = None,
    egress: Egress | None = None,
    offered: tuple[CloudModel, ...] = (),
) -> AsyncIterator[CloudEngine]:
    secret = None if key is None else Secret(key)
    engine = CloudEngine(
        endpoint_at(base_url, provider),
        egress=egress or Egress(),
        key=lambda: secret,
        offered=lambda: offered,
        patience=patience,
    )
    try:
        yield engine
    finally:
        await engine.close()


async def ask(
    server: OpenAIServer,
    asked: RunRequest | None = None,
    *,
    provider: str = "openai",
    key: str | None = KEY,
    patience: Patience | None = None,
    egress: Egress | None = None,
    offered: tuple[CloudModel, ...] = (),
) -> list[Event]:
    """Every event of one question to the server."""
    events: list[Event] = []
    async with engine_at(
        server.base_url, provider=provider, key=key, patience=patience, egress=egress, offered=offered
    ) as engine:
        await engine.run(asked or request(), events.append)
    return events


def end_of(events: list[Event]) -> Finished | Failed | Cancelled:
    """The one terminal event, which must be the last."""
    assert [is_terminal(event) for event in events] == [False] * (len(events) - 1) + [True]
    last = events[-1]
    assert isinstance(last, Finished | Failed | Cancelled)
    return last


def failed(events: list[Event]) -> Failed:
    end = end_of(events)
    assert isinstance(end, Failed)
    return end


def finished(events: list[Event]) -> Finished:
    end = end_of(events)
    assert isinstance(end, Finished), end
    return end


def has_text(events: list[Event]) -> bool:
    return any(isinstance(event, Delta) for event in events)


def notices(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.code, event.text) for event in events if isinstance(event, Notice) and event.code != "preparing"]
