"""Asks a server for the list of its models. Must not be called but for a person's click or command, nor keep the list.

It sends no prompt. It imports the SDK for its errors, so import it late.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime

import httpx2

from backends.cloud import failures
from backends.cloud.failures import Call
from backends.cloud.offers import ModelList
from backends.cloud.providers import CloudModel, Endpoint
from backends.egress import CONNECT_S, POOL_S, WRITE_S, Egress
from backends.errors import (
    AnswerTooLarge,
    CloudError,
    KeyLacksRight,
    KeyMissing,
    KeyRefused,
    NearfarError,
    NotAnApi,
    RedirectRefused,
    RequestRefused,
    ServerFailed,
    TooManyRequests,
    UnreadableReply,
)
from backends.keys import Secret

PURPOSE = "list models"
PATH = "/models"
SAFE = "No prompt was sent, and nothing was changed."
MAX_BYTES = 16_000_000
MAX_MODELS = 2_000
MAX_ID = 200
READ_S = 20.0
TOTAL_S = 60.0
DATE_FIELDS = ("shutdown_date", "expiration_date", "deprecation_date", "retirement_date")
NAME_FIELDS = ("id", "name")
CHATTING = frozenset({"chat", "language", "code", "llm", "vlm", "model", "text", "text-generation"})


async def fetch_models(egress: Egress, endpoint: Endpoint, key: Secret | None) -> ModelList:
    """What the server says it has, by GET /models; raises NearfarError."""
    try:
        body = await _get(egress, endpoint, key)
        models = await asyncio.to_thread(read_models, body)
    except NearfarError as error:
        raise _harmless(error) from None
    except Exception as error:  # noqa: BLE001  whatever a server does becomes a sentence
        call = Call(endpoint, "", key, READ_S, lambda: False)
        raise _harmless(failures.as_nearfar_error(error, call)) from None
    return ModelList(endpoint.base_url, models, datetime.now(UTC).replace(microsecond=0))


def _harmless(error: NearfarError) -> NearfarError:
    """The same error, saying what is safe here."""
    return type(error)(error.problem.what, safe=SAFE, fix=error.problem.fix)


async def _get(egress: Egress, endpoint: Endpoint, key: Secret | None) -> bytes:
    if key is None and endpoint.needs_key:
        raise KeyMissing(f"{endpoint.label} needs an API key to list its models.")
    http = await asyncio.to_thread(egress.http_client, PURPOSE, endpoint.base_url)
    http.timeout = httpx2.Timeout(connect=CONNECT_S, read=READ_S, write=WRITE_S, pool=POOL_S)
    headers = {"Accept": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key.reveal()}"
    url = endpoint.base_url + PATH
    async with http, asyncio.timeout(TOTAL_S), http.stream("GET", url, headers=headers) as response:
        _check(response, endpoint, key)
        return await _bounded(response, endpoint)


async def _bounded(response: httpx2.Response, endpoint: Endpoint) -> bytes:
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > MAX_BYTES:
            raise AnswerTooLarge(
                f"The list of models of {endpoint.label} passed {MAX_BYTES // 1_000_000} MB and was stopped.",
                fix="Type the name of the model instead.",
            )
    return bytes(body)


def _check(response: httpx2.Response, endpoint: Endpoint, key: Secret | None) -> None:
    status, name, host = response.status_code, endpoint.label, endpoint.host
    kind = response.headers.get("content-type", "")
    if "html" in kind:
        raise NotAnApi(f"A web page answered at {host} (HTTP {status}), not an API.")
    if 300 <= status < 400:
        raise RedirectRefused(f"{host} wanted to send the question for its models elsewhere. Nearfar refused.")
    if response.is_success:
        return
    raise _refusal(status, name, host, key)


def _refusal(status: int, name: str, host: str, key: Secret | None) -> CloudError:
    if status in (401, 403):
        if key is None:
            return KeyMissing(f"{name} asks for an API key to list its models.")
        kind = KeyRefused if status == 401 else KeyLacksRight
        return kind(f"{name} did not accept the API key (HTTP {status}).")
    if status in (404, 405):
        return NotAnApi(
            f"There is no list of models at this address of {host} (HTTP {status}).",
            fix="Check the address of this server; many end in /v1. Or type the name of the model.",
        )
    if status == 429:
        return TooManyRequests(f"{name} asks you to wait: too many requests.", fix="Wait a little, then ask again.")
    if status >= 500:
        return ServerFailed(f"{name} failed on its side (HTTP {status}).", fix="Ask again in a minute.")
    return RequestRefused(f"{name} refused to list its models (HTTP {status}).", fix="Type the name of the model.")


def read_models(body: bytes) -> tuple[CloudModel, ...]:
    """The models of a list in any of the shapes that servers give it, each once; raises UnreadableReply.

    OpenAI and most others wrap an array in `data`; Together sends the array alone. What says that it is no chat model
    (Together's `type`, Groq's `active`, OpenRouter's modalities) is left out.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableReply("The list of models cannot be read: it is not JSON.", fix="Check the address.") from None
    rows = next((value[name] for name in ("data", "models") if name in value), None) if _is_map(value) else value
    if not isinstance(rows, list):
        raise UnreadableReply("What answered is not a list of models.", fix="Check the address.")
    found = {model.id: model for model in _models(rows)}
    return tuple(found.values())[:MAX_MODELS]


def _is_map(value: object) -> bool:
    return isinstance(value, Mapping)


def _models(rows: list[object]) -> Iterator[CloudModel]:
    for row in rows:
        if not isinstance(row, Mapping):
            continue
        name = next((row[field] for field in NAME_FIELDS if isinstance(row.get(field), str)), "")
        if 0 < len(name) <= MAX_ID and name.isprintable() and name == name.strip() and _chats(row):
            retires = next((day for field in DATE_FIELDS if (day := _day(row.get(field))) is not None), None)
            yield CloudModel(name, retires)


def _chats(row: Mapping[str, object]) -> bool:
    kind = row.get("type")
    if isinstance(kind, str) and kind and kind.lower() not in CHATTING:
        return False
    shape = row.get("architecture")
    gives = shape.get("output_modalities") if isinstance(shape, Mapping) else None
    return row.get("active") is not False and not (isinstance(gives, list) and gives and "text" not in gives)


def _day(value: object) -> date | None:
    """A date as servers write it: ISO 8601 with or without a time, or seconds since 1970."""
    try:
        if isinstance(value, str):
            return date.fromisoformat(value[:10])
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return datetime.fromtimestamp(value, UTC).date()
    except (ValueError, OverflowError, OSError):
        pass
    return None
