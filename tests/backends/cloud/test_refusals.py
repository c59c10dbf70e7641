"""What a server refuses, or answers instead: each its own sentence, and no key in any of them.

What the bare SDK would have reported stands in the comments.
"""

from __future__ import annotations

import re
from datetime import date

import pytest

from backends.cloud.engine import CloudEngine
from backends.cloud.providers import CloudModel
from backends.egress import Egress
from backends.events import Event
from backends.keys import Secret
from tests.backends.cloud.breaks import after_some_text, bad_json, error_event
from tests.backends.cloud.support import KEY, ask, endpoint_at, engine_at, failed, request
from tests.fakes.openai_server import Exchange, OpenAIServer, Script, error


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        (error(400, message="temperature is odd"), "request_refused", "temperature is odd"),
        (error(400, message="maximum is 8192", code="context_length_exceeded"), "request_refused", "too long"),
        (error(400, message="x", type="exceed_context_size_error"), "request_refused", "too long"),
        (error(401, message=f"Incorrect API key provided: {KEY}"), "key_refused", "did not accept the API key"),
        (error(402, message="limit"), "quota_used_up", "used up"),
        (error(403, code="unsupported_country_region_territory"), "request_refused", "country"),
        (error(403, message="project may not"), "key_not_allowed", "does not let this key use gpt-4o"),
        (
            error(403, code="model_not_found", message="Project `p` does not have access to model `gpt-4o`"),
            "cloud_model_unknown",
            "no model gpt-4o, or your key may not use it",
        ),
        (error(403, message="input exceeds the context"), "request_refused", "exceeds the context"),
        (
            error(404, code="model_not_found", message="The model does not exist"),
            "cloud_model_unknown",
            "no model gpt-4o",
        ),
        (error(404, message="Not Found"), "not_an_api", "no chat API at this address"),
        (error(405, message="no"), "not_an_api", "no chat API"),
        (error(407, message="no"), "request_refused", "proxy"),
        (error(413, message="no"), "request_refused", "too long"),
        (error(422, message="bad field"), "request_refused", "bad field"),
        (error(429, code="insufficient_quota", message="x"), "quota_used_up", "used up"),
        (error(429, code="project_spend_limit_exceeded"), "quota_used_up", "used up"),
        (error(429, {"Retry-After": "90"}), "too_many_requests", "wait"),
        (error(429), "too_many_requests", "wait"),
    ],
)
async def test_a_refusal_has_its_sentence_and_is_not_repeated(script: Script, code: str, words: str) -> None:
    with OpenAIServer(script) as server:
        end = failed(await ask(server))
        assert len(server.received) == 1
    assert end.problem.code == code
    assert words in end.problem.what
    assert end.result.text == ""
    assert end.problem.fix


async def test_a_retired_model_is_named_with_its_day() -> None:
    with OpenAIServer(error(404, code="model_not_found", message="model")) as server:
        end = failed(await ask(server, request("gpt-4.1-nano")))
    assert end.problem.what == "OpenAI has retired gpt-4.1-nano on 2026-10-23."


async def test_a_model_is_retired_also_by_its_servers_own_list() -> None:
    day = date(2026, 11, 1)
    with OpenAIServer(error(404, code="model_not_found", message="model")) as server:
        engine = CloudEngine(
            endpoint_at(server.base_url),
            egress=Egress(),
            key=lambda: Secret(KEY),
            retires=lambda model: day if model == "gpt-9" else None,
        )
        events: list[Event] = []
        await engine.run(request("gpt-9"), events.append)
        await engine.close()
    assert failed(events).problem.what == "OpenAI has retired gpt-9 on 2026-11-01."


@pytest.mark.parametrize(
    "script",
    [
        error(404, code="model_not_found", message="The model `gpt-4.1-nano` does not exist"),
        error(400, code="model_decommissioned", message="The model has been decommissioned"),  # Groq
        error(404, message="No endpoints found for gpt-4.1-nano."),  # OpenRouter
        error(400, message="gpt-4.1-nano is not a valid model ID"),  # OpenRouter
        error(404, message='model "gpt-4.1-nano" not found, try pulling it first'),  # Ollama
        error(410, message="gone", code="model_deprecated"),
    ],
)
async def test_a_model_that_is_gone_says_what_to_choose_instead(script: Script) -> None:
    offered = (CloudModel("ends-soon", date(2027, 1, 14)), CloudModel("stays"))
    with OpenAIServer(script) as server:
        end = failed(await ask(server, request("gpt-4.1-nano"), offered=offered))
        assert len(server.received) == 1
    assert end.problem.code == "cloud_model_unknown"
    assert end.problem.fix == "Choose stays, which OpenAI offers, or another model."


