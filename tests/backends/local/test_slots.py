"""A batch without a worker: what lies in which sequence of the cache, and what a stopped decode leaves behind."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from backends.local.answers import Answer
from backends.local.batch import PATIENCE, Batch
from backends.local.decode import Outcome, tokenize
from backends.local.facts import LoadOptions
from backends.local.log_capture import LogCapture
from backends.local.model import AbortFlag, LoadedModel
from backends.local.native import Native
from backends.records import Sampling
from tests.backends.local.driver import SPELLED
from tests.backends.local.in_process import ignore

ROUND = b"".join(SPELLED).decode()


class Here:
    """A batch in the test's own process, and what its answers said; numbers are the runs'."""

    def __init__(self, path: Path, **options: Any) -> None:
        native = Native()
        self.abort = AbortFlag(native.api)
        loaded = LoadOptions(**options)
        self.model = LoadedModel(
            native, LogCapture(native.api), self.abort, path, path.name, loaded, lambda _part: None
        )
        self.at_work: Callable[[int], None] = lambda _id: self.abort.clear()
        self.batch = Batch(self.model, at_work=lambda run: self.at_work(run), on_end=self._ended)
        self.texts: dict[int, str] = {}
        self.outcomes: dict[int, Outcome] = {}

    def close(self) -> None:
        self.batch.close()
        self.model.close()

    def ask(self, number: int, prompt: Sequence[int], max_tokens: int, *, exact: bool = True) -> None:
        self.texts[number] = ""
        sampling = Sampling(max_tokens=max_tokens, temperature=0.0, seed=0)

        def said(text: str, _stamps: tuple[int, ...]) -> None:
            self.texts[number] += text

        self.batch.add(Answer(number, self.model, prompt, sampling, exact=exact, on_prefill=ignore, on_text=said))

    def prompt(self, text: str) -> list[int]:
        return tokenize(self.model, text + "\n\n", add_special=False)

    def run(self) -> None:
        while self.batch.busy:
            self.batch.turn()

    @property
    def seqs(self) -> list[int]:
        return [slot.seq for slot in self.batch._slots.busy]

    def _ended(self, number: int, outcome: Outcome) -> None:
        self.outcomes[number] = outcome


@pytest.fixture
def here(endless: Path) -> Iterator[Callable[..., Here]]:
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> Here:
            made = Here(endless, **options)
            stack.callback(made.close)
            return made

        yield make


def spelled(count: int) -> str:
    return b"".join(SPELLED[i % len(SPELLED)] for i in range(count)).decode()


def test_a_gap_is_closed_when_nobody_fills_it(here: Callable[..., Here]) -> None:
    one = here(n_ctx=1024, n_parallel=6)
    lengths = {1: 200, 2: 30, 3: 201, 4: 30, 5: 30, 6: 202}
    for number, length in lengths.items():
        one.ask(number, one.prompt(f"hello {number}"), length)
    while len(one.outcomes) < 3:
        one.batch.turn()
    assert one.seqs == [0, 2, 5]
    for _ in range(PATIENCE + 1):
        one.batch.turn()
    seqs = one.seqs
    assert seqs[-1] - seqs[0] == 2, "llama.cpp computes neighbours together, and no others"
    one.run()
    assert one.texts == {number: spelled(length) for number, length in lengths.items()}


def test_a_stopped_decode_is_done_again_for_the_others(here: Callable[..., Here]) -> None:
    one = here(n_ctx=512, n_parallel=2)
    stops = iter([False, True, False, True, True] * 8)

    def at_work(_run: int) -> None:
        one.abort.clear()
        if next(stops, False):
            one.abort.set()

    one.at_work = at_work
    for number in (1, 2):
        one.ask(number, one.prompt("hello " * 10), 50)
    one.run()
    assert one.texts == {1: spelled(50), 2: spelled(50)}
    assert next(stops, None) is None, "decodes were stopped, in prompts and in answers"


def test_a_cancelled_answer_keeps_what_it_said(here: Callable[..., Here]) -> None:
    one = here(n_ctx=512, n_parallel=2)
    for number in (1, 2, 3):
        one.ask(number, one.prompt("hello"), 40)
    for _ in range(10):
        one.batch.turn()
    one.batch.cancel({1, 3})
    assert (one.outcomes[1].ending, one.outcomes[3].ending) == ("cancelled", "cancelled")
    assert one.texts[1] == spelled(one.outcomes[1].usage.completion_tokens or 0) != ""
    assert one.texts[3] == ""
    one.run()
    assert one.texts[2] == spelled(40)


def test_the_slot_that_holds_most_of_a_prompt_is_taken(here: Callable[..., Here]) -> None:
    one = here(n_ctx=1024, n_parallel=3)
    first, second = one.prompt("hello you and that " * 30), one.prompt("what does this mean " * 30)
    for number, prompt in enumerate((first, second), 1):
        one.ask(number, prompt, 5, exact=False)
    one.run()
    one.ask(3, [*second[:-4], *second[-2:]], 5, exact=False)
    one.ask(4, [*first[:-4], *first[-2:]], 5, exact=False)
    one.run()
    assert one.outcomes[3].usage.cached_tokens == len(second) - 4
    assert one.outcomes[4].usage.cached_tokens == len(first) - 4


def test_what_a_slot_holds_counts_more_than_its_place(here: Callable[..., Here]) -> None:
    one = here(n_ctx=1024, n_parallel=4)
    words = ("hello", "you", "that", "what")
    for number, word in enumerate(words, 1):
        one.ask(number, one.prompt(f"{word} " * 60), 500 if number == 1 else 5, exact=False)
    while len(one.outcomes) < 3:
        one.batch.turn()
    assert one.seqs == [0]
    one.ask(5, one.prompt("what " * 60), 5, exact=False)
    one.ask(6, one.prompt("you " * 60), 5, exact=False)
    one.batch.turn()
    assert one.seqs == [0, 3]
    while len(one.outcomes) < 5:
        one.batch.turn()
    one.ask(7, one.prompt("with " * 60), 5, exact=False)
    one.batch.turn()
    assert one.seqs == [0, 1], "one that finds nothing goes beside others, though slot 2 was used longer ago"


def test_a_beginning_in_use_is_copied_and_its_owner_goes_on(here: Callable[..., Here]) -> None:
    one = here(n_ctx=1024, n_parallel=3)
    shared = one.prompt("hello you and that " * 30)
    one.ask(1, [*shared, 5], 300, exact=False)
    one.ask(2, [*shared, *shared[-1:]], 100, exact=False)
    one.run()
    assert one.outcomes[2].usage.cached_tokens == len(shared)
    assert one.texts[2] == spelled(100)


def test_what_failed_leaves_nothing_behind(here: Callable[..., Here]) -> None:
    one = here(n_ctx=512, n_parallel=2)
    prompt = one.prompt("hello " * 40)
    for number in (1, 2, 3):
        one.ask(number, prompt, 40, exact=False)
    for _ in range(5):
        one.batch.turn()
    assert sorted(one.batch.drop_all()) == [1, 2, 3]
    assert not one.batch.busy
    one.ask(4, prompt, 12, exact=False)
    one.run()
    assert one.texts[4] == spelled(12)
    assert one.outcomes[4].usage.cached_tokens == 0
