"""Targets, errors and the books of a run, without any engine. Must not start a process."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import errors
from backends.errors import NearfarError, UnknownTarget, UsageError, WorkerDied
from backends.events import Cancelled, Delta, Event, Failed, Finished, Sent, Started, is_terminal
from backends.records import Cost, Prompt, RunRequest, Target, Usage
from backends.tally import Tally
from backends.targets import PRACTICE, parse_target

REQUEST = RunRequest("run-1", Target("openai", "gpt-4o"), Prompt.ask("Hello?", "Be brief."))


@pytest.mark.parametrize(
    "name",
    [
        "local:demo",
        "local:/models/a b.gguf",
        "local:llama-3.1-8b:Q4_K_M",
        "openai:gpt-4o",
        "practice",
        "custom:lab/m:1",
    ],
)
def test_a_target_is_written_as_it_is_read(name: str) -> None:
    assert str(parse_target(name)) == name


@pytest.mark.parametrize(
    "name", ["", "local", "local:", "nowhere:x", "custom:lab", "custom:/m", "practice:demo", "x" * 9999]
)
def test_an_unknown_target_is_a_sentence(name: str) -> None:
    with pytest.raises(UnknownTarget) as caught:
        parse_target(name)
    assert isinstance(caught.value, UsageError)
    assert len(caught.value.problem.sentence) < 400


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_a_sentence(text: str) -> None:
    try:
        target = parse_target(text)
    except UnknownTarget:
        return
    assert parse_target(str(target)) == target


def every_error() -> list[type[NearfarError]]:
    found = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, NearfarError)]
    return [kind for kind in found if kind is not NearfarError]


def test_every_error_says_what_is_safe_and_what_to_do() -> None:
    kinds = every_error()
    assert len({kind.code for kind in kinds}) == len(kinds)
    for kind in kinds:
        problem = kind("It broke.").problem
        assert problem.what == "It broke."
        assert problem.safe.endswith(".")
        assert problem.fix.endswith(".")
        assert kind.__name__ in (errors.__doc__ or "")


def test_prompt_knows_its_question_and_its_system_text() -> None:
    assert REQUEST.prompt.text == "Hello?"
    assert REQUEST.prompt.system == "Be brief."
    assert Prompt.ask("Hi").system is None
    assert str(PRACTICE) == "practice"


class Clock:
    """Counts in steps of 100 ms, and backwards once, as a broken clock would."""

    def __init__(self) -> None:
        self._ticks = itertools.chain([10, 20, 15], itertools.count(30, 10))

    def __call__(self) -> int:
        return next(self._ticks) * 10_000_000


def books(**kwargs: object) -> tuple[Tally, list[Event]]:
    seen: list[Event] = []
    return Tally(REQUEST, seen.append, clock=Clock(), **kwargs), seen  # type: ignore[arg-type]  # kwargs vary by test


def test_a_finished_run_has_its_text_figures_and_cost() -> None:
    tally, seen = books(cost_of=lambda usage: Cost(Decimal(usage.completion_tokens or 0), "api_price"))
    tally.started()
    tally.sent()
    for _ in range(20):
        tally.text_arrived("word ")
    tally.usage = Usage(prompt_tokens=9, completion_tokens=30, reasoning_tokens=10)
    tally.finished("stop")
    assert [type(event) for event in seen] == [Started, Sent, *[Delta] * 20, Finished]
    last = seen[-1]
    assert isinstance(last, Finished)
    assert last.result.text == "word " * 20
    assert last.result.complete
    assert last.result.cost.usd == Decimal(30)
    assert last.result.decode_tok_s == pytest.approx(10)  # (20 visible - 1) / 1.9 s


@pytest.mark.parametrize(("reasoning", "rate"), [(None, 20 / 1.9), (19, 1 / 1.9), (20, None), (50, None)])
def test_reasoning_that_leaves_no_visible_token_leaves_no_rate(reasoning: int | None, rate: float | None) -> None:
    """Some servers count reasoning apart: a rate of 0 or less would be worse than none."""
    tally, seen = books()
    tally.started()
    tally.sent()
    for _ in range(20):
        tally.text_arrived("word ")
    tally.usage = Usage(prompt_tokens=9, completion_tokens=20, reasoning_tokens=reasoning)
    tally.finished("stop")
    last = seen[-1]
    assert isinstance(last, Finished)
    assert last.result.answer_tok_s == (None if rate is None else pytest.approx(rate))
    if rate is None:
        assert last.result.decode_tok_s is None


def test_no_finish_reason_is_incomplete() -> None:
    tally, seen = books()
    tally.started()
    tally.finished(None)
    last = seen[-1]
    assert isinstance(last, Finished)
    assert not last.result.complete


def test_stamps_never_decrease_even_when_the_clock_does() -> None:
    tally, seen = books()
    tally.started()
    tally.sent()
    tally.text_arrived("late", at_ns=1)
    tally.finished("stop")
    stamps = [event.at_ns for event in seen]
    assert stamps == sorted(stamps)


@given(st.lists(st.sampled_from(["text", "finished", "failed", "cancelled", "notice"]), max_size=12))
def test_there_is_one_terminal_event_and_nothing_after_it(calls: list[str]) -> None:
    tally, seen = books()
    tally.started()
    tally.sent()
    actions = {
        "text": lambda: tally.text_arrived("x", n_tokens=1),
        "notice": lambda: tally.notice("n", "Note."),
        "finished": lambda: tally.finished("stop"),
        "failed": lambda: tally.failed(WorkerDied("It stopped.")),
        "cancelled": tally.cancelled,
    }
    for call in [*calls, "finished"]:
        actions[call]()
    assert sum(is_terminal(event) for event in seen) == 1
    assert is_terminal(seen[-1])


def test_a_broken_run_keeps_its_text() -> None:
    for end in ("failed", "cancelled"):
        tally, seen = books()
        tally.started()
        tally.sent()
        tally.text_arrived("kept", n_tokens=1)
        tally.failed(WorkerDied("It stopped.")) if end == "failed" else tally.cancelled()
        last = seen[-1]
        assert isinstance(last, Failed | Cancelled)
        assert last.result.text == "kept"
        assert not last.result.complete
