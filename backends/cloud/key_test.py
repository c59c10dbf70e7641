"""Tries an API key by asking its server for the list of models. Must not keep a key, nor show one to anybody.

The HTTP client and the SDK's errors are imported off the loop at the first test: together they take seconds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from backends.cloud.providers import Endpoint
from backends.egress import Egress
from backends.errors import NetworkNotAllowed
from backends.keys import Secret

if TYPE_CHECKING:
    import httpx2

PURPOSE = "test an API key"
LIMIT_S = 20.0
MAX_BYTES = 8_000_000
# Where the list of models is open to everybody, something that asks for the key. Documented by each of them.
PATHS = {"openrouter": "key", "huggingface": "api/whoami-v2"}

Outcome = Literal["works", "refused", "unreachable", "unclear", "not_allowed"]


@dataclass(frozen=True, slots=True)
class KeyTest:
    """What came of a test. `unclear` where the server answered without saying whether it takes the key."""

    outcome: Outcome
    sentence: str


async def try_key(endpoint: Endpoint, key: Secret, egress: Egress, *, limit_s: float = LIMIT_S) -> KeyTest:
    """Ask once, at most `limit_s`; cancelling closes the connection. Never raises for what the server does."""
    try:
        client = await asyncio.to_thread(_client, egress, endpoint)
    except NetworkNotAllowed as error:
        return KeyTest("not_allowed", error.problem.what)
    try:
        async with asyncio.timeout(limit_s):
            return await _ask(client, endpoint, key)
    except TimeoutError:
        return KeyTest("unreachable", f"{endpoint.host} did not answer in {limit_s:g} seconds.")
    except NetworkNotAllowed as error:  # switched on while the connection was made
        return KeyTest("not_allowed", error.problem.what)
    except Exception as error:  # noqa: BLE001 - whatever the connection or the reply was, it is told and tests nothing
        return KeyTest("unreachable", _words(error, endpoint, key))
    finally:
        await client.aclose()


def _client(egress: Egress, endpoint: Endpoint) -> httpx2.AsyncClient:
    import backends.cloud.failures  # noqa: F401  so that an error need not wait for it

    return egress.http_client(PURPOSE, endpoint.base_url)


def _words(error: Exception, endpoint: Endpoint, key: Secret) -> str:
    from backends.cloud.failures import Call, as_nearfar_error

    call = Call(endpoint, "models", key, read_s=LIMIT_S, text_began=lambda: False)
    return as_nearfar_error(error, call).problem.what


async def _ask(client: httpx2.AsyncClient, endpoint: Endpoint, key: Secret) -> KeyTest:
    path = PATHS.get(endpoint.key_name, "models")
    headers = {"Authorization": f"Bearer {key.reveal()}", "Accept": "application/json"}
    async with client.stream("GET", path, headers=headers) as response:
        if response.status_code == 200:
            kind = response.headers.get("content-type", "")
            return _of_answer(endpoint, kind, await _body(response))
        return _of_status(endpoint, response.status_code, response.headers)


async def _body(response: httpx2.Response) -> bytes | None:
    """None where it is longer than any list of models."""
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > MAX_BYTES:
            return None
    return bytes(body)


def _of_answer(endpoint: Endpoint, kind: str, body: bytes | None) -> KeyTest:
    if "html" in kind:
        return KeyTest("unclear", f"A web page answered at {endpoint.host}, not an API, so the key was not tested.")
    try:
        answer = json.loads(body or b"")
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict | list) or (isinstance(answer, dict) and "error" in answer):
        return KeyTest("unclear", f"{endpoint.host} answered something that cannot be read, so nothing is known.")
    n_models = _count(answer)
    listed = "" if n_models is None else f" and lists {n_models} model{'s' if n_models != 1 else ''}"
    if not endpoint.needs_key:
        return KeyTest("works", f"{endpoint.label} answers{listed}; such a server may take any key.")
    return KeyTest("works", f"The key works: {endpoint.label} takes it{listed}.")


def _count(answer: dict[str, Any] | list[Any]) -> int | None:
    """Models in the list that OpenAI's protocol wants, or in the bare one that Together sends."""
    found = answer.get("data") if isinstance(answer, dict) else answer
    return len(found) if isinstance(found, list) else None


def _of_status(endpoint: Endpoint, status: int, headers: Any) -> KeyTest:
    name, host = endpoint.label, endpoint.host
    if 300 <= status < 400:
        to = _plain(urlsplit(headers.get("location", "")).hostname or host)
        return KeyTest("unclear", f"{host} wanted to send the key on to {to}, which Nearfar refused.")
    if status == 401:
        return KeyTest("refused", f"{name} refuses this key.")
    if "html" in headers.get("content-type", "") and status < 500:
        return KeyTest("unclear", f"A web page answered at {host} (HTTP {status}), so the key was not tested.")
    if status == 403:
        return KeyTest("unclear", f"{name} does not let this key list models; it may still answer prompts (HTTP 403).")
    if status in (404, 405):
        return KeyTest("unclear", f"There is no list of models at this address of {host} (HTTP {status}).")
    if status == 429:
        return KeyTest("unclear", f"{name} asks to wait, or the credit of this key is used up (HTTP 429).")
    if status >= 500:
        return KeyTest("unreachable", f"{name} failed on its side (HTTP {status}), so the key was not tested.")
    return KeyTest("unclear", f"{name} did not answer the test (HTTP {status}).")


def _plain(text: Iterable[str]) -> str:
    """Part of a server's words: short and on one line."""
    return "".join(char for char in text if char.isprintable())[:100]
