"""What the KV cache gives to the next turn, to an edit, and to a conversation that comes back. Real llama.cpp."""

from __future__ import annotations

import asyncio
import ctypes
from dataclasses import replace
from pathlib import Path

import pytest

from backends.local.decode import Session
from backends.local.kept_states import LEAST_TOKENS, KeptStates, common, spare_bytes
from backends.records import Message, Prompt
from tests.backends.local.conftest import MakeEngine
from tests.backends.local.driver import answer
from tests.backends.local.in_process import GREEDY, said, session_here

BATCH = 16
LAMB = "the model and the cloud are what you run "
LION = "how many tok does that mean for you "


def prompt_of(session: Session, text: str, n_tokens: int) -> list[int]:
    """A prompt of so many tokens that begins like no other."""
    return session.tokenize(text * n_tokens, add_special=True)[:n_tokens]


def fresh(path: Path, prompt: list[int]) -> str:
    with session_here(path, n_batch=BATCH) as (session, _abort):
        return said(session, prompt)[0]


def test_a_conversation_that_comes_back_is_not_read_again(tiny: Path) -> None:
    with session_here(tiny, n_batch=BATCH) as (session, _abort):
        lamb, lion = prompt_of(session, LAMB, 400), prompt_of(session, LION, 300)
        said(session, lamb)
        session.rest()
        assert said(session, lion)[1].usage.cached_tokens in range(BATCH)
        turn = [*lamb, *lion[:50]]
        text, outcome = said(session, turn)
        assert outcome.usage.cached_tokens == 400
        back = said(session, [*lion, *lamb[:50]])[1]
        assert back.usage.cached_tokens in range(BATCH), "it was given up before it could be kept"
    assert text == fresh(tiny, turn)


def test_without_a_rest_nothing_is_copied_within_a_run(tiny: Path) -> None:
    with session_here(tiny, n_batch=BATCH) as (session, _abort):
        lamb, lion = prompt_of(session, LAMB, 400), prompt_of(session, LION, 300)
        said(session, lamb)
        said(session, lion)
        assert said(session, lamb)[1].usage.cached_tokens in range(BATCH)


def test_a_drawn_turn_takes_over_the_answer_too(tiny: Path) -> None:
    drawn = replace(GREEDY, temperature=0.7, seed=3)
    with session_here(tiny, n_batch=BATCH) as (session, _abort):
        lamb, lion = prompt_of(session, LAMB, 300), prompt_of(session, LION, 300)
        said(session, lamb, exact=False, sampling=drawn)
        first = list(session.held)
        session.rest()
        said(session, lion, exact=False, sampling=drawn)
        again = said(session, [*first, *lion[:20]], exact=False, sampling=drawn)[1]
        assert again.usage.cached_tokens == len(first) > 300


def test_an_edit_of_an_earlier_turn_reuses_what_stands_before_it(tiny: Path) -> None:
    with session_here(tiny, n_batch=BATCH) as (session, _abort):
        whole = prompt_of(session, LAMB, 600)
        other = next(token for token in whole if token != whole[350])
        edited = [*whole[:350], other, *whole[351:]]
        said(session, whole)
        text, outcome = said(session, edited)
        assert outcome.usage.cached_tokens == 350 // BATCH * BATCH
        drawn = said(session, [*edited[:500], other, other], exact=False)[1]
        assert drawn.usage.cached_tokens == common(edited, [*edited[:500], other, other], 600)
    assert text == fresh(tiny, edited)


def test_the_state_at_hand_is_better_than_a_kept_one_that_saves_little(tiny: Path) -> None:
    with session_here(tiny, n_batch=BATCH) as (session, _abort):
        lamb = prompt_of(session, LAMB, 400)
        said(session, lamb)
        session.rest()
        # The cache gives up less than a copy is worth.
        shorter = lamb[: 400 - LEAST_TOKENS // 2]
        assert said(session, [*shorter, *lamb[:5]])[1].usage.cached_tokens == len(shorter) // BATCH * BATCH
        assert said(session, lamb)[1].usage.cached_tokens == len(shorter) // BATCH * BATCH


def test_a_state_that_llama_cpp_refuses_costs_time_and_no_more(tiny: Path) -> None:
    with session_here(tiny, n_batch=BATCH) as (session, _abort):
        lamb, lion = prompt_of(session, LAMB, 400), prompt_of(session, LION, 300)
        said(session, lamb)
        session.rest()
        (kept,) = session.kept_states._kept
        ctypes.memset(kept.state, 0xFF, kept.size_bytes)
        said(session, lion)
        text, outcome = said(session, lamb)
        assert outcome.usage.cached_tokens == 0
    assert text == fresh(tiny, lamb)


def test_states_stay_within_their_bound_and_the_oldest_goes_first(tiny: Path) -> None:
    with session_here(tiny, n_batch=BATCH) as (session, _abort):
        api, context = session.model.api, session.model.context
        prompts = [prompt_of(session, text, 300) for text in (LAMB, LION, LAMB[4:], LION[4:])]
        said(session, prompts[0])
        size = api.llama_state_seq_get_size(context, 0)
        free = int(size * 2.5)
        states = KeptStates(api, context, lambda: free)
        for number, prompt in enumerate(prompts):
            said(session, prompt)
            assert states.keep(session.held, 288)
            free = max(0, free - size)  # what is kept is no longer free
            assert len(states) == min(number + 1, 2)
        assert states.best(prompts[0], exact=False)[1] < 20
        assert states.best(prompts[3], exact=False)[1] == 299
        nowhere = KeptStates(api, context, lambda: size - 1)
        assert not nowhere.keep(session.held, 288)


@pytest.mark.parametrize(
    ("limit", "used", "spare"), [("1000000000", "200000000", 100_000_000), ("1000", "2000", 0), ("max", "5", None)]
)
def test_a_container_with_little_memory_left_keeps_little(
    tmp_path: Path, limit: str, used: str, spare: int | None
) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{used}\n")
    found = spare_bytes(tmp_path)
    assert found == spare if spare is not None else found > 100_000_000


def test_a_longer_state_takes_the_place_of_its_beginning(tiny: Path) -> None:
    with session_here(tiny, n_batch=BATCH) as (session, _abort):
        lamb = prompt_of(session, LAMB, 500)
        said(session, lamb[:300])
        session.rest()
        said(session, lamb)
        session.rest()
        assert len(session.kept_states) == 1
        assert session.kept_states.best(lamb, exact=True)[1] == 496
        said(session, lamb[:40])
        session.rest()
        assert len(session.kept_states) == 1, "too short to be worth a copy"


async def test_a_worker_that_rests_keeps_the_conversation(make_engine: MakeEngine, tiny: Path) -> None:
    first = Prompt((Message("user", LAMB * 40),))
    engine = make_engine(tiny, n_batch=BATCH)
    cached = 0
    for pause_s in (1.5, 3.0, 6.0):  # the second is for a machine that has no time for the worker
        reply = (await answer(engine, first, max_tokens=20)).text
        await asyncio.sleep(pause_s)
        await answer(engine, LION * 40, max_tokens=5)
        second = Prompt((*first.messages, Message("assistant", reply), Message("user", "how many")))
        turn = await answer(engine, second, max_tokens=20)
        if cached := turn.usage.cached_tokens or 0:
            break
    assert cached >= 256
    assert turn.text == (await answer(make_engine(tiny, n_batch=BATCH), second, max_tokens=20)).text
