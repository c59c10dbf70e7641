"""Several answers at once from one worker: each is its own, ends by itself, and costs the others nothing.

Greedy texts are compared on models whose next token is never in doubt; llama.cpp rounds differently for other widths of
a batch, so with a model that wavers between two tokens equality is not promised (docs/architecture.md).
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from backends.events import Cancelled, Delta, Failed, Finished, Loading, Sent
from backends.local.engine import LocalEngine
from backends.records import Message, Prompt, RunResult
from tests.backends.local.conftest import MakeEngine
from tests.backends.local.driver import SPELLED, Recorder, answer, ask, request
from tests.gguf_factory import write_script

LETTERS = tuple(bytes([letter]) for letter in b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN")  # one token each
NOTHING_ADDED = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@pytest.fixture(scope="session")
def reciter(models: Path) -> Path:
    """Goes on from the letter that the prompt ends with, round and round: every prompt has an answer of its own."""
    return write_script(models / "reciter.gguf", LETTERS, loop_to=0, template=NOTHING_ADDED, n_ctx_train=4096)


def told(first: int, count: int) -> str:
    """What the reciter says after the letter with this number."""
    return "".join(LETTERS[(first + 1 + i) % len(LETTERS)].decode() for i in range(count))


def after(number: int) -> str:
    return LETTERS[number].decode()


async def ask_all(engine: LocalEngine, prompts: Sequence[str | Prompt], **sampling: Any) -> list[Recorder]:
    return await asyncio.gather(*(ask(engine, prompt, **sampling) for prompt in prompts))


def results(recorders: Sequence[Recorder]) -> list[RunResult]:
    for recorder in recorders:
        assert isinstance(recorder.end, Finished), recorder.end
    return [recorder.end.result for recorder in recorders]


async def start(engine: LocalEngine, prompt: str) -> tuple[Recorder, asyncio.Task[None]]:
    """A run that will not end by itself, and has shown some text."""
    recorder = Recorder()
    task = asyncio.create_task(engine.run(request(prompt, max_tokens=None), recorder))
    await recorder.until(lambda: len(recorder.of(Delta)) >= 2)
    return recorder, task


async def test_eight_at_once_say_what_each_says_alone(make_engine: MakeEngine, reciter: Path) -> None:
    prompts = [after(3 * number) for number in range(8)]
    alone = make_engine(reciter, n_ctx=512)
    single = [(await answer(alone, prompt, max_tokens=60)).text for prompt in prompts]
    recorders = await ask_all(make_engine(reciter, n_ctx=512, n_parallel=8), prompts, max_tokens=60)
    assert [result.text for result in results(recorders)] == single
    assert single == [told(3 * number, 60) for number in range(8)]
    assert sum(bool(recorder.of(Loading)) for recorder in recorders) == 1, "loaded once, for all"
    last_sent = max(recorder.of(Sent)[0].at_ns for recorder in recorders)
    assert last_sent < min(recorder.end.at_ns for recorder in recorders), "all were at work together"
    widths = [result.engine_timings["batch_mean"] for result in results(recorders)]
    assert max(widths) > 2


async def test_a_slot_is_taken_again_as_soon_as_its_answer_ends(make_engine: MakeEngine, reciter: Path) -> None:
    engine = make_engine(reciter, n_ctx=512, n_parallel=4)
    lengths = [5, 90, 40, 7, 60, 3, 80, 20, 50, 9, 30, 70]
    recorders = await asyncio.gather(
        *(ask(engine, after(number), max_tokens=length) for number, length in enumerate(lengths))
    )
    assert [result.text for result in results(recorders)] == [told(*each) for each in enumerate(lengths)]
    assert [result.usage.completion_tokens for result in results(recorders)] == lengths
    ends = [recorder.end.at_ns for recorder in recorders]
    for number, recorder in enumerate(recorders[4:], 4):
        ended_before = sum(end < recorder.of(Sent)[0].at_ns for end in ends)
        assert ended_before >= number - 3, "no more than four at once"


async def test_answers_close_ranks_when_others_end(make_engine: MakeEngine, reciter: Path) -> None:
    """Those that stay are moved together in the cache, and none of them notices."""
    engine = make_engine(reciter, n_ctx=1024, n_parallel=8)
    lengths = [300, 5, 400, 10, 5, 500, 20, 450]
    recorders = await asyncio.gather(
        *(ask(engine, after(number), max_tokens=length) for number, length in enumerate(lengths))
    )
    assert [result.text for result in results(recorders)] == [told(*each) for each in enumerate(lengths)]


async def test_one_is_cancelled_while_others_go_on(make_engine: MakeEngine, reciter: Path) -> None:
    engine = make_engine(reciter, n_ctx=4096, n_parallel=4)
    (one, one_task), (two, two_task) = [await start(engine, after(number)) for number in (0, 20)]
    pid = engine.worker_pid
    one_task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one_task
    assert isinstance(one.end, Cancelled)
    kept = one.end.result
    assert kept.usage.completion_tokens
    assert kept.text == told(0, kept.usage.completion_tokens)
    seen = len(two.text)
    await two.until(lambda: len(two.text) > seen)
    assert (await answer(engine, after(10), max_tokens=9)).text == told(10, 9)
    await two_task
    result = two.end.result
    assert (result.finish_reason, engine.worker_pid) == ("length", pid)
    assert result.text == told(20, result.usage.completion_tokens or 0)


async def test_one_that_waits_can_be_cancelled(make_engine: MakeEngine, reciter: Path) -> None:
    engine = make_engine(reciter, n_ctx=4096, n_parallel=2)
    running = [await start(engine, after(number)) for number in (0, 1)]
    third = Recorder()
    task = asyncio.create_task(engine.run(request(after(2)), third))
    await third.until(lambda: bool(third.events))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance(third.end, Cancelled)
    for recorder, running_task in running:
        running_task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running_task
        assert isinstance(recorder.end, Cancelled)
    assert (await answer(engine, after(5), max_tokens=4)).text == told(5, 4)


async def test_a_prompt_that_is_too_long_fails_alone(make_engine: MakeEngine, reciter: Path) -> None:
    engine = make_engine(reciter, n_ctx=256, n_parallel=4)
    prompts = [after(1), "".join(map(after, range(40))) * 8, after(2)]
    good, long, also_good = await ask_all(engine, prompts, max_tokens=100)
    assert isinstance(long.end, Failed)
    assert long.end.problem.code == "prompt_too_long"
    assert [result.text for result in results([good, also_good])] == [told(1, 100), told(2, 100)]


async def test_each_has_its_own_stop_and_limit(make_engine: MakeEngine, reciter: Path) -> None:
    engine = make_engine(reciter, n_ctx=512, n_parallel=4)
    wishes: list[dict[str, Any]] = [{"stop": ("jk",)}, {"max_tokens": 1}, {"max_tokens": 33}, {}]
    recorders = await asyncio.gather(*(ask(engine, after(5), **wish) for wish in wishes))
    stopped, one, many, whole = results(recorders)
    assert (stopped.text, stopped.finish_reason) == (told(5, 3), "stop")
    assert (one.text, one.finish_reason) == (told(5, 1), "length")
    assert (many.text, many.finish_reason) == (told(5, 33), "length")
    assert (whole.usage.prompt_tokens or 0) + (whole.usage.completion_tokens or 0) == 512 + 1
    assert whole.finish_reason == "length", "each has the context that was asked for to itself"


async def test_a_killed_worker_fails_all_and_keeps_their_text(make_engine: MakeEngine, reciter: Path) -> None:
    engine = make_engine(reciter, n_ctx=4096, n_parallel=3)
    running = [await start(engine, after(number)) for number in (0, 10, 20)]
    pid = engine.worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await asyncio.wait_for(asyncio.gather(*(task for _, task in running)), 5.0)
    for number, (recorder, _) in zip((0, 10, 20), running, strict=True):
        assert isinstance(recorder.end, Failed)
        assert recorder.end.problem.code == "worker_died"
        shown = sum(delta.n_tokens or 0 for delta in recorder.of(Delta))
        assert recorder.end.result.text == told(number, shown)
    again = await ask_all(engine, [after(7), after(8)], max_tokens=3)
    assert [result.text for result in results(again)] == [told(7, 3), told(8, 3)]


async def test_a_stopped_worker_is_killed_once_nobody_wants_it(make_engine: MakeEngine, reciter: Path) -> None:
    engine = make_engine(reciter, n_ctx=4096, n_parallel=2)
    running = [await start(engine, after(number)) for number in (0, 10)]
    pid = engine.worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    for _, task in running:
        task.cancel()
    ended = await asyncio.wait_for(asyncio.gather(*(task for _, task in running), return_exceptions=True), 5.0)
    assert all(isinstance(error, asyncio.CancelledError) for error in ended)
    assert all(isinstance(recorder.end, Cancelled) for recorder, _ in running)
    assert (await answer(engine, after(7), max_tokens=3)).text == told(7, 3)


async def test_a_seed_repeats_a_run_that_is_alone(make_engine: MakeEngine, tiny: Path) -> None:
    engine = make_engine(tiny, n_ctx=512, n_parallel=4)
    drawn: dict[str, Any] = {"temperature": 0.9, "seed": 4711, "max_tokens": 60}
    first = await answer(engine, "hello you", **drawn)
    await ask_all(engine, ["what", "does", "it", "mean"], temperature=1.0, max_tokens=30)
    again = await answer(engine, "hello you", **drawn)
    other = await answer(engine, "hello you", **(drawn | {"seed": 4712}))
    assert first.text == again.text
    assert other.text != first.text


async def test_a_shared_beginning_is_read_once(make_engine: MakeEngine, reciter: Path) -> None:
    """Copied from slot to slot, also by runs that came together; the letter after it decides the answer."""
    engine = make_engine(reciter, n_ctx=1024, n_parallel=4, n_batch=64)
    system = Message("system", "".join(map(after, range(40))) * 5)
    prompts = [Prompt((system, Message("user", after(number) * 70))) for number in range(8)]
    recorders = await ask_all(engine, prompts, max_tokens=20)
    assert [result.text for result in results(recorders)] == [told(number, 20) for number in range(8)]
    cached = [result.usage.cached_tokens or 0 for result in results(recorders)]
    assert cached[0] == 0
    assert set(cached[1:]) == {192}, "of the 200 that are shared a repeatable run takes over whole steps only"
    drawn = results(await ask_all(engine, prompts[:4], temperature=0.5, max_tokens=5))
    assert all((result.usage.cached_tokens or 0) >= 200 for result in drawn), "the others all that is shared"


async def test_one_at_a_time_is_the_default(make_engine: MakeEngine, endless: Path) -> None:
    engine = make_engine(endless)
    one, two = await ask_all(engine, ["hello", "hello"], max_tokens=200)
    assert one.text == two.text == "".join(SPELLED[i % 5].decode() for i in range(200))
    assert two.of(Sent)[0].at_ns >= one.end.at_ns
