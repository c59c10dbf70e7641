"""Finds the model servers that run on this machine. Must not ask another machine, nor be called but by a click.

Each kind of server of the shipped table is asked at its own port on 127.0.0.1 what it is, and only one that says so
truly is asked for its models. It imports the HTTP client, so import it late.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import httpx2

from backends.cloud.model_list import PATH as MODELS_PATH
from backends.cloud.model_list import fetch_models
from backends.cloud.offers import ModelList
from backends.cloud.providers import Endpoint, Probe
from backends.egress import Egress
from backends.egress_policy import on_this_machine
from backends.errors import KeyMissing, NearfarError

PURPOSE = "look for servers"
CONNECT_S = 0.5
READ_S = 2.0
TOTAL_S = 10.0
MAX_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class FoundServer:
    """A server that said what it is. `models` is None where it has not listed them, `asks_key` where it wants a key."""

    endpoint: Endpoint
    models: ModelList | None
    asks_key: bool = False


async def find_servers(egress: Egress, endpoints: Iterable[Endpoint]) -> tuple[FoundServer, ...]:
    """Those of `endpoints` that listen on this machine and are what they are called; raises nothing of the network.

    An endpoint that was moved to another machine is left alone.
    """
    here = [each for each in endpoints if each.probe is not None and on_this_machine(each.host)]
    found = await asyncio.gather(*(_look(egress, endpoint) for endpoint in here))
    return tuple(server for server in found if server is not None)


async def _look(egress: Egress, endpoint: Endpoint) -> FoundServer | None:
    assert endpoint.probe is not None
    try:
        async with asyncio.timeout(TOTAL_S):
            if not await _is_what_it_is_called(egress, endpoint, endpoint.probe):
                return None
            return await _with_models(egress, endpoint)
    except (OSError, httpx2.HTTPError, httpx2.InvalidURL, NearfarError):  # nothing there, or not what we look for
        return None


async def _with_models(egress: Egress, endpoint: Endpoint) -> FoundServer:
    try:
        return FoundServer(endpoint, await fetch_models(egress, endpoint, None))
    except KeyMissing:
        return FoundServer(endpoint, None, asks_key=True)
    except NearfarError:
        return FoundServer(endpoint, None)


async def _is_what_it_is_called(egress: Egress, endpoint: Endpoint, probe: Probe) -> bool:
    root = endpoint.base_url.removesuffix("/v1")
    http = await asyncio.to_thread(egress.http_client, PURPOSE, root)
    http.timeout = httpx2.Timeout(connect=CONNECT_S, read=READ_S, write=READ_S, pool=READ_S)
    async with http:
        status, name, said = await _get(http, root + probe.path)
        if status == 401:
            return probe.server is not None and name == probe.server
        if not (200 <= status < 300 and isinstance(said, Mapping) and probe.has in said):
            return False
        if probe.owned_by is None:
            return True
        status, _name, said = await _get(http, endpoint.base_url + MODELS_PATH)
    if status == 401:
        return True
    rows = said.get("data") if isinstance(said, Mapping) else None
    return isinstance(rows, list) and any(
        isinstance(row, Mapping) and row.get("owned_by") == probe.owned_by for row in rows
    )


async def _get(http: httpx2.AsyncClient, url: str) -> tuple[int, str, object]:
    """The status, what the server calls itself, and the JSON that came, or None."""
    async with http.stream("GET", url, headers={"Accept": "application/json"}) as response:
        name = response.headers.get("server", "")
        body = bytearray()
        async for part in response.aiter_raw():
            body += part
            if len(body) > MAX_BYTES:
                return response.status_code, name, None
    try:
        return response.status_code, name, json.loads(bytes(body))
    except (ValueError, RecursionError):
        return response.status_code, name, None
