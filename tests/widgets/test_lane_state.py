from __future__ import annotations

import pytest

from backends.events import Delta, Finished, Loading, Notice, Prefill
from backends.records import Usage
from tests.widgets import samples
from widgets.lane_state import LaneState

MS = samples.MS


def fed(*events: object) -> LaneState:
    state = LaneState()
    for event in events:
        state.take(event)  # type: ignore[arg-type]  # tests mix event kinds
    return state


def test_a_whole_local_run_in_words() -> None:
    state = LaneState()
    said = [state.status_text()]
    state.queue()
    said.append(state.status_text())
    opening = samples.opening("local:demo", 10 * MS)
    for event in [
        *opening, Prefill("run-1", 11 * MS, 512, 2048), *samples.deltas("a b", 12 * MS),
        Finished("run-1", 900 * MS, samples.local_result()),
    ]:  # fmt: skip
        state.take(event)
        said.append(state.status_text())
    assert list(dict.fromkeys(said)) == [
        "Ready", "Waiting for its turn", "Starting", "Loading the model, 42 %", "Waiting for the first token",
        "Reading the prompt, 512 of 2,048 tokens", "Answering", "Done",
    ]  # fmt: skip


def test_progress_only_where_there_is_a_length() -> None:
    assert fed(*samples.opening("openai:gpt-4o", 0)).progress() is None
    assert fed(Loading("run-1", 1, 0.42)).progress() == 0.42
    assert fed(*samples.reading("local:demo", 0)).progress() == 0.25
    assert fed(Prefill("run-1", 1, 0, 0)).progress() is None


@pytest.mark.parametrize(
    ("reason", "complete", "text"),
    [
        ("stop", True, "Done"),
        ("content_filter", True, "Ended by the provider's content filter"),
        ("function_call", True, "Done"),
        (None, False, "Incomplete: the stream ended before the answer did"),
    ],
)
def test_how_a_run_ended(reason: str | None, complete: bool, text: str) -> None:
    ended = samples.cloud_result(finish_reason=reason, complete=complete)
    assert fed(*samples.whole_run("openai:gpt-4o", ended, 0)).status_text() == text


@pytest.mark.parametrize(
    ("provider", "tokens", "text"),
    [
        ("local", 100, "Done: the token limit was reached"),
        ("local", 60, "Done: the context is full"),
        ("openai", 60, "Done: the context is full, or a limit of the server's own was reached"),
    ],
)
def test_what_cut_an_answer_off(provider: str, tokens: int, text: str) -> None:
    ended = samples.cloud_result(
        finish_reason="length",
        provider=provider,
        settings={"max_tokens": 100},
        usage=Usage(completion_tokens=tokens),
    )
    state = fed(*samples.whole_run("openai:gpt-4o", ended, 0))
    assert state.status_text() == state.status_tip() == text


def test_thinking_that_used_the_whole_limit_is_said() -> None:
    ended = samples.cloud_result(
        finish_reason="length", text="", settings={"max_tokens": 16}, usage=Usage(completion_tokens=16)
    )
    said = fed(*samples.whole_run("openai:gpt-6-luna", ended, 0)).status_text()
    assert said == "Done: the token limit was reached before any text came"


def test_a_reason_of_the_servers_own_is_quoted_in_full_view_of_nobody_but_the_curious() -> None:
    ended = samples.cloud_result(finish_reason="function_call" + "!" * 5_000)
    tip = fed(*samples.whole_run("openai:gpt-4o", ended, 0)).status_tip()
    assert "“function_call!!!" in tip
    assert len(tip) < 200
    known = samples.cloud_result(finish_reason="length")
    state = fed(*samples.whole_run("openai:gpt-4o", known, 0))
    assert state.status_tip() == state.status_text()


def test_what_was_not_sent_outlives_the_run() -> None:
    settings = {"not_sent": ["repeat_penalty", "temperature", "top_k"], "repeat_penalty": 1.0, "top_k": 40}
    ended = Finished("run-1", 9 * MS, samples.cloud_result(settings=settings))
    clear = Notice("run-1", MS, "unencrypted", "The connection is not encrypted.")
    again = Notice("run-1", MS, "parameter_refused", "gpt-4o does not take temperature: asked again without it.")
    waiting = Notice("run-1", MS, "waiting", "OpenAI asks to wait: asking once more in 1 s.")
    state = fed(*samples.opening("openai:gpt-4o", 0), clear, again, waiting)
    assert state.lasting() == (), "while it runs, the notices themselves are shown"
    state.take(ended)
    assert state.lasting() == ("not sent: temperature, top k", "not encrypted")
    assert state.remarks == (clear, again)
    state.take(samples.opening("openai:gpt-4o", 10 * MS)[0])
    assert not state.remarks


@pytest.mark.parametrize("stored", [None, 7, "temperature", {"a": 1}, [], [None, ["x"]]])
def test_damaged_lists_of_what_was_not_sent(stored: object) -> None:
    state = LaneState()
    state.restore("finished", samples.cloud_result(settings={"not_sent": stored}), None)
    assert all(isinstance(each, str) for each in state.not_sent())


def test_reasoning_is_thinking_and_not_answering() -> None:
    state = fed(*samples.opening("openai:o4", 0), Delta("run-1", MS, "hmm", None, (), "reasoning"))
    assert state.status_text() == "Thinking, 3 characters so far"
    state.take(Delta("run-1", 2 * MS, "Yes", 1))
    assert state.phase == "answering"


def test_a_failure_keeps_problem_and_figures() -> None:
    state = fed(*samples.failed_run("openai:gpt-4o", samples.cloud_result(), samples.CUT, 0))
    assert state.problem is samples.CUT
    assert state.result is not None
    assert state.ended
    assert not state.live


def test_a_notice_goes_when_it_is_taken_back_or_the_run_ends() -> None:
    state = fed(*samples.opening("local:demo", 0), Notice("run-1", MS, "silent", samples.SILENT))
    assert state.notice == samples.SILENT
    state.take(Notice("run-1", 2 * MS, "silent", ""))
    assert state.notice == ""
    state.take(Notice("run-1", 3 * MS, "silent", samples.SILENT))
    state.take(Finished("run-1", 4 * MS, samples.local_result()))
    assert state.notice == ""


def test_a_new_run_starts_from_nothing() -> None:
    state = fed(*samples.failed_run("openai:gpt-4o", samples.cloud_result(), samples.CUT, 0))
    state.take(samples.opening("local:demo", 0)[0])
    assert (state.problem, state.result, state.meter, state.phase) == (None, None, None, "starting")


def test_a_stored_run_without_finish_reason_is_incomplete() -> None:
    state = LaneState()
    state.restore("finished", samples.cloud_result(complete=False), None)
    assert state.phase == "incomplete"
    state.restore("interrupted", samples.cloud_result(complete=False), None)
    assert state.status_text().startswith("Interrupted")


def test_loading_says_of_how_much() -> None:
    state = fed(Loading("run-1", 1, 0.42))
    assert state.status_text(2 * 2**30) == "Loading the model, 42 % of 2.00 GiB"
