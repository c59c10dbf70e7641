"""Every way in which a server fails, by name: its sentence, how often the server was asked, and what text was kept.

The rows are those of the SDK's exceptions, of the ways in which a stream lies, and of the list of faults that the
project injects. Names, ports, certificates and routes have sentences of their own in test_connections.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from backends.cloud import attempt
from backends.cloud.failures import QUOTA_CODES
from backends.cloud.patience import Patience
from backends.errors import Problem
from backends.events import Failed, Finished
from tests.backends.cloud import breaks
from tests.backends.cloud.breaks import SAID, after_some_text
from tests.backends.cloud.support import IMPATIENT, KEY, ask, end_of, notices, request
from tests.fakes.openai_server import Exchange, OpenAIServer, Script, answer, chunk, error, usage

INCOMPLETE = "incomplete"


@dataclass(frozen=True)
class Row:
    """`code` is that of the problem, or INCOMPLETE for an answer without an end, or empty for one that is whole."""

    name: str
    script: Script | tuple[Script, ...]
    code: str
    words: str = ""
    fix: str = ""
    asked: int = 1
    kept: str = ""

    def __str__(self) -> str:
        return self.name


async def _login_page(exchange: Exchange) -> None:
    await exchange.answer_text(200, "<html>Sign in</html>", "text/html")


async def _cut_connection(exchange: Exchange) -> None:
    await exchange.head(headers={"Connection": "close"}, chunked=False)
    await exchange.say(SAID)
    exchange.close()


async def _text_after_the_end(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.say(SAID)
    await exchange.event(chunk({}, finish_reason="stop"))
    await exchange.say(" and more")
    await exchange.finish("length", usage(1, 2))


async def _split_characters(exchange: Exchange) -> None:
    await exchange.head()
    for byte in 'data: {"choices":[{"index":0,"delta":{"content":"größe"}}]}\n\n'.encode():
        await exchange.data(bytes([byte]))
    await exchange.finish(usage=usage(1, 1))


async def _null_choices(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.event({**chunk(None), "choices": None})
    await exchange.event({**chunk(None), "choices": []})
    await exchange.say(SAID)
    await exchange.finish(usage=usage(1, 1))


async def _takes_and_is_silent(exchange: Exchange) -> None:
    await exchange.until_gone()


async def _comments_and_no_word(exchange: Exchange) -> None:
    await exchange.head()
    await breaks.comments_only(exchange)


async def _hangs_up(exchange: Exchange) -> None:
    exchange.close()


def _after(break_it: breaks.Break, code: str, words: str = "", fix: str = "") -> Row:
    return Row(break_it.__name__, after_some_text(break_it), code, words, fix, kept=SAID)


TWICE = answer("ok")
STREAMS = [
    _after(breaks.reset, "connection_lost", "lost in mid-answer", fix="Press Retry."),
    _after(breaks.no_terminator, "connection_lost", "lost in mid-answer"),
    _after(breaks.half_a_chunk, "connection_lost", "lost in mid-answer"),
    _after(breaks.clean_end, INCOMPLETE),
    _after(breaks.done_without_finish, INCOMPLETE),
    _after(breaks.cut_inside_json, INCOMPLETE),
    Row("connection closed without a length", _cut_connection, INCOMPLETE, kept=SAID),
    _after(breaks.bad_json, "unreadable_reply", "cannot be read"),
    _after(breaks.bad_utf8, "unreadable_reply", "cannot be read"),
    _after(breaks.an_array, "unreadable_reply", "cannot be read"),
    _after(breaks.a_string, "unreadable_reply", "cannot be read"),
    _after(breaks.choices_of_nonsense, "unreadable_reply", "cannot be read"),
    _after(breaks.error_event, "server_failed", "broke off: “upstream broke"),
    _after(breaks.error_finish, "server_failed", "broke off: “gone”"),
    _after(breaks.groq_error, "server_failed", "over capacity"),
    _after(breaks.quota_event, "quota_used_up", "used up"),
    _after(breaks.stall, "stalled", "stopped sending"),
    _after(breaks.comments_only, "stalled", "kept the connection open, but sent no text"),
    Row("silent from the start", _takes_and_is_silent, "stalled", "took the request, but sent nothing"),
    Row("comments and no word", _comments_and_no_word, "stalled", "sent no text"),
    Row("hangs up", _hangs_up, "connection_lost", "closed the connection before it answered"),
    Row("login page", _login_page, "not_an_api", "A web page answered", fix="sign in"),
    Row("characters in pieces", _split_characters, "", kept="größe"),
    Row("empty and null choices", _null_choices, "", kept=SAID),
    Row("text after the end", _text_after_the_end, "", kept=SAID),
]
REFUSALS = [
    Row("bad key", error(401, code="invalid_api_key"), "key_refused", "did not accept the API key", "enter it again"),
    Row("region", error(403, code="unsupported_country_region_territory"), "request_refused", "country or region"),
    Row(
        "no right",
        error(403, message="no access"),
        "key_not_allowed",
        "does not let this key use",
        "what the key may do",
    ),
    Row("context, as Together says it", error(403, message="context too long"), "request_refused", "context too long"),
    Row("no such model", error(404, code="model_not_found"), "cloud_model_unknown", "has no model gpt-4o", "Choose"),
    Row("no such address", error(404, message="Not Found"), "not_an_api", "no chat API", "many end in /v1"),
    Row("not allowed", error(405), "not_an_api", "no chat API"),
    Row("time-out of its own", error(408), "server_failed", "HTTP 408"),
    Row("conflict", error(409, message="busy"), "request_refused", "(HTTP 409): “busy”"),
    Row("gone", error(410, message="model"), "cloud_model_unknown", "has no model"),
    Row("payment", error(402), "quota_used_up", "used up", "plan and billing"),
    Row("too large", error(413), "request_refused", "too long", "Shorten the prompt"),
    Row("unreadable to it", error(422, message="bad field"), "request_refused", "“bad field”"),
    Row("proxy password", error(407), "request_refused", "proxy"),
    Row("context", error(400, code="context_length_exceeded"), "request_refused", "too long for gpt-4o", "Shorten"),
    Row("bad request", error(400, message="odd"), "request_refused", "“odd”"),
    Row("redirect", error(307, {"Location": "https://other.example/"}), "redirect_refused", "other.example"),
    *(
        Row(
            f"quota: {code}",
            error(429, {"Retry-After": "1"}, code=code),
            "quota_used_up",
            "used up",
            "plan and billing",
        )
        for code in sorted(QUOTA_CODES)
    ),
    Row("quota by its type", error(429, type="insufficient_quota"), "quota_used_up", "used up"),
    Row("too many, without a time", error(429), "too_many_requests", "asks you to wait"),
    Row("too many, for long", error(429, {"Retry-After": "61"}), "too_many_requests", "wait", "Retry in 61 seconds"),
    Row("broken for long", error(503, {"Retry-After": "61"}), "server_failed", "HTTP 503"),
]
RETRIES = [
    Row("too many, then well", (error(429, {"Retry-After": "0.05"}), TWICE), "", asked=2, kept="ok"),
    Row("slow down", (error(429, {"Retry-After-Ms": "50"}, code="slow_down"), TWICE), "", asked=2, kept="ok"),
    Row("too many, again", error(429, {"Retry-After": "0.05"}), "too_many_requests", "wait", asked=2),
    Row("broken, then well", (error(500), TWICE), "", asked=2, kept="ok"),
    Row("broken, again", error(500), "server_failed", "failed on its side (HTTP 500)", "in a minute", asked=2),
    Row("bad gateway", error(502), "server_failed", "HTTP 502", asked=2),
    Row("overloaded", error(529), "server_failed", "HTTP 529", asked=2),
    Row("too many, then a bad key", (error(429, {"Retry-After": "0.05"}), error(401)), "key_refused", asked=2),
]


@pytest.mark.parametrize("row", [*STREAMS, *REFUSALS, *RETRIES], ids=str)
async def test_a_fault(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "SERVER_RETRY_WAIT_S", 0.05)
    scripts = row.script if isinstance(row.script, tuple) else (row.script,)
    with OpenAIServer(*scripts) as server:
        events = await ask(server, request(), patience=IMPATIENT if row.code == "stalled" else None)
        assert len(server.received) == row.asked
    end = end_of(events)
    assert end.result.text == row.kept
    waited = [text for code, text in notices(events) if code == "waiting"]
    assert (waited != []) is (row.asked > 1)
    assert waited[-1:] in ([], [""])  # what was counted down is taken back
    if row.code in ("", INCOMPLETE):
        assert isinstance(end, Finished)
        assert end.result.complete is (row.code == "")
        return
    assert isinstance(end, Failed)
    assert end.problem.code == row.code
    assert row.words in end.problem.what
    assert row.fix in end.problem.fix
    _check_words(end.problem)


def _check_words(problem: Problem) -> None:
    """Three sentences for a person: no key, no class of ours or of the SDK, no number of memory."""
    for part in (problem.what, problem.safe, problem.fix):
        assert part.endswith((".", "?", ".”")), part
    assert not re.search(r"Traceback|openai\.|httpx|0x[0-9a-f]{6}", problem.sentence)
    assert KEY not in problem.sentence


def test_the_names_of_the_rows_are_their_own() -> None:
    names = [row.name for row in (*STREAMS, *REFUSALS, *RETRIES)]
    assert len(names) == len(set(names))


def test_how_long_is_waited_for_bytes_for_text_and_before_the_one_retry() -> None:
    patience = Patience()
    assert (patience.read_s, patience.silence_s, attempt.MAX_RETRY_WAIT_S) == (60.0, 120.0, 60.0)
    thinking = patience.for_thinking()
    assert (thinking.read_s, thinking.silence_s) == (300.0, 300.0)
