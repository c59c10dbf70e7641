"""The cloud engine against streams that break: no text lost, nothing asked twice, the next question works.

What the bare SDK would have reported stands in the comments.
"""

from __future__ import annotations

import asyncio

import pytest

from backends.cloud.patience import Patience
from backends.events import Event, Failed, Finished
from tests.backends.cloud.breaks import (
    SAID,
    Break,
    a_string,
    after_some_text,
    an_array,
    bad_json,
    bad_utf8,
    choices_of_nonsense,
    clean_end,
    comments_only,
    cut_inside_json,
    done_without_finish,
    error_event,
    error_finish,
    groq_error,
    half_a_chunk,
    no_terminator,
    quota_event,
    reset,
    stall,
)
from tests.backends.cloud.support import IMPATIENT, KEY, ask, end_of, engine_at, failed, finished, request
from tests.fakes.openai_server import Exchange, OpenAIServer, answer, chunk, error


@pytest.mark.parametrize(
    ("break_it", "code", "words"),
    [
        (reset, "connection_lost", "lost in mid-answer"),
        (no_terminator, "connection_lost", "lost in mid-answer"),
        (half_a_chunk, "connection_lost", "lost in mid-answer"),
        (bad_json, "unreadable_reply", "cannot be read"),  # the SDK raises JSONDecodeError
        (bad_utf8, "unreadable_reply", "cannot be read"),  # UnicodeDecodeError
        (an_array, "unreadable_reply", "cannot be read"),  # AttributeError
        (a_string, "unreadable_reply", "cannot be read"),
        (choices_of_nonsense, "unreadable_reply", "cannot be read"),
        (error_event, "server_failed", "upstream broke"),
        (error_finish, "server_failed", "gone"),
        (groq_error, "server_failed", "over capacity"),
        (quota_event, "quota_used_up", "used up"),
        (stall, "stalled", "nothing came"),
        (comments_only, "stalled", "sent no text"),  # every byte resets the socket's timeout
    ],
)
async def test_a_break_in_mid_answer_keeps_the_text(break_it: Break, code: str, words: str) -> None:
    patience = IMPATIENT if code == "stalled" else None
    with OpenAIServer(after_some_text(break_it)) as server:
        end = failed(await ask(server, patience=patience))
        assert len(server.received) == 1  # never asked again once text came: it would be paid for twice
    assert end.problem.code == code
    assert words in end.problem.what
    assert end.result.text == SAID
    assert not end.result.complete
    assert KEY not in end.problem.sentence


@pytest.mark.parametrize("cut", [clean_end, done_without_finish, cut_inside_json])
async def test_an_end_without_finish_reason_is_incomplete(cut: Break) -> None:
    """The SDK reports all of these as success."""
    with OpenAIServer(after_some_text(cut)) as server:
        end = finished(await ask(server))
    assert (end.result.text, end.result.finish_reason, end.result.complete) == (SAID, None, False)
    assert end.result.cost.basis == "usage_missing"
    assert end.result.cost.usd is None


async def test_a_closed_connection_without_length_is_incomplete() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head(headers={"Connection": "close"}, chunked=False)
        await exchange.say(SAID)
        exchange.close()

    with OpenAIServer(script) as server:
        assert not finished(await ask(server)).result.complete


async def test_missing_usage_is_missing_and_not_nothing() -> None:
    with OpenAIServer(answer("a", "b", counts={"odd": 1})) as server:
        result = finished(await ask(server)).result
    assert result.complete
    assert result.usage.completion_tokens is None
    assert (result.cost.usd, result.cost.basis) == (None, "usage_missing")
    assert result.decode_tok_s is None


@pytest.mark.parametrize(
    "nonsense",
    [
        {"prompt_tokens": -5, "completion_tokens": "many"},
        {"prompt_tokens": True, "completion_tokens": 1.5, "prompt_tokens_details": [1]},
        {"prompt_tokens": 10**30, "completion_tokens": None},
        {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 99}},
    ],
)
async def test_nonsense_in_usage_breaks_nothing(nonsense: dict[str, object]) -> None:
    with OpenAIServer(answer("a", counts=nonsense)) as server:
        result = finished(await ask(server)).result
    assert result.complete
    assert result.cost.usd is None or result.usage.prompt_tokens == 3


async def test_a_break_after_the_end_leaves_the_answer_whole() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.say(SAID)
        await exchange.event(chunk({}, finish_reason="stop"))
        await reset(exchange)

    with OpenAIServer(script) as server:
        result = finished(await ask(server)).result
    assert result.complete
    assert result.cost.basis == "usage_missing"


async def test_a_server_that_never_closes_after_the_end_is_not_waited_for() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.say(SAID)
        await exchange.event(chunk({}, finish_reason="stop"))
        await exchange.until_gone()

    with OpenAIServer(script) as server:
        async with asyncio.timeout(20):  # the socket's own limit is 60 s
            result = finished(await ask(server, patience=Patience(tail_s=0.2))).result
        assert await asyncio.to_thread(server.gone.wait, 1.0)
    assert result.complete


async def test_a_slow_answer_may_take_longer_than_any_limit_on_silence() -> None:
    with OpenAIServer(answer(*"slowly!", pause_s=0.4)) as server:
        result = finished(await ask(server, patience=Patience(silence_s=2.0))).result
    assert (result.text, result.complete) == ("slowly!", True)
    assert result.e2e_ms is not None
    assert result.e2e_ms > 2000


async def test_the_next_question_works_after_every_failure() -> None:
    scripts = [after_some_text(reset), error(401), after_some_text(bad_json), error(404), answer("fine")]
    with OpenAIServer(*scripts) as server:
        async with engine_at(server.base_url) as engine:
            ends = []
            for _ in scripts:
                events: list[Event] = []
                await engine.run(request(), events.append)
                ends.append(end_of(events))
    assert [type(end) for end in ends] == [Failed, Failed, Failed, Failed, Finished]
    assert ends[-1].result.text == "fine"