async def test_a_slip_of_typing_names_what_was_meant() -> None:
    offered = (CloudModel("gpt-4o"), CloudModel("gpt-6-luna"))
    with OpenAIServer(error(404, code="model_not_found", message="model")) as server:
        end = failed(await ask(server, request("gpt-6-lunna"), offered=offered))
    assert end.problem.what == "OpenAI has no model gpt-6-lunna, or your key may not use it."
    assert end.problem.fix == "Choose gpt-6-luna, which OpenAI offers, or another model."


async def test_a_key_that_was_not_sent_is_asked_for() -> None:
    with OpenAIServer(error(401)) as server:
        async with engine_at(server.base_url) as engine:
            engine._key = lambda: None
            object.__setattr__(engine.endpoint, "needs_key", False)
            events: list[Event] = []
            await engine.run(request(), events.append)
    assert failed(events).problem.code == "key_missing"


@pytest.mark.parametrize("status", [200, 403, 404])
async def test_a_web_page_is_not_an_answer(status: int) -> None:
    """At 200 the SDK reports an empty answer, finished."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer_text(status, "<html>Sign in to the Wi-Fi</html>", "text/html; charset=utf-8")

    with OpenAIServer(script) as server:
        end = failed(await ask(server))
    assert end.problem.code == "not_an_api"
    assert "web page answered at 127.0.0.1" in end.problem.what


@pytest.mark.parametrize(
    ("kind", "headers"), [("application/json", {}), ("text/event-stream", {"Content-Encoding": "gzip"})]
)
async def test_what_is_not_an_event_stream_is_unreadable(kind: str, headers: dict[str, str]) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer_text(200, "{}", kind, headers)

    with OpenAIServer(script) as server:
        assert failed(await ask(server)).problem.code == "unreadable_reply"


async def test_a_stream_without_a_word_is_no_answer() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.data(b"data: [DONE]\n\n")
        await exchange.end()

    with OpenAIServer(script) as server:
        end = failed(await ask(server))
    assert end.problem.code == "unreadable_reply"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_refused_and_the_other_host_gets_nothing(status: int) -> None:
    """The SDK sends the whole prompt on, over plain http too."""
    with OpenAIServer() as other:
        elsewhere = f"http://localhost:{other.port}/v1/chat/completions"
        with OpenAIServer(error(status, {"Location": elsewhere})) as server:
            end = failed(await ask(server))
        assert other.connections == 0
    assert end.problem.code == "redirect_refused"
    assert "localhost" in end.problem.what
    assert "127.0.0.1" in end.problem.what


def _echoes() -> list[Script]:
    """Servers that repeat the key wherever a server can write something."""
    statuses = (400, 402, 403, 404, 405, 413, 422, 429)
    refusals = [error(status, message=f"bad key {KEY} in model", code=KEY, type=KEY, param=KEY) for status in statuses]

    async def in_text(exchange: Exchange) -> None:
        await exchange.answer_text(418, f"I am {KEY}", "text/plain")

    async def in_content_type(exchange: Exchange) -> None:
        await exchange.answer_text(200, "x", f"text/{KEY}")

    return [*refusals, in_text, in_content_type, error(302, {"Location": f"https://{KEY}.example/"})]


@pytest.mark.parametrize("script", [*_echoes(), after_some_text(error_event)])
async def test_an_echoed_key_is_never_shown(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with OpenAIServer(script) as server:
        events = await ask(server)
    shown = repr(events) + caplog.text
    for form in (KEY, KEY.lower(), KEY[3:], KEY[-12:]):
        assert form not in shown


async def test_an_echoed_key_of_any_shape_is_never_shown() -> None:
    key = "CANARY0123456789abcdefghij"
    with OpenAIServer(error(400, message=f"what is {key}?")) as server:
        end = failed(await ask(server, key=key))
    assert end.problem.what == "OpenAI refused the request: “what is …?”."


async def test_every_sentence_has_three_parts_and_no_traceback() -> None:
    scripts = [error(status) for status in (400, 401, 402, 403, 404, 422, 429)] + [after_some_text(bad_json)]
    for script in scripts:
        with OpenAIServer(script) as server:
            problem = failed(await ask(server)).problem
        assert all(part.endswith((".", "?")) for part in (problem.what, problem.safe, problem.fix)), problem
        assert not re.search(r"Traceback|openai\.|httpx|0x[0-9a-f]{6}", problem.sentence)
