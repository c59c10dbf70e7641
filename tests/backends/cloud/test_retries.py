"""When the cloud engine asks once more: after a wait, after a server's error, without a parameter; and when never."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from backends.cloud import attempt
from backends.events import Delta, Event, Sent
from tests.backends.cloud.support import QUESTION, ask, engine_at, failed, finished, notices, request, until
from tests.fakes.openai_server import Exchange, OpenAIServer, answer, error, usage


async def test_a_wait_of_a_second_is_counted_down_and_asked_once_more() -> None:
    with OpenAIServer(error(429, {"Retry-After": "1"}), answer("ok")) as server:
        events = await ask(server)
        assert len(server.received) == 2
    assert notices(events) == [("waiting", "OpenAI asks to wait: asking once more in 1 s."), ("waiting", "")]
    sent = [event for event in events if isinstance(event, Sent)]
    result = finished(events).result
    first = next(event for event in events if isinstance(event, Delta))
    assert len(sent) == 2
    assert sent[1].at_ns - sent[0].at_ns > 1_000_000_000
    assert result.ttft_ms == pytest.approx((first.at_ns - sent[1].at_ns) / 1e6)


@pytest.mark.parametrize("status", [500, 503])
async def test_a_server_error_is_asked_once_more_and_no_more(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "SERVER_RETRY_WAIT_S", 0.05)
    with OpenAIServer(error(status, message="internal")) as server:
        events = await ask(server)
        assert len(server.received) == 2
    assert failed(events).problem.code == "server_failed"
    assert f"HTTP {status}" in failed(events).problem.what
    assert ("waiting", "") in notices(events)


async def test_the_wait_can_be_cancelled() -> None:
    with OpenAIServer(error(429, {"Retry-After": "30"})) as server:
        async with engine_at(server.base_url) as engine:
            events: list[Event] = []
            task = asyncio.create_task(engine.run(request(), events.append))
            await until(lambda: notices(events))
            began = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - began < 1.0
        assert len(server.received) == 1


@pytest.mark.parametrize(
    ("refusal", "name", "instead"),
    [
        (
            {"message": "Unsupported value: 'temperature'", "param": "temperature", "code": "unsupported_value"},
            "temperature",
            None,
        ),
        ({"message": "Unrecognized request argument supplied: stream_options"}, "stream_options", None),
        ({"message": "stream_options.include_usage: Extra inputs are not permitted"}, "stream_options", None),
        ({"message": "unknown field `include_usage`"}, "stream_options", None),
        (
            {"message": "max_completion_tokens is not supported", "param": "max_completion_tokens"},
            "max_completion_tokens",
            "max_tokens",
        ),
        (
            {
                "message": "Unsupported parameter: 'max_completion_tokens' is not supported. Use 'max_tokens' instead.",
                "code": "unsupported_parameter",
            },
            "max_completion_tokens",
            "max_tokens",
        ),
    ],
)
async def test_a_refused_parameter_is_left_out_and_said(
    refusal: dict[str, Any], name: str, instead: str | None
) -> None:
    with OpenAIServer(error(400, **refusal), answer("ok")) as server:
        async with engine_at(server.base_url) as engine:
            events: list[Event] = []
            await engine.run(request(), events.append)
            again: list[Event] = []
            await engine.run(request(), again.append)
        first, second, third = (received.json for received in server.received)
    assert name in first
    assert name not in second
    assert instead is None or second[instead] == 1024
    assert second == third  # remembered: the next question does not pay for it again
    ((code, text),) = notices(events)
    assert code == "parameter_refused"
    assert name in text
    is_missed = name == "temperature"  # the others are sent under another name, or nobody asked for them
    assert [code for code, _text in notices(again)] == ["parameter_refused"] * is_missed
    result = finished(events).result
    sent = [event for event in events if isinstance(event, Sent)]
    first_text = next(event for event in events if isinstance(event, Delta))
    assert result.ttft_ms == pytest.approx((first_text.at_ns - sent[-1].at_ns) / 1e6)


async def test_a_refused_reasoning_effort_is_left_out_for_that_model_alone() -> None:
    refusal = error(400, message="Unsupported value: 'reasoning_effort'", param="reasoning_effort")
    with OpenAIServer(refusal, answer("ok")) as server:
        async with engine_at(server.base_url) as engine:
            for model in ("gpt-6-luna", "gpt-6-luna", "gpt-6-astra"):
                events: list[Event] = []
                await engine.run(request(model, reasoning_effort="max"), events.append)
                finished(events)
        sent = [(each.json["model"], each.json.get("reasoning_effort")) for each in server.received]
    assert sent == [("gpt-6-luna", "max"), ("gpt-6-luna", None), ("gpt-6-luna", None), ("gpt-6-astra", "max")]


async def test_a_value_that_was_refused_once_does_not_stand_for_all() -> None:
    refusal = error(
        400,
        message="Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is.",
        param="temperature",
        code="unsupported_value",
    )
    with OpenAIServer(refusal, answer("ok")) as server:
        async with engine_at(server.base_url) as engine:
            said = []
            for temperature in (0.7, 1.0, 0.7):
                events: list[Event] = []
                await engine.run(request(temperature=temperature), events.append)
                said.append(notices(events))
        sent = [each.json.get("temperature") for each in server.received]
    assert sent == [0.7, None, 1.0, None]
    assert said[0] == [("parameter_refused", "gpt-4o does not take temperature 0.7: asked again without it.")]
    assert said[1] == []
    assert said[2] == [("parameter_refused", "gpt-4o refused temperature before: asked without.")]


@pytest.mark.parametrize(
    ("message", "gone", "stays"),
    [
        (
            "`temperature` and `top_p` cannot both be specified for this model.",
            "top_p",
            "temperature",
        ),
        ("`temperature` is deprecated for this model.", "temperature", "top_p"),
        ("invalid temperature: only 1 is allowed for this model", "temperature", "top_p"),
    ],
)
async def test_refusals_in_the_words_of_other_makers(message: str, gone: str, stays: str) -> None:
    with OpenAIServer(error(400, message=message, type="invalid_request_error"), answer("ok")) as server:
        finished(await ask(server))
        _first, second = (received.json for received in server.received)
    assert gone not in second
    assert stays in second


async def test_a_limit_that_is_too_high_is_not_left_out() -> None:
    refusal = error(400, message="Unsupported value", param="max_completion_tokens", code="unsupported_value")
    with OpenAIServer(refusal) as server:
        failed(await ask(server))
        assert len(server.received) == 1


async def test_a_server_of_ones_own_is_told_the_limit_by_both_names() -> None:
    both = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
    with OpenAIServer(error(400, message=both), answer("ok")) as server:
        events: list[Event] = []
        async with engine_at(server.base_url) as engine:
            engine.endpoint = replace(engine.endpoint, limit_parameter="both")
            await engine.run(request(max_tokens=9), events.append)
        first, second = (received.json for received in server.received)
    limits = [{name: sent.get(name) for name in ("max_tokens", "max_completion_tokens")} for sent in (first, second)]
    assert limits[0] == {"max_tokens": 9, "max_completion_tokens": 9}
    assert limits[1] == {"max_tokens": None, "max_completion_tokens": 9}
    kept = finished(events).result.settings["not_sent"]
    assert isinstance(kept, list)
    assert "max_tokens" not in kept


async def test_an_answer_past_its_limit_says_so() -> None:
    with OpenAIServer(answer("long", counts=usage(3, 40))) as server:
        events = await ask(server, request(max_tokens=9))
    finished(events)
    assert notices(events) == [("limit_ignored", "OpenAI wrote 40 tokens, although at most 9 were asked for.")]


async def test_a_value_that_is_wrong_is_not_quietly_left_out() -> None:
    with OpenAIServer(error(400, message="temperature must be between 0 and 2", param="temperature")) as server:
        end = failed(await ask(server, request(temperature=7.0)))
        assert len(server.received) == 1
    assert "between 0 and 2" in end.problem.what


async def test_a_server_that_refuses_everything_is_given_up() -> None:
    async def script(exchange: Exchange) -> None:
        names = [name for name in exchange.request.json if name not in ("model", "messages", "stream")]
        await exchange.answer_json(400, {"error": {"message": f"unsupported: {names[0] if names else 'you'}"}})

    with OpenAIServer(script) as server:
        end = failed(await ask(server))
        assert len(server.received) <= 8
    assert end.problem.code in ("request_refused", "unreadable_reply")


async def test_the_settings_that_are_kept_say_what_was_not_sent() -> None:
    refusal = error(400, message="unsupported", param="seed", code="unsupported_parameter")
    with OpenAIServer(refusal, answer("ok")) as server:
        kept = dict(finished(await ask(server, request(seed=1, stop=("END",)))).result.settings)
    assert kept["not_sent"] == ["min_p", "repeat_penalty", "seed", "top_k"]
    assert (kept["temperature"], kept["max_tokens"], kept["stop"]) == (0.7, 1024, ("END",))
    assert QUESTION not in json.dumps(kept)


async def test_a_wait_may_be_given_as_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    late = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    with OpenAIServer(error(429, {"Retry-After": soon}), answer("ok")) as server:
        finished(await ask(server))
    with OpenAIServer(error(429, {"Retry-After": late})) as server:
        assert re.search(r"in (119|120) minutes", failed(await ask(server)).problem.fix)
        assert len(server.received) == 1
