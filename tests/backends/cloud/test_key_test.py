"""A key tried at a real server: each way it can answer has its own sentence, and none of them shows the key."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import replace

import pytest

from backends.cloud.key_test import PURPOSE, KeyTest, try_key
from backends.cloud.providers import Endpoint, shipped_endpoints
from backends.egress import Egress
from backends.egress_policy import Policy
from backends.errors import KeyNotAllowed, KeyRefused
from backends.events import Event, Failed
from backends.key_holders import key_holder, key_holders
from backends.keys import Secret
from backends.records import Target
from backends.settings import Settings
from backends.workbench import Workbench
from tests.backends.cloud.support import request
from tests.fakes.openai_server import Exchange, OpenAIServer, Script, error

KEY = "sk-CANARY0123456789"


def at(server: OpenAIServer, provider: str = "openai") -> Endpoint:
    return replace(shipped_endpoints()[provider], base_url=server.base_url)


def json_of(value: object, status: int = 200) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.answer_json(status, value)

    return script


def text(body: str, kind: str, status: int = 200, **headers: str) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.answer_text(status, body, kind, headers)

    return script


async def silent(exchange: Exchange) -> None:
    await exchange.until_gone()


async def tried(script: Script, provider: str = "openai", **more: float) -> KeyTest:
    with OpenAIServer(script) as server:
        done = await try_key(at(server, provider), Secret(KEY), Egress(), **more)
        assert all(each.headers["authorization"] == f"Bearer {KEY}" for each in server.received)
    assert "CANARY" not in done.sentence.upper()
    return done


@pytest.mark.parametrize(
    ("script", "outcome", "words"),
    [
        (json_of({"object": "list", "data": [{"id": "a"}, {"id": "b"}]}), "works", "takes it and lists 2 models."),
        (json_of([{"id": "a"}]), "works", "takes it and lists 1 model."),
        (error(401, message=f"Incorrect API key provided: {KEY}"), "refused", "OpenAI refuses this key."),
        (error(403), "unclear", "does not let this key list models; it may still answer prompts (HTTP 403)."),
        (error(404), "unclear", "There is no list of models at this address of 127.0.0.1 (HTTP 404)."),
        (error(429), "unclear", "asks to wait, or the credit of this key is used up (HTTP 429)."),
        (error(503), "unreachable", "failed on its side (HTTP 503), so the key was not tested."),
        (error(418), "unclear", "did not answer the test (HTTP 418)."),
        (text("", "text/plain", 302, Location="https://evil.example/"), "unclear", "send the key on to evil.example"),
        (text("<html>sign in", "text/html"), "unclear", "A web page answered at 127.0.0.1, not an API"),
        (text("<html>blocked", "text/html", 403), "unclear", "A web page answered at 127.0.0.1 (HTTP 403)"),
        (text("{", "application/json"), "unclear", "cannot be read"),
        (json_of({"error": {"message": KEY}}), "unclear", "cannot be read"),
        (json_of({"data": "x" * 9_000_000}), "unclear", "cannot be read"),
    ],
)
async def test_each_answer_is_a_sentence(script: Script, outcome: str, words: str) -> None:
    done = await tried(script)
    assert done.outcome == outcome
    assert words in done.sentence


async def test_a_server_that_asks_nobody_for_a_key_is_not_said_to_know_it() -> None:
    with OpenAIServer(json_of({"data": []})) as server:
        done = await try_key(replace(at(server), needs_key=False, label="lab"), Secret(KEY), Egress())
    assert done.sentence == "lab answers and lists 0 models; such a server may take any key."


async def test_a_list_that_is_open_to_all_is_not_what_is_asked_for() -> None:
    with OpenAIServer(json_of({"data": {"label": "mine"}})) as server:
        done = await try_key(at(server, "openrouter"), Secret(KEY), Egress())
        assert [each.path for each in server.received] == ["/v1/key"]
    assert done == KeyTest("works", "The key works: OpenRouter takes it.")


async def test_nobody_there_and_nobody_answering() -> None:
    with OpenAIServer() as server:
        endpoint = at(server)
    done = await try_key(endpoint, Secret(KEY), Egress())
    assert (done.outcome, "the connection was refused" in done.sentence) == ("unreachable", True)
    done = await tried(silent, limit_s=0.3)
    assert done == KeyTest("unreachable", "127.0.0.1 did not answer in 0.3 seconds.")


async def test_a_test_that_is_cancelled_closes_its_connection() -> None:
    asked = threading.Event()

    async def script(exchange: Exchange) -> None:
        asked.set()
        await exchange.until_gone()

    with OpenAIServer(script) as server:
        task = asyncio.create_task(try_key(at(server), Secret(KEY), Egress()))
        await asyncio.to_thread(asked.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.gone.wait, 10)


async def test_local_only_refuses_and_the_log_names_the_purpose() -> None:
    egress = Egress(Policy(local_only=True))
    done = await try_key(shipped_endpoints()["openai"], Secret(KEY), egress)
    assert done.outcome == "not_allowed"
    assert "Local only is switched on" in done.sentence
    assert [(each.purpose, each.outcome) for each in egress.log()] == [(PURPOSE, "refused")]


async def test_the_workbench_tries_a_key_only_where_the_person_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Workbench.open()
    endpoint = key_holder("openai", bench.settings)
    none = await bench.access.try_key(endpoint)
    assert none == KeyTest("unclear", "There is no key to test.")
    bench.change(local_only=True)
    assert (await bench.access.try_key(endpoint, Secret(KEY))).outcome == "not_allowed"
    assert bench.egress.policy.local_only
    with OpenAIServer(error(401)) as server:
        monkeypatch.setenv("NEARFAR_OPENAI_BASE_URL", server.base_url)
        bench.keys.put("openai", Secret(KEY))
        assert (await bench.access.try_key(key_holder("openai", bench.settings))).outcome == "refused"
    assert not bench.keys.has("openai"), "so that the next run asks for another"
    await bench.close()


def late_refusal(asked: threading.Event, go_on: threading.Event) -> Script:
    """Says no to a key only once another was entered."""
    refuse = error(401)

    async def script(exchange: Exchange) -> None:
        asked.set()
        await asyncio.to_thread(go_on.wait, 30)
        await refuse(exchange)

    return script


@pytest.mark.parametrize("kind", ["test", "list", "run"])
async def test_a_key_that_took_the_place_of_a_refused_one_stays(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    bench = Workbench.open()
    asked, go_on = threading.Event(), threading.Event()
    target = Target("openai", "gpt-4o")
    events: list[Event] = []
    with OpenAIServer(late_refusal(asked, go_on), error(401)) as server:
        monkeypatch.setenv("NEARFAR_OPENAI_BASE_URL", server.base_url)
        bench.access.consent([target])

        async def ask() -> None:
            if kind == "test":
                await bench.access.try_key(key_holder("openai", bench.settings))
            elif kind == "list":
                with contextlib.suppress(KeyRefused):
                    await bench.servers.list_models(target)
            else:
                await bench.engine_for(target).run(request(), events.append)

        bench.keys.put("openai", Secret(KEY))
        asking = asyncio.create_task(ask())
        assert await asyncio.to_thread(asked.wait, 30)
        bench.keys.put("openai", Secret("sk-new"))
        go_on.set()
        await asking
        assert bench.keys.get("openai") == Secret("sk-new")
        await ask()
        assert not bench.keys.has("openai"), "that one was refused"
        assert server.received[-1].headers["authorization"] == "Bearer sk-new"
    if kind == "run":
        await bench.engine_for(target).run(request(), events.append)
        codes = [each.problem.code for each in events if isinstance(each, Failed)]
        assert codes == ["key_refused"] * 3, "the last without asking again"
        assert len(server.received) == 2
    await bench.close()


async def test_a_key_that_may_not_use_one_model_is_not_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Workbench.open()
    target = Target("openai", "gpt-4o")
    with OpenAIServer(error(403, message="no access"), error(403)) as server:
        monkeypatch.setenv("NEARFAR_OPENAI_BASE_URL", server.base_url)
        bench.keys.put("openai", Secret(KEY))
        bench.access.consent([target])
        await bench.engine_for(target).run(request(), lambda _event: None)
        with pytest.raises(KeyNotAllowed):
            await bench.servers.list_models(target)
    assert bench.keys.has("openai")
    await bench.close()


def test_everybody_who_takes_a_key_is_listed_once() -> None:
    settings = Settings(custom_servers={"lab": "http://127.0.0.1:1/v1", "openai": "http://127.0.0.1:2/v1"})
    names = [each.key_name for each in key_holders(settings)]
    assert names[0] == "openai"
    assert names[-2:] == ["custom:lab", "huggingface"]
    assert len(names) == len(set(names))
    assert "practice" not in names
    assert key_holders(settings)[0].base_url == "http://127.0.0.1:2/v1", "a provider that the person moved"
