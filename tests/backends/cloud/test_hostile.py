"""The cloud engine against servers and networks that fail: each failure its own sentence, no text lost, no key shown.

One test for each row of the fault table; what the bare SDK would have reported stands in the comments.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import psutil
import pytest

from backends.cloud import attempt, guard, stream
from backends.cloud.patience import Patience
from backends.events import Delta, Event, Failed, Finished, Sent
from tests.backends.cloud.support import (
    IMPATIENT,
    KEY,
    QUESTION,
    ask,
    end_of,
    engine_at,
    failed,
    finished,
    notices,
    request,
    until,
)
from tests.fakes.openai_server import CERTIFICATES, Exchange, OpenAIServer, Script, answer, chunk, error, usage

SAID = "Tokens per second"
Break = Callable[[Exchange], Awaitable[None]]


def after_some_text(break_it: Break) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.say(SAID)
        await break_it(exchange)

    return script


async def _reset(exchange: Exchange) -> None:
    await asyncio.sleep(0.05)  # RST throws away what the client has not read yet
    exchange.reset()


async def _no_terminator(exchange: Exchange) -> None:
    exchange.close()


async def _half_a_chunk(exchange: Exchange) -> None:
    await exchange.raw(b"ffff\r\ndata: {")
    exchange.close()


async def _bad_json(exchange: Exchange) -> None:
    await exchange.data(b'data: {"choices": [{"del\n\n')
    await exchange.end()


async def _bad_utf8(exchange: Exchange) -> None:
    await exchange.data(b'data: {"choices":[{"index":0,"delta":{"content":"\xff\xfe"}}]}\n\n')
    await exchange.end()


async def _an_array(exchange: Exchange) -> None:
    await exchange.event([1, 2, 3])
    await exchange.end()


async def _a_string(exchange: Exchange) -> None:
    await exchange.event("hello")
    await exchange.end()


async def _choices_of_nonsense(exchange: Exchange) -> None:
    await exchange.event({**chunk(None), "choices": ["x"]})
    await exchange.end()


async def _error_event(exchange: Exchange) -> None:
    await exchange.event({"error": {"message": f"upstream broke, key {KEY}", "type": "server_error"}})
    await exchange.end()


async def _error_finish(exchange: Exchange) -> None:
    await exchange.event(
        {**chunk(None), "choices": [{"index": 0, "delta": {}, "finish_reason": "error", "error": {"message": "gone"}}]}
    )
    await exchange.end()


async def _groq_error(exchange: Exchange) -> None:
    await exchange.event({**chunk(None), "choices": [], "x_groq": {"error": "over capacity"}})
    await exchange.end()


async def _quota_event(exchange: Exchange) -> None:
    await exchange.event({"error": {"message": "no", "code": "insufficient_quota"}})
    await exchange.end()


async def _stall(exchange: Exchange) -> None:
    await exchange.until_gone()


async def _comments_only(exchange: Exchange) -> None:
    with_gone = asyncio.create_task(exchange.until_gone())
    while not with_gone.done():
        await exchange.data(b": still here\n\n")
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("break_it", "code", "words"),
    [
        (_reset, "connection_lost", "lost in mid-answer"),
        (_no_terminator, "connection_lost", "lost in mid-answer"),
        (_half_a_chunk, "connection_lost", "lost in mid-answer"),
        (_bad_json, "unreadable_reply", "cannot be read"),  # the SDK raises JSONDecodeError
        (_bad_utf8, "unreadable_reply", "cannot be read"),  # UnicodeDecodeError
        (_an_array, "unreadable_reply", "cannot be read"),  # AttributeError
        (_a_string, "unreadable_reply", "cannot be read"),
        (_choices_of_nonsense, "unreadable_reply", "cannot be read"),
        (_error_event, "server_failed", "upstream broke"),
        (_error_finish, "server_failed", "gone"),
        (_groq_error, "server_failed", "over capacity"),
        (_quota_event, "quota_used_up", "used up"),
        (_stall, "stalled", "nothing came"),
        (_comments_only, "stalled", "sent no text"),  # every byte resets the socket's timeout
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


async def _clean_end(exchange: Exchange) -> None:
    await exchange.end()


async def _done_without_finish(exchange: Exchange) -> None:
    await exchange.data(b"data: [DONE]\n\n")
    await exchange.end()


async def _cut_inside_json(exchange: Exchange) -> None:
    await exchange.data(b'data: {"choices":[{"index":0,"delta":{"content":"lost')
    await exchange.end()


@pytest.mark.parametrize("cut", [_clean_end, _done_without_finish, _cut_inside_json])
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
        await _reset(exchange)

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


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        (error(400, message="temperature is odd"), "request_refused", "temperature is odd"),
        (error(400, message="maximum is 8192", code="context_length_exceeded"), "request_refused", "too long"),
        (error(400, message="x", type="exceed_context_size_error"), "request_refused", "too long"),
        (error(401, message=f"Incorrect API key provided: {KEY}"), "key_refused", "did not accept the API key"),
        (error(402, message="limit"), "quota_used_up", "used up"),
        (error(403, code="unsupported_country_region_territory"), "request_refused", "country"),
        (error(403, message="project may not"), "key_refused", "does not let this key use gpt-4o"),
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
    assert notices(again) == []
    result = finished(events).result
    sent = [event for event in events if isinstance(event, Sent)]
    first_text = next(event for event in events if isinstance(event, Delta))
    assert result.ttft_ms == pytest.approx((first_text.at_ns - sent[-1].at_ns) / 1e6)


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


async def test_eight_megabytes_are_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_TEXT_BYTES", 100_000)

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        while True:
            await exchange.say("ü" * 1000)

    with OpenAIServer(script) as server:
        async with engine_at(server.base_url) as engine:
            events: list[Event] = []
            await engine.run(request(), events.append)
            assert await asyncio.to_thread(server.gone.wait, 1.0)  # it cannot go on sending
    end = failed(events)
    assert end.problem.code == "answer_too_large"
    assert end.result.text == "ü" * 50_000


async def test_a_line_without_end_does_not_fill_the_memory() -> None:
    line = b"x" * 1_000_000

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.say(SAID)
        await exchange.data(b"data: ")
        for _ in range(100):
            await exchange.data(line)

    with OpenAIServer(script) as server:
        async with engine_at(server.base_url) as engine:
            await engine.warm_up()
            before = psutil.Process().memory_info().rss
            events: list[Event] = []
            await engine.run(request(), events.append)
            grown = psutil.Process().memory_info().rss - before
    end = failed(events)
    assert end.problem.code == "answer_too_large"
    assert end.result.text == SAID
    assert grown < 150_000_000


async def test_a_long_line_is_read() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.say("y" * 1_000_000)
        await exchange.finish(usage=usage(1, 1))

    with OpenAIServer(script) as server:
        assert len(finished(await ask(server)).result.text) == 1_000_000


async def test_an_endless_error_body_is_cut() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head(400, kind="text/plain")
        for _ in range(1000):
            await exchange.data(b"bad " * 25_000)

    with OpenAIServer(script) as server:
        end = failed(await ask(server))
    assert end.problem.code == "request_refused"
    assert len(end.problem.what) < 400
    assert guard.MAX_ERROR_BYTES < 1_000_000


async def test_a_drip_of_single_bytes_is_read_in_time_or_given_up() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.say(SAID)
        gone = asyncio.create_task(exchange.until_gone())
        while not gone.done():
            await exchange.data(b"x")
            await asyncio.sleep(0.05)

    with OpenAIServer(script) as server:
        end = failed(await ask(server, patience=IMPATIENT))
    assert end.problem.code == "stalled"
    assert end.result.text == SAID


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


async def _ask_at(base_url: str, patience: Patience | None = None) -> Failed:
    events: list[Event] = []
    async with engine_at(base_url, patience=patience) as engine:
        await engine.run(request(), events.append)
    return failed(events)


async def test_a_refused_port_is_named() -> None:
    port = _free_port()
    end = await _ask_at(f"http://127.0.0.1:{port}/v1")
    assert end.problem.code == "unreachable"
    assert end.problem.what == f"Nothing answers at 127.0.0.1, port {port}: the connection was refused."


async def test_a_name_that_does_not_exist_is_said_to_be_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    # Names under .localhost count as this machine, so that no question leaves it; the resolver is made to fail.
    async def no_such_name(*_args: object, **_more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", no_such_name)
    end = await _ask_at("http://nowhere.localhost:8080/v1")
    assert end.problem.code == "unreachable"
    assert "name nowhere.localhost could not be found" in end.problem.what


async def test_no_way_to_the_network_is_called_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreachable(*_args: object, **_more: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", unreachable)
    assert "offline" in (await _ask_at("http://127.0.0.1:8080/v1")).problem.what


async def test_a_certificate_nobody_signed_is_refused() -> None:
    with OpenAIServer(certificate="valid", host="localhost") as server:
        end = await _ask_at(server.base_url)
        assert server.received == []
    assert end.problem.code == "unreachable"
    assert "not trusted" in end.problem.what


def _trust(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the system's trust store hold a test certificate."""
    context = ssl.create_default_context(cafile=CERTIFICATES / f"{name}.pem")
    monkeypatch.setattr("httpx2.create_ssl_context", lambda **_: context)


