"""The OpenAI SDK, told everything explicitly. The only importer of `openai`; import it late and off the loop (1-3 s).

Must not read the environment: addresses, organisation, project and headers that other programs left there would change
where a prompt goes and under whose name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import httpcore2
import httpx2
from openai import AsyncOpenAI, AsyncStream, Omit
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from backends.cloud.patience import Patience
from backends.egress import POOL_S, WRITE_S, Egress
from backends.egress_http import RecordingTransport
from backends.version import APP_VERSION

if TYPE_CHECKING:
    from backends.keys import Secret

logging.getLogger("openai").setLevel(logging.WARNING)  # at debug level it can be made to log requests

NO_KEY = "none"  # the SDK will not be built without one; the header is set for each request instead

REHEARSAL = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    b'data: {"id":"0","object":"chat.completion.chunk","created":0,"model":"rehearsal","choices":[{"index":0,'
    b'"delta":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,'
    b'"completion_tokens":1,"total_tokens":2}}\n\ndata: [DONE]\n\n'
)

Chunks = AsyncStream[ChatCompletionChunk]


class Client(AsyncOpenAI):
    """The SDK's client, sending no header but ours: no account, no custom headers, no description of this machine."""

    @property
    def default_headers(self) -> dict[str, str | Omit]:
        return {
            "Accept": "text/event-stream",
            "Content-Type": "application/json",
            "User-Agent": f"Nearfar/{APP_VERSION}",
        }


def make_client(base_url: str, http: httpx2.AsyncClient, timeout: httpx2.Timeout) -> Client:
    """One client for one server; it holds no key."""
    client = Client(api_key=NO_KEY, base_url=base_url, max_retries=0, timeout=timeout, http_client=http)
    _ = client.chat.completions  # the SDK imports its resources when they are first touched
    return client


def timeout_of(patience: Patience) -> httpx2.Timeout:
    """The part of a patience that the socket keeps."""
    return httpx2.Timeout(connect=patience.connect_s, read=patience.read_s, write=WRITE_S, pool=POOL_S)


async def open_stream(
    client: Client, body: Mapping[str, object], key: Secret | None, patience: Patience | None = None
) -> Chunks:
    """Send the request and wait for the head of the response; raises what the SDK raises."""
    rest = {name: value for name, value in body.items() if name not in ("model", "messages", "stream")}
    return await client.chat.completions.create(
        model=cast("str", body["model"]),
        messages=cast("list[ChatCompletionMessageParam]", body["messages"]),
        stream=True,
        timeout=client.timeout if patience is None else timeout_of(patience),
        extra_body=rest,
        extra_headers={"Authorization": f"Bearer {key.reveal()}" if key is not None else Omit()},
    )


def rehearse() -> None:
    """Go through one answer in memory, off the loop.

    The SDK and the HTTP stack import parts and build models during their first request: 40 ms that would count as the
    first server's TTFT.
    """
    asyncio.run(_rehearse())


async def _rehearse() -> None:
    played = httpcore2.AsyncMockBackend([REHEARSAL])
    transport = RecordingTransport(Egress(), "rehearsal", played)
    async with httpx2.AsyncClient(transport=transport, trust_env=False) as http:
        client = make_client("http://127.0.0.1/v1", http, httpx2.Timeout(5))
        stream = await open_stream(client, {"model": "rehearsal", "messages": [{"role": "user", "content": "?"}]}, None)
        async for _ in stream:
            pass
