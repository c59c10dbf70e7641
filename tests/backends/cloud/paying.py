"""What the tests of money share: an engine that is paid, what it wrote down, and sums by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from backends.cloud.budget import Spending
from backends.cloud.engine import CloudEngine
from backends.egress import Egress
from backends.events import Event, Notice
from backends.keys import Secret
from backends.paths import app_paths
from backends.records import RunRequest
from backends.settings import Settings
from backends.spending import Spent
from tests.backends.cloud.support import IMPATIENT, KEY, endpoint_at, request
from tests.fakes.openai_server import Exchange, OpenAIServer, usage

COUNTS = usage(2000, 500, cached=1024)
PRICE = Decimal("0.00872")
BOUND = (Decimal(21 + 16 + 128) * Decimal("2.5") + 1024 * 10) / 1_000_000  # of `request()` to gpt-4o
BOUND_AT_PRIORITY = BOUND * Decimal("1.7")


@asynccontextmanager
async def paid(
    server: OpenAIServer, spending: Spending | None = None, provider: str = "openai", **budgets: Any
) -> AsyncIterator[tuple[CloudEngine, Spending]]:
    spending = spending or Spending(app_paths(), lambda: Settings(**budgets))
    engine = CloudEngine(
        endpoint_at(server.base_url, provider),
        egress=Egress(),
        key=lambda: Secret(KEY),
        spending=spending,
        patience=IMPATIENT,
    )
    try:
        yield engine, spending
    finally:
        await engine.close()


async def run(engine: CloudEngine, asked: RunRequest | None = None) -> list[Event]:
    events: list[Event] = []
    await engine.run(asked or request(), events.append)
    return events


def month(spending: Spending) -> Spent:
    """As another program reads it."""
    del spending
    return Spending(app_paths(), Settings).ledger.totals().month


def warnings(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice) and event.code == "budget"]


async def begin_and_end(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.say("Once upon a time, ")
    await exchange.end()
