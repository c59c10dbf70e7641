"""What the decode loop answers: characters, stops, limits, seeds, the cache of earlier runs, cancelling anywhere."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from backends.errors import PromptTooLong
from backends.events import Cancelled, Delta, Failed, Prefill
from backends.local.decode import Session
from backends.local.model import AbortFlag
from backends.records import Sampling
from tests.backends.local.conftest import MakeEngine
from tests.backends.local.driver import HELLO, HELLO_TEXT, SPELLED, Recorder, answer, ask, request
from tests.backends.local.in_process import ignore, session_here
from tests.gguf_factory import write_script

LONG = "the model that was for you and " * 12


async def test_a_character_in_two_tokens_is_never_shown_in_halves(make_engine: MakeEngine, hello: Path) -> None:
    recorder = await ask(make_engine(hello))
    assert recorder.text == HELLO_TEXT
    assert all("\ufffd" not in delta.text for delta in recorder.of(Delta))


async def test_a_character_cut_off_by_the_limit_shows_as_such_at_the_end(make_engine: MakeEngine, hello: Path) -> None:
    result = await answer(make_engine(hello), max_tokens=2)
    assert (result.text, result.finish_reason) == ("Hello \ufffd", "length")
    assert result.usage.completion_tokens == 2


@pytest.mark.parametrize(
    ("stop", "text", "tokens"),
    [
        (("world",), "Hello 😀 ", 4),
        (("😀 w",), "Hello ", 2),
        (("never", "!"), "Hello 😀 world", 5),
        (("world?",), HELLO_TEXT, 6),
        (("Hello",), "", 0),
    ],
)
async def test_a_stop_sequence_across_tokens_ends_the_answer_unseen(
    make_engine: MakeEngine, hello: Path, stop: tuple[str, ...], text: str, tokens: int
) -> None:
    result = await answer(make_engine(hello), stop=stop)
    assert (result.text, result.finish_reason) == (text, "stop")
    assert result.usage.completion_tokens == tokens


async def test_max_tokens_and_a_full_context_end_with_length(make_engine: MakeEngine, endless: Path) -> None:
    limited = await answer(make_engine(endless), max_tokens=7)
    assert (limited.usage.completion_tokens, limited.finish_reason) == (7, "length")
    full = await answer(make_engine(endless, n_ctx=64), max_tokens=None)
    assert full.finish_reason == "length"
    # The last token is shown though there is no room left to compute what would follow it.
    assert (full.usage.prompt_tokens or 0) + (full.usage.completion_tokens or 0) == 64 + 1


async def test_same_seed_same_text_other_seed_other_text(make_engine: MakeEngine, tiny: Path) -> None:
    engine, other = make_engine(tiny), make_engine(tiny)
    drawn: dict[str, Any] = {"temperature": 0.9, "max_tokens": 120}
    first = await answer(engine, seed=5, **drawn)
    await answer(engine, LONG, seed=1, **drawn)
    again = await answer(engine, seed=5, **drawn)
    elsewhere = await answer(other, seed=5, **drawn)
    assert first.text == again.text == elsewhere.text
    assert (await answer(engine, seed=6, **drawn)).text != first.text


async def test_without_a_seed_texts_differ_and_the_seed_used_repeats_one(make_engine: MakeEngine, tiny: Path) -> None:
    engine = make_engine(tiny)
    one = await answer(engine, temperature=1.0, max_tokens=60)
    two = await answer(engine, temperature=1.0, max_tokens=60)
    assert one.text != two.text
    assert (await answer(make_engine(tiny), temperature=1.0, max_tokens=60, seed=one.settings["seed"])).text == one.text


async def test_a_repeat_penalty_changes_the_answer(make_engine: MakeEngine, tiny: Path) -> None:
    free = await answer(make_engine(tiny), max_tokens=40)
    held = await answer(make_engine(tiny), max_tokens=40, repeat_penalty=2.0)
    assert free.text != held.text


async def test_the_cache_is_used_and_changes_no_greedy_text(make_engine: MakeEngine, tiny: Path) -> None:
    warm = make_engine(tiny, n_batch=16)
    questions = [LONG, LONG + "what does it mean", LONG + "how many", LONG, "what", LONG + "what does it mean"]
    cached = []
    for question in questions:
        reused = await answer(warm, question, max_tokens=80)
        fresh = await answer(make_engine(tiny, n_batch=16), question, max_tokens=80)
        assert reused.text == fresh.text
        cached.append(reused.usage.cached_tokens or 0)
    assert cached[0] == 0
    assert cached[1] >= 64
    assert all(count % 16 == 0 for count in cached), "only whole chunks are the same to the last bit"


async def test_a_drawn_answer_reuses_the_longest_common_prefix(make_engine: MakeEngine, tiny: Path) -> None:
    engine = make_engine(tiny)
    await answer(engine, "what does it mean", temperature=0.8, max_tokens=5)
    again = await answer(engine, "what does it mean", temperature=0.8, max_tokens=5)
    assert again.usage.cached_tokens == (again.usage.prompt_tokens or 0) - 1


async def test_a_prompt_that_is_too_long_says_by_how_much_and_nothing_is_computed(
    make_engine: MakeEngine, hello: Path
) -> None:
    engine = make_engine(hello, n_ctx=64)
    recorder = await ask(engine, LONG)
    assert isinstance(recorder.end, Failed)
    problem = recorder.end.problem
    assert problem.code == PromptTooLong.code
    assert "too long by" in problem.what
    assert not recorder.of(Prefill)
    assert (await answer(engine)).text == HELLO_TEXT


async def test_a_prompt_of_many_megabytes_is_refused(make_engine: MakeEngine, hello: Path) -> None:
    engine = make_engine(hello)
    recorder = await ask(engine, "x" * 20_000_000)
    assert isinstance(recorder.end, Failed)
    assert recorder.end.problem.code == PromptTooLong.code
    assert (await answer(engine)).text == HELLO_TEXT


async def test_odd_prompts_are_answered(make_engine: MakeEngine, hello: Path) -> None:
    engine = make_engine(hello)
    for prompt in ("", " ", "\x00", "a\ud800b", "😀" * 50, "<|eot_id|>", "{{ 7 * 7 }}"):
        assert (await answer(engine, prompt)).text == HELLO_TEXT


async def test_a_token_longer_than_the_buffer_is_shown_whole(make_engine: MakeEngine, models: Path) -> None:
    pieces = (b" short", b" " + b"long" * 200, b" end")
    result = await answer(make_engine(write_script(models / "long_piece.gguf", pieces)))
    assert result.text == b"".join(pieces).decode()


async def test_cancelled_in_prefill_stops_there_and_the_cache_stays_right(make_engine: MakeEngine, slow: Path) -> None:
    engine = make_engine(slow, n_ctx=8192)
    prompt = " the" * 6000
    recorder = Recorder()
    task = asyncio.create_task(engine.run(request(prompt, max_tokens=3), recorder))
    await recorder.until(lambda: any(prefill.done >= 256 for prefill in recorder.of(Prefill)))
    pid = engine.worker_pid
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance(recorder.end, Cancelled)
    assert recorder.of(Prefill)[-1].done < 6000
    short = " the" * 400
    reused = await answer(engine, short, max_tokens=12)
    assert engine.worker_pid == pid, "the worker stopped by itself and was not killed"
    assert reused.usage.cached_tokens
    assert reused.text == (await answer(make_engine(slow), short, max_tokens=12)).text


async def test_cancelled_at_random_points_the_next_answer_is_whole(make_engine: MakeEngine, endless: Path) -> None:
    engine = make_engine(endless)
    expected = "".join(SPELLED[i % 5].decode() for i in range(50))
    rng = random.Random(3)
    pids = set()
    for _ in range(12):
        recorder = Recorder()
        task = asyncio.create_task(engine.run(request(max_tokens=None), recorder))
        await recorder.until(lambda: bool(recorder.of(Prefill)))  # noqa: B023 - awaited within this round
        await asyncio.sleep(rng.random() * 0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        end = recorder.end
        assert isinstance(end, Cancelled)
        assert end.result.usage.completion_tokens == sum(delta.n_tokens or 0 for delta in recorder.of(Delta))
        assert (await answer(engine, max_tokens=50)).text == expected
        pids.add(engine.worker_pid)
    assert len(pids) == 1


async def test_cancelled_while_loading(make_engine: MakeEngine, slow: Path) -> None:
    engine = make_engine(slow)
    recorder = Recorder()
    task = asyncio.create_task(engine.run(request(max_tokens=2), recorder))
    await recorder.until(lambda: len(recorder.events) >= 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance(recorder.end, Cancelled)
    assert (await answer(engine, max_tokens=2)).complete


def test_tokens_that_were_decoded_one_by_one_are_not_exact(tiny: Path) -> None:
    greedy = Sampling(max_tokens=60, temperature=0.0, seed=0)
    with session_here(tiny, n_batch=16) as (session, _abort):
        prompt = session.tokenize(LONG, add_special=True)
        session.run(prompt, greedy, exact=True, on_prefill=ignore, on_text=ignore)
        more = [*session.held, *prompt]
        whole = len(prompt) // 16 * 16
        exact = session.run(more, greedy, exact=True, on_prefill=ignore, on_text=ignore)
        assert exact.usage.cached_tokens == whole
    with session_here(tiny, n_batch=16) as (session, _abort):
        session.run(prompt, greedy, exact=True, on_prefill=ignore, on_text=ignore)
        more = [*session.held, *prompt]
        drawn = session.run(more, greedy, exact=False, on_prefill=ignore, on_text=ignore)
        assert drawn.usage.cached_tokens == len(prompt) + 59


def test_the_abort_flag_stops_llama_cpp_inside_a_chunk(slow: Path) -> None:
    """The flag is read by native code, and the cache drops the chunk it broke."""
    with session_here(slow, n_batch=512, n_ctx=1024) as (session, abort):
        _abort_inside_a_chunk(session, abort)


def _abort_inside_a_chunk(session: Session, abort: AbortFlag) -> None:
    prompt = session.tokenize(" the" * 700, add_special=True)
    done: list[int] = []

    def stop_after_first_chunk(count: int, _total: int) -> None:
        done.append(count)
        if count:
            abort.set()

    greedy = Sampling(max_tokens=5, temperature=0.0, seed=0)
    outcome = session.run(prompt, greedy, exact=True, on_prefill=stop_after_first_chunk, on_text=ignore)
    assert outcome.ending == "cancelled"
    assert done == [0, 512]
    abort.clear()
    texts: list[str] = []
    again = session.run(
        prompt, greedy, exact=True, on_prefill=lambda *_: None, on_text=lambda text, _stamps: texts.append(text)
    )
    assert (again.ending, again.usage.cached_tokens) == ("length", 512)


def test_script_pieces_are_what_they_seem() -> None:
    assert b"".join(HELLO).decode() == HELLO_TEXT
