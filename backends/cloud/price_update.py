"""Fetches a newer table of prices when the person asks for it, never otherwise. Must not read nor keep the table."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import date
from typing import TYPE_CHECKING

from backends.cloud.price_table import MAX_TABLE_BYTES, PriceTable, TableInfo
from backends.cloud.providers import check_address
from backends.egress import Egress
from backends.egress_policy import address_of, on_this_machine
from backends.errors import NetworkNotAllowed, PricesNotUpdated

if TYPE_CHECKING:
    import httpx2

PURPOSE = "update of prices"
URL_VARIABLE = "NEARFAR_PRICES_URL"
# Where genai-prices publishes its data, as its own updater names it; a test compares the two.
DEFAULT_URL = "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/new_data/v2/data.json"
ANSWER_S = 30.0
SLOWEST_BYTES_S = 8 * 1024

Progress = Callable[[int, int], None]


def prices_url(environ: Mapping[str, str] = os.environ) -> str:
    """Where new prices come from; raises BadAddress for an address in the variable that is none."""
    wanted = environ.get(URL_VARIABLE, "").strip()
    return check_address(wanted) if wanted else DEFAULT_URL


def consent(egress: Egress, *, local_only: Callable[[], bool]) -> None:
    """The person asked for new prices: their host may be contacted for that. Raises NetworkNotAllowed under
    `local_only`, and BadAddress."""
    host = address_of(prices_url())[0]
    if not on_this_machine(host) and not egress.end_local_only(unless=local_only):
        raise NetworkNotAllowed(
            f"Local only is switched on, so {host} is not contacted.",
            fix="Turn local only off to update, or add a price of your own.",
        )
    egress.allow_for(PURPOSE, [host])


async def update_prices(
    table: PriceTable, egress: Egress, today: date, progress: Progress, stop: threading.Event
) -> TableInfo | None:
    """After `consent`: fetch a table and put it in place of the one in use; None where the person stopped it.

    `progress` hears bytes received and in all (0 where that is not known). Raises PricesNotUpdated, NetworkNotAllowed
    and BadAddress; the table in use then stays.
    """
    url = prices_url()
    raw = await _fetched(url, egress, progress, stop)
    if raw is None:
        return None
    return await asyncio.to_thread(table.replace, raw, today)


async def _fetched(url: str, egress: Egress, progress: Progress, stop: threading.Event) -> bytes | None:
    client = await asyncio.to_thread(egress.http_client, PURPOSE, url)
    reading = asyncio.ensure_future(_read(client, url, progress))
    try:
        while not reading.done():
            await asyncio.wait({reading}, timeout=0.1)
            if stop.is_set() and not reading.done():
                return None
        return reading.result()
    finally:
        reading.cancel()
        await asyncio.wait({reading})
        await client.aclose()


async def _read(client: httpx2.AsyncClient, url: str, progress: Progress) -> bytes:
    import httpx2

    host = address_of(url)[0]
    try:
        async with client.stream("GET", url) as response:
            total = _check_head(response, host)
            return await _body(response, host, total, progress)
    except (httpx2.TimeoutException, TimeoutError):
        raise PricesNotUpdated(f"{host} did not answer in time.") from None
    except (httpx2.TransportError, httpx2.InvalidURL, OSError):
        raise PricesNotUpdated(
            f"{host} could not be reached, or broke off.", fix="Check the network, then try again."
        ) from None


def _check_head(response: httpx2.Response, host: str) -> int:
    """The size that was announced, 0 where it was not."""
    if response.is_redirect:
        raise PricesNotUpdated(f"{host} wanted to send Nearfar to another address, which it did not follow.")
    if not response.is_success:
        raise PricesNotUpdated(f"{host} has no prices at this address (HTTP {response.status_code}).")
    if "html" in response.headers.get("content-type", "").lower():
        raise PricesNotUpdated(
            f"A web page came from {host} instead of prices.", fix="It may be a sign-in page: sign in, then try again."
        )
    if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise PricesNotUpdated(f"{host} sent a compressed reply, which nobody asked for.")
    announced = response.headers.get("content-length", "")
    total = int(announced) if announced.isascii() and announced.isdecimal() and len(announced) < 16 else 0
    if total > MAX_TABLE_BYTES:
        raise _too_large(host)
    return total


async def _body(response: httpx2.Response, host: str, total: int, progress: Progress) -> bytes:
    body = bytearray()
    began_s = time.monotonic()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MAX_TABLE_BYTES:
            raise _too_large(host)
        if time.monotonic() - began_s > ANSWER_S + len(body) / SLOWEST_BYTES_S:
            raise TimeoutError
        progress(len(body), total)
    return bytes(body)


def _too_large(host: str) -> PricesNotUpdated:
    return PricesNotUpdated(f"What {host} sends is far too large for a table of prices, so it was not read.")
