"""A newer table of prices, from a server on loopback: only when asked, only whole; what is none changes nothing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from backends.cloud import pricing
from backends.cloud.price_table import MAX_TABLE_BYTES, PACKAGE_DAY, PriceTable
from backends.cloud.price_update import DEFAULT_URL, PURPOSE, URL_VARIABLE, consent, prices_url, update_prices
from backends.egress import Egress
from backends.egress_policy import Policy
from backends.errors import NetworkNotAllowed, PricesNotUpdated
from backends.paths import app_paths
from backends.records import Usage
from backends.workbench import Workbench
from tests.backends.cloud.support import until
from tests.fakes.openai_server import Exchange, OpenAIServer, Script

TODAY = date(2026, 11, 23)
OLD, NEW = Decimal("0.0025"), Decimal("0.003")


def model(name: str, rate: float = 3.0) -> dict[str, Any]:
    return {"id": name, "match": {"equals": name}, "prices": {"input_mtok": rate, "output_mtok": 12}}


def provider(*models: dict[str, Any]) -> dict[str, Any]:
    return {"id": "openai", "name": "OpenAI", "api_pattern": "https://api.openai.com", "models": models}


@cache
def table_bytes() -> bytes:
    """As genai-prices publishes it: gpt-4o at 3 dollars, and as many other models as a table has."""
    models = [model("gpt-4o"), *(model(f"other-{number}") for number in range(2000))]
    return json.dumps(
        [{"id": "openai", "name": "OpenAI", "api_pattern": "https://api.openai.com", "models": models}]
    ).encode()


def sends(
    body: bytes,
    kind: str = "text/plain; charset=utf-8",
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.head(status, {"Content-Length": str(len(body)), **(headers or {})}, kind=kind)
        await exchange.raw(body)

    return script


def usd(table: PriceTable) -> Decimal | None:
    return pricing.cost("openai", "gpt-4o", Usage(1000, 0), table=table).usd


@pytest.fixture
def table() -> PriceTable:
    made = PriceTable(app_paths().price_table_file)
    made.load()
    return made


async def update(
    table: PriceTable, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, stop: threading.Event | None = None
) -> list[tuple[int, int]]:
    monkeypatch.setenv(URL_VARIABLE, f"http://127.0.0.1:{server.port}/data.json")
    seen: list[tuple[int, int]] = []
    egress = Egress()
    consent(egress, local_only=lambda: False)
    await update_prices(table, egress, TODAY, lambda *figures: seen.append(figures), stop or threading.Event())
    assert {contact.purpose for contact in egress.log()} == {PURPOSE}
    return seen


async def test_a_new_table_holds_at_once_and_after_a_restart(
    table: PriceTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert usd(table) == OLD
    with OpenAIServer(sends(table_bytes())) as server:
        seen = await update(table, server, monkeypatch)
    assert [each.path for each in server.received] == ["/data.json"]
    assert seen[-1] == (len(table_bytes()), len(table_bytes()))
    again = PriceTable(app_paths().price_table_file)
    for each in (table, again):
        assert usd(each) == NEW
        assert each.info is not None
        assert (each.info.fetched, each.info.day, each.info.models) == (True, TODAY, 2001)
    cost = pricing.cost("openai", "gpt-4o", Usage(1, 1), price_as_of="2026-10-12", table=again)
    assert (cost.source, cost.price_as_of) == ("genai-prices, updated 2026-11-23", "2026-11-23")
    assert pricing.cost("openai", "gpt-4o", Usage(1000, 0)).usd == OLD, "other tables of this process are untouched"


async def redirect(exchange: Exchange) -> None:
    await exchange.answer_text(302, "", "text/plain", {"Location": "http://127.0.0.1:1/elsewhere"})


async def endless(exchange: Exchange) -> None:
    await exchange.head(kind="text/plain")
    for _ in range(MAX_TABLE_BYTES // 1_000_000 + 2):
        await exchange.data(b" " * 1_000_000)


async def hangs_up(exchange: Exchange) -> None:
    await exchange.head(200, {"Content-Length": str(len(table_bytes()))})
    await exchange.raw(table_bytes()[:5000])
    exchange.close()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (sends(b"<html>sign in</html>", "text/html"), "A web page came"),
        (sends(b"<html>sign in</html>"), "not a table of prices"),
        (sends(table_bytes()[:-100]), "not a table of prices"),
        (sends(table_bytes().replace(b'"input_mtok": 3.0', b'"input_mtok": NaN', 1)), "not a table of prices"),
        (sends(table_bytes().replace(b'"input_mtok": 3.0', b'"input_mtok": "x"', 1)), "not a table of prices"),
        (sends(b"[]"), "lacks most of the models"),
        (sends(b"{}"), "not a table of prices"),
        (sends(b"[" * 1_000_000), "not a table of prices"),
        (sends(json.dumps([provider(model("gpt-4o"))]).encode()), "lacks most of the models"),
        (sends(table_bytes(), headers={"Content-Encoding": "gzip"}), "compressed"),
        (sends(b"", status=404), "HTTP 404"),
        (sends(b"x", headers={"Content-Length": "99999999999"}), "far too large"),
        (endless, "far too large"),
        (redirect, "another address"),
        (hangs_up, "broke off"),
    ],
)  # fmt: skip
async def test_what_is_no_table_changes_nothing(
    table: PriceTable, script: Script, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenAIServer(script) as server, pytest.raises(PricesNotUpdated, match=words) as caught:
        await update(table, server, monkeypatch)
    assert "still used" in caught.value.problem.safe
    assert usd(table) == OLD
    assert not app_paths().price_table_file.exists()


async def test_nothing_at_the_address_is_told(table: PriceTable, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer() as server:
        pass
    with pytest.raises(PricesNotUpdated, match="could not be reached"):
        await update(table, server, monkeypatch)


async def test_the_person_can_stop_it(table: PriceTable, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(exchange: Exchange) -> None:
        await exchange.head(200, {"Content-Length": str(len(table_bytes()))})
        await exchange.raw(table_bytes()[:5000])
        await exchange.until_gone()

    stop = threading.Event()
    with OpenAIServer(slow) as server:
        task = asyncio.create_task(update(table, server, monkeypatch, stop))
        await until(lambda: server.received)
        stop.set()
        await task
        assert await asyncio.to_thread(server.gone.wait, 5)
    assert usd(table) == OLD


@pytest.mark.parametrize("content", [b"", b"\0\0\0", b'{"fetched_on": "2026-11-23"}\n[{]', b'{"fetched_on": 3}\n[]'])
def test_a_damaged_kept_table_gives_way_to_that_of_the_package(content: bytes) -> None:
    file = app_paths().price_table_file
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    assert usd(PriceTable(file)) == OLD


def test_a_table_older_than_the_package_gives_way_to_it(table: PriceTable) -> None:
    table.replace(table_bytes(), PACKAGE_DAY)
    assert usd(PriceTable(app_paths().price_table_file)) == OLD
    assert usd(table) == NEW


def test_a_table_that_cannot_be_kept_is_not_used(table: PriceTable) -> None:
    app_paths().price_table_file.mkdir(parents=True)
    with pytest.raises(PricesNotUpdated, match="could not be saved"):
        table.replace(table_bytes(), TODAY)
    assert usd(table) == OLD


async def test_local_only_refuses_and_contacts_nobody() -> None:
    bench = Workbench(app_paths())
    bench.change(local_only=True)
    with pytest.raises(NetworkNotAllowed, match=r"raw\.githubusercontent\.com is not contacted"):
        await bench.spending.update_prices(bench.egress, lambda *_figures: None, threading.Event())
    assert bench.egress.log() == ()
    await bench.close()


def test_a_click_allows_this_host_for_this_alone() -> None:
    egress = Egress()
    consent(egress, local_only=lambda: False)
    assert egress.policy == Policy(False, frozenset(), frozenset({(PURPOSE, "raw.githubusercontent.com")}))
    assert not egress.policy.allows("raw.githubusercontent.com", "ask a model")


def test_a_click_does_not_undo_local_only_switched_on_at_the_same_moment() -> None:
    egress = Egress(Policy(local_only=False))
    switches: list[threading.Thread] = []

    def not_yet() -> bool:
        switches.append(threading.Thread(target=egress.set_local_only, args=(True,)))
        switches[0].start()
        switches[0].join(0.2)
        return False

    consent(egress, local_only=not_yet)
    switches[0].join()
    assert egress.policy.local_only


def test_the_address_is_the_one_that_the_package_names() -> None:
    from genai_prices.update_prices import DEFAULT_UPDATE_URL

    assert prices_url({}) == DEFAULT_URL == DEFAULT_UPDATE_URL


def test_pricing_starts_no_updater() -> None:
    script = """
import threading
from backends.cloud.price_table import PriceTable
table = PriceTable(None); table.load()
import genai_prices.update_prices as update
assert update._shared_updater.ref_count == 0 and threading.active_count() == 1
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
