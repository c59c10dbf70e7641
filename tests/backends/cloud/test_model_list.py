"""The list of models that a server gives: every shape, every refusal, bounded, kept, laid over the shipped table."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from backends.cloud import model_list
from backends.cloud.known_models import FILE_NAME, KnownModels
from backends.cloud.model_list import fetch_models, read_models
from backends.cloud.offers import ModelList, instead_of, offers, retires_on
from backends.cloud.providers import CloudModel, shipped_endpoints
from backends.egress import Egress
from backends.egress_policy import Policy
from backends.errors import NearfarError
from backends.keys import Secret
from backends.version import APP_VERSION
from tests.backends.cloud.support import KEY, endpoint_at, until
from tests.fakes.openai_server import Exchange, OpenAIServer, Script, by_path, error

TODAY = date(2026, 11, 25)
NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
OPENAI = {
    "object": "list",
    "data": [
        {"id": "gpt-6-luna", "object": "model", "created": 1, "owned_by": "openai", "shutdown_date": None},
        {"id": "gpt-4o", "object": "model", "created": 1, "owned_by": "openai", "shutdown_date": "2027-02-28"},
        {"id": "text-embedding-3-small", "object": "model", "created": 1, "owned_by": "openai"},
        {"id": "gpt-7", "object": "model", "created": 1, "owned_by": "openai"},
        {"id": "gpt-4.1", "object": "model", "created": 1, "owned_by": "openai"},
    ],
}


async def listed(server: OpenAIServer, key: str | None = KEY, provider: str = "openai") -> ModelList:
    endpoint = endpoint_at(server.base_url, provider)
    return await fetch_models(Egress(), endpoint, None if key is None else Secret(key))


async def refused(script: Script, key: str | None = KEY, provider: str = "openai") -> NearfarError:
    with OpenAIServer(script) as server, pytest.raises(NearfarError) as caught:
        await listed(server, key, provider)
    return caught.value


async def test_the_list_is_asked_for_once_with_the_key_and_no_prompt() -> None:
    with OpenAIServer(by_path({"/v1/models": OPENAI})) as server:
        found = await listed(server)
        (request,) = server.received
    assert (request.method, request.path, request.body) == ("GET", "/v1/models", b"")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert found.base_url == server.base_url
    assert [model.id for model in found.models] == [row["id"] for row in OPENAI["data"]]  # type: ignore[index]
    assert found.models[1].retires == date(2027, 2, 28)
    assert (datetime.now(UTC) - found.as_of).total_seconds() < 60


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"data": [{"id": "a"}, {"id": "a"}, {"id": "b"}]}, ["a", "b"]),
        ([{"id": "llama", "type": "chat"}, {"id": "flux", "type": "image"}], ["llama"]),  # Together
        ({"data": [{"id": "on", "active": True}, {"id": "off", "active": False}]}, ["on"]),  # Groq
        (
            {
                "data": [
                    {"id": "text", "architecture": {"output_modalities": ["text"]}},
                    {"id": "picture", "architecture": {"output_modalities": ["image"]}},
                ]
            },
            ["text"],
        ),  # OpenRouter
        ({"models": [{"name": "llama3.2:3b"}]}, ["llama3.2:3b"]),
        ({"data": [None, 3, {"id": 5}, {"id": ""}, {"id": "x" * 300}, {"id": "a\nb"}, {"id": "ok"}]}, ["ok"]),
        ({"data": []}, []),
    ],
)
def test_every_shape_of_a_list_is_read(body: Any, expected: list[str]) -> None:
    assert [model.id for model in read_models(json.dumps(body).encode())] == expected


@pytest.mark.parametrize(
    ("field", "value", "day"),
    [
        ("shutdown_date", "2027-01-14", date(2027, 1, 14)),
        ("shutdown_date", "2027-01-14T00:00:00Z", date(2027, 1, 14)),
        ("expiration_date", "2026-12-31", date(2026, 12, 31)),
        ("deprecation_date", 1_800_000_000, date(2027, 1, 15)),
        ("shutdown_date", None, None),
        ("shutdown_date", "soon", None),
        ("shutdown_date", True, None),
        ("shutdown_date", 1e300, None),
    ],
)
def test_retirement_dates_are_read_as_servers_write_them(field: str, value: object, day: date | None) -> None:
    (model,) = read_models(json.dumps({"data": [{"id": "m", field: value}]}).encode())
    assert model.retires == day


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"data": 3}', b'"x"', b"[" * 100_000, b"\xff\xfe"])
async def test_what_is_no_list_is_a_sentence(body: bytes) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head(200, {"Content-Length": str(len(body))}, kind="application/json")
        await exchange.raw(body)

    problem = (await refused(script)).problem
    assert problem.code == "unreadable_reply"
    assert problem.safe == "No prompt was sent, and nothing was changed."


@pytest.mark.parametrize(
    ("script", "key", "code", "words"),
    [
        (error(401), KEY, "key_refused", "did not accept the API key"),
        (error(403), KEY, "key_not_allowed", "does not let this key list models"),
        (error(404), KEY, "not_an_api", "no list of models at this address"),
        (error(429, {"Retry-After": "1"}), KEY, "too_many_requests", "asks you to wait"),
        (error(503), KEY, "server_failed", "failed on its side (HTTP 503)"),
        (error(418), KEY, "request_refused", "refused to list its models"),
        (error(307, {"Location": "http://localhost:1/v1/models"}), KEY, "redirect_refused", "Nearfar refused"),
    ],
)
async def test_a_refusal_is_a_sentence_and_not_repeated(script: Script, key: str, code: str, words: str) -> None:
    with OpenAIServer(script) as server, pytest.raises(NearfarError) as caught:
        await listed(server, key)
    assert len(server.received) == 1
    problem = caught.value.problem
    assert problem.code == code
    assert words in problem.what
    assert problem.fix.endswith(".")
    assert KEY not in problem.sentence


async def test_a_server_of_ones_own_that_wants_a_key_says_so() -> None:
    assert (await refused(error(401), None, "vllm")).problem.code == "key_missing"


async def test_without_its_key_a_provider_is_not_asked() -> None:
    with OpenAIServer() as server, pytest.raises(NearfarError) as caught:
        await listed(server, None)
    assert caught.value.problem.code == "key_missing"
    assert server.connections == 0


async def test_a_page_a_hang_up_and_a_closed_port_are_told_apart() -> None:
    async def page(exchange: Exchange) -> None:
        await exchange.answer_text(200, "<html>", "text/html")

    async def hang_up(exchange: Exchange) -> None:
        exchange.close()

    assert (await refused(page)).problem.code == "not_an_api"
    assert (await refused(hang_up)).problem.code == "connection_lost"
    server = OpenAIServer().start()
    server.stop()
    with pytest.raises(NearfarError) as caught:
        await listed(server)
    assert caught.value.problem.code == "unreachable"


async def test_a_list_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_list, "MAX_BYTES", 100_000)

    async def script(exchange: Exchange) -> None:
        await exchange.head(kind="application/json")
        await exchange.data(b'{"data": [')
        while True:
            await exchange.data(b'{"id": "m"},' * 1000)

    problem = (await refused(script)).problem
    assert problem.code == "answer_too_large"


async def test_under_local_only_nobody_away_is_asked() -> None:
    egress = Egress(Policy(local_only=True))
    with pytest.raises(NearfarError) as caught:
        await fetch_models(egress, shipped_endpoints()["openai"], Secret(KEY))
    assert caught.value.problem.code == "network_not_allowed"
    assert egress.snapshot().connections == 0


async def test_asking_can_be_stopped() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.until_gone()

    with OpenAIServer(script) as server:
        task = asyncio.create_task(listed(server))
        await until(lambda: server.received)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.gone.wait, 1.0)


# -- the file of lists -------------------------------------------------------------------------------------------


def test_lists_are_remembered_by_address(tmp_path: Path) -> None:
    known = KnownModels(tmp_path / "cache")
    assert known.of("https://api.openai.com/v1") is None
    first = ModelList("https://api.openai.com/v1", (CloudModel("a", TODAY), CloudModel("b")), NOW)
    known.keep(first)
    known.keep(ModelList("http://127.0.0.1:1/v1", (), NOW))
    again = KnownModels(tmp_path / "cache")
    assert again.of("https://api.openai.com/v1") == first
    old = replace(first, app_version="0.0.1")
    again.keep(old)
    assert KnownModels(tmp_path / "cache").of("https://api.openai.com/v1") == old
    again.forget("https://api.openai.com/v1")
    assert KnownModels(tmp_path / "cache").of("https://api.openai.com/v1") is None


def test_who_must_not_wait_for_the_disk_is_told_nothing_until_it_was_read(tmp_path: Path) -> None:
    KnownModels(tmp_path).keep(ModelList("x", (), NOW))
    known = KnownModels(tmp_path)
    known.read_later()
    assert known.of("x") is None
    known.read()
    assert known.of("x") is not None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"lists": [{}]}', b'{"lists": 3}', b"\x00" * 50])
def test_a_damaged_file_is_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    known = KnownModels(tmp_path)
    assert known.of("x") is None
    known.keep(ModelList("x", (), NOW))
    assert KnownModels(tmp_path).of("x") is not None


def test_a_folder_that_cannot_be_written_breaks_nothing(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file stands here")
    known = KnownModels(tmp_path / "cache")
    known.keep(ModelList("x", (), NOW))
    assert known.of("x") is not None


# -- what is offered ---------------------------------------------------------------------------------------------

SHIPPED = replace(
    shipped_endpoints()["openai"],
    models=(
        CloudModel("first", date(2027, 1, 14)),
        CloudModel("second"),
        CloudModel("gone", date(2026, 10, 23), offered=False),
        CloudModel("ended", date(2026, 11, 1)),
    ),
)


def ids(models: tuple[CloudModel, ...]) -> list[str]:
    return [model.id for model in models]


def server_says(*models: CloudModel, as_of: datetime = NOW) -> ModelList:
    return ModelList(SHIPPED.base_url, models, as_of)


def test_without_a_list_the_shipped_models_that_have_not_ended_are_offered() -> None:
    assert ids(offers(SHIPPED, None, TODAY)) == ["first", "second"]


def test_the_servers_list_goes_before_the_shipped_table() -> None:
    theirs = server_says(CloudModel("zeta"), CloudModel("Alpha"), CloudModel("second", date(2027, 6, 1)))
    found = offers(SHIPPED, theirs, TODAY)
    assert ids(found) == ["second", "Alpha", "zeta"]  # "first" is gone from the list, and so from the offers
    assert found[0].retires == date(2027, 6, 1)


@pytest.mark.parametrize(
    ("as_of", "app_version", "is_stale"),
    [
        (datetime(2026, 10, 26, tzinfo=UTC), APP_VERSION, False),
        (datetime(2026, 10, 25, tzinfo=UTC), APP_VERSION, True),
        (NOW, "0.0.1", True),
    ],
)
def test_a_stale_list_hides_nothing_that_is_shipped(as_of: datetime, app_version: str, is_stale: bool) -> None:
    theirs = ModelList(SHIPPED.base_url, (CloudModel("second"), CloudModel("zeta")), as_of, app_version)
    assert ids(offers(SHIPPED, theirs, TODAY)) == [*["first"] * is_stale, "second", "zeta"]


def test_dates_of_both_are_merged() -> None:
    theirs = server_says(CloudModel("first"), CloudModel("ended"), CloudModel("over", date(2026, 11, 24)))
    assert offers(SHIPPED, theirs, TODAY) == (CloudModel("first", date(2027, 1, 14)), CloudModel("ended"))
    early = server_says(CloudModel("ended"), as_of=datetime(2026, 10, 28, tzinfo=UTC))
    assert offers(SHIPPED, early, TODAY) == ()
    assert retires_on(SHIPPED, None, "first") == date(2027, 1, 14)
    assert retires_on(SHIPPED, server_says(CloudModel("first", date(2027, 2, 1))), "first") == date(2027, 2, 1)
    assert retires_on(SHIPPED, None, "unheard-of") is None


@pytest.mark.parametrize(
    ("model", "instead"),
    [
        ("gone", "second"),  # one that stays, before one that ends too
        ("frist", "first"),  # a slip of typing
        ("nothing like it", "second"),
        ("second", "first"),
    ],
)
def test_what_to_choose_instead(model: str, instead: str) -> None:
    assert instead_of(SHIPPED, model, offers(SHIPPED, None, TODAY)) == instead


def test_nothing_is_named_where_nothing_is_offered() -> None:
    assert instead_of(SHIPPED, "x", ()) is None
    assert instead_of(SHIPPED, "x", (CloudModel("x"),)) is None
