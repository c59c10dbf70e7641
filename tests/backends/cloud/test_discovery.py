"""Looking for servers on this machine: each kind as it really answers, others at the same port, and none at all."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from typing import Any

import pytest

from backends.cloud import discovery
from backends.cloud.discovery import FoundServer, find_servers
from backends.cloud.providers import Endpoint, shipped_endpoints
from backends.egress import Egress
from backends.egress_policy import Policy
from backends.targets import SELF_HOSTED
from tests.fakes.openai_server import Exchange, OpenAIServer, Script, by_path

# As each server answers, cut to what matters.
ROUTES: dict[str, dict[str, Any]] = {
    "ollama": {
        "/api/version": {"version": "0.14.2"},
        "/v1/models": {"object": "list", "data": [{"id": "llama3.2:3b", "object": "model", "owned_by": "library"}]},
    },
    "llamacpp": {
        "/props": {"default_generation_settings": {}, "total_slots": 1, "chat_template": "", "build_info": "b7000"},
        "/v1/models": {"data": [{"id": "llama-3.1-8b", "owned_by": "llamacpp"}], "models": [{"name": "x"}]},
    },
    "lmstudio": {
        "/api/v0/models": {"data": [{"id": "llama-3.2-1b", "type": "llm", "state": "loaded"}], "object": "list"},
        "/v1/models": {"data": [{"id": "llama-3.2-1b", "owned_by": "organization_owner"}], "object": "list"},
    },
    "vllm": {
        "/version": {"version": "0.14.0"},
        "/v1/models": {"object": "list", "data": [{"id": "meta-llama/Llama-3.1-8B-Instruct", "owned_by": "vllm"}]},
    },
    "tgi": {
        "/info": {"model_id": "meta-llama/Llama-3.1-8B-Instruct", "version": "3.3.4"},
        "/v1/models": {"object": "list", "data": [{"id": "meta-llama/Llama-3.1-8B-Instruct", "owned_by": "-"}]},
    },
}


def at(server: OpenAIServer, kind: str) -> Endpoint:
    return replace(shipped_endpoints()[kind], base_url=server.base_url)


async def look(server: OpenAIServer, kind: str) -> tuple[FoundServer, ...]:
    return await find_servers(Egress(), [at(server, kind)])


@pytest.mark.parametrize("kind", SELF_HOSTED)
async def test_each_kind_is_found_with_its_models(kind: str) -> None:
    routes = ROUTES[kind]
    with OpenAIServer(by_path(routes)) as server:
        (found,) = await look(server, kind)
        assert all(request.method == "GET" and "authorization" not in request.headers for request in server.received)
    assert found.endpoint.provider == kind
    assert found.models is not None
    assert [model.id for model in found.models.models] == [row["id"] for row in routes["/v1/models"]["data"]]


@pytest.mark.parametrize("kind", SELF_HOSTED)
@pytest.mark.parametrize("other", SELF_HOSTED)
async def test_one_kind_is_never_taken_for_another(kind: str, other: str) -> None:
    if kind == other:
        return
    with OpenAIServer(by_path(ROUTES[other])) as server:
        assert await look(server, kind) == ()


async def test_a_version_alone_does_not_make_a_vllm() -> None:
    """Many programs listen at 8000 and tell a version."""
    with OpenAIServer(by_path({"/version": {"version": "1"}, "/v1/models": {"data": [{"id": "x"}]}})) as server:
        assert await look(server, "vllm") == ()


async def test_a_server_that_asks_for_a_key_is_found_without_models() -> None:
    with OpenAIServer(by_path({"/version": {"version": "0.14.0"}, "/v1/models": 401})) as server:
        (found,) = await look(server, "vllm")
    assert (found.models, found.asks_key) == (None, True)


@pytest.mark.parametrize(("name", "number"), [("llama.cpp", 1), ("nginx", 0)])
async def test_a_llama_cpp_that_wants_a_key_for_everything_is_told_by_its_name(name: str, number: int) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer_json(401, {"error": {"message": "Invalid API Key"}}, {"Server": name})

    with OpenAIServer(script) as server:
        found = await look(server, "llamacpp")
        assert await look(server, "ollama") == ()
    assert [each.asks_key for each in found] == [True] * number


async def test_a_server_that_cannot_list_yet_is_found_without_models() -> None:
    """As llama.cpp's while it loads its model."""
    with OpenAIServer(by_path({"/props": ROUTES["llamacpp"]["/props"], "/v1/models": 503})) as server:
        (found,) = await look(server, "llamacpp")
    assert (found.models, found.asks_key) == (None, False)


async def _page(exchange: Exchange) -> None:
    await exchange.answer_text(200, "<html>My router</html>", "text/html")


async def _garbage(exchange: Exchange) -> None:
    await exchange.raw(b"220 mail.example ESMTP\r\n\r\n")
    exchange.close()


async def _elsewhere(exchange: Exchange) -> None:
    await exchange.answer_json(302, {}, {"Location": "http://192.0.2.1/api/version"})


async def _endless(exchange: Exchange) -> None:
    await exchange.head(kind="application/json")
    while True:
        await exchange.data(b" " * 100_000)


@pytest.mark.parametrize("script", [_page, _garbage, _elsewhere, _endless, by_path({"/api/version": ["version"]})])
async def test_whatever_else_listens_there_is_left_alone(script: Script) -> None:
    with OpenAIServer(script) as server:
        assert await look(server, "ollama") == ()


async def test_silence_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "READ_S", 0.2)

    async def silent(exchange: Exchange) -> None:
        await exchange.until_gone()

    with OpenAIServer(silent) as server:
        began = time.monotonic()
        assert await look(server, "ollama") == ()
        assert time.monotonic() - began < 5


async def test_closed_ports_are_no_servers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    closed = [replace(shipped_endpoints()[kind], base_url=f"http://127.0.0.1:{port}/v1") for kind in SELF_HOSTED]
    assert await find_servers(Egress(), closed) == ()


async def test_only_this_machine_is_asked_even_where_others_are_allowed() -> None:
    egress = Egress(Policy(local_only=False, allowed_hosts=frozenset({"gpu.example", "api.openai.com"})))
    moved = replace(shipped_endpoints()["ollama"], base_url="https://gpu.example/v1")
    assert await find_servers(egress, [moved, shipped_endpoints()["openai"]]) == ()
    assert egress.log() == ()


async def test_local_only_lets_this_machine_be_asked_and_writes_it_down() -> None:
    egress = Egress(Policy(local_only=True))
    with OpenAIServer(by_path(ROUTES["ollama"])) as server:
        assert len(await find_servers(egress, [at(server, "ollama")])) == 1
    assert {contact.purpose for contact in egress.log()} == {"look for servers", "list models"}
    assert egress.snapshot().connections == 0