async def test_an_expired_certificate_asks_to_look_at_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    _trust(monkeypatch, "expired")
    with OpenAIServer(certificate="expired", host="localhost") as server:
        end = await _ask_at(server.base_url)
    assert "not valid today" in end.problem.what
    assert "date of this computer" in end.problem.fix


async def test_an_encrypted_answer_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    _trust(monkeypatch, "valid")
    with OpenAIServer(certificate="valid", host="localhost") as server:
        result = finished(await ask(server)).result
    assert result.text == "Hello there."
    assert result.engine_timings["client_connect_ms"] > 0


@contextmanager
def _speaking(words: bytes) -> Iterator[int]:
    """A server that says the same to whatever comes, and hangs up."""

    def speak() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(words)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=speak)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


async def test_encryption_where_there_is_none_is_said() -> None:
    with _speaking(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as port:
        end = await _ask_at(f"https://127.0.0.1:{port}/v1")
    assert end.problem.code == "unreachable"
    assert "secure connection" in end.problem.what
    assert "http://" in end.problem.fix


@pytest.mark.parametrize("words", [b"220 mail.example ESMTP\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x46"])
async def test_a_server_that_does_not_speak_http(words: bytes) -> None:
    with _speaking(words) as port:
        end = await _ask_at(f"http://127.0.0.1:{port}/v1")
    assert end.problem.code == "not_an_api"
    assert "does not speak HTTP" in end.problem.what


async def test_a_server_that_takes_the_question_and_says_nothing() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.until_gone()

    with OpenAIServer(script) as server:
        end = failed(await ask(server, patience=IMPATIENT))
    assert end.problem.code == "stalled"
    assert "sent nothing" in end.problem.what


async def test_a_server_that_hangs_up_without_a_word() -> None:
    async def script(exchange: Exchange) -> None:
        exchange.close()

    with OpenAIServer(script) as server:
        end = failed(await ask(server))
    assert end.problem.code == "connection_lost"
    assert "before it answered" in end.problem.what


def _echoes() -> list[Script]:
    """Servers that repeat the key wherever a server can write something."""
    statuses = (400, 402, 403, 404, 405, 413, 422, 429)
    refusals = [error(status, message=f"bad key {KEY} in model", code=KEY, type=KEY, param=KEY) for status in statuses]

    async def in_text(exchange: Exchange) -> None:
        await exchange.answer_text(418, f"I am {KEY}", "text/plain")

    async def in_content_type(exchange: Exchange) -> None:
        await exchange.answer_text(200, "x", f"text/{KEY}")

    return [*refusals, in_text, in_content_type, error(302, {"Location": f"https://{KEY}.example/"})]


@pytest.mark.parametrize("script", [*_echoes(), after_some_text(_error_event)])
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


async def test_the_next_question_works_after_every_failure() -> None:
    scripts = [after_some_text(_reset), error(401), after_some_text(_bad_json), error(404), answer("fine")]
    with OpenAIServer(*scripts) as server:
        async with engine_at(server.base_url) as engine:
            ends = []
            for _ in scripts:
                events: list[Event] = []
                await engine.run(request(), events.append)
                ends.append(end_of(events))
    assert [type(end) for end in ends] == [Failed, Failed, Failed, Failed, Finished]
    assert ends[-1].result.text == "fine"


async def test_every_sentence_has_three_parts_and_no_traceback() -> None:
    scripts = [error(status) for status in (400, 401, 402, 403, 404, 422, 429)] + [after_some_text(_bad_json)]
    for script in scripts:
        with OpenAIServer(script) as server:
            problem = failed(await ask(server)).problem
        assert all(part.endswith((".", "?")) for part in (problem.what, problem.safe, problem.fix)), problem
        assert not re.search(r"Traceback|openai\.|httpx|0x[0-9a-f]{6}", problem.sentence)


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
