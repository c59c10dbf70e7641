"""Results as JSON and back: nothing changes on the way, and damage costs one field at most."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from decimal import Decimal
from types import MappingProxyType
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backends.errors import Problem
from backends.history.codec import (
    BLANK_RESULT,
    from_text,
    problem_from_json,
    prompt_from_json,
    result_as_json,
    result_from_json,
    sampling_from_json,
    to_text,
)
from backends.records import Cost, CostBasis, Message, Prompt, RunResult, Sampling, Usage, frozen_map

words = st.text(max_size=30)
finite = st.floats(allow_nan=False, allow_infinity=False)
counts = st.none() | st.integers(min_value=0, max_value=2**53)
asked = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | words,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple) | st.dictionaries(words, inner, max_size=3).map(MappingProxyType)
    ),
    max_leaves=6,
)
costs = st.builds(
    Cost,
    usd=st.none() | st.decimals(allow_nan=False, allow_infinity=False),
    basis=st.sampled_from(get_args(CostBasis)),
    price_as_of=st.none() | words,
    formula=st.none() | words,
    source=st.none() | words,
)
results = st.builds(
    RunResult,
    **dict.fromkeys(("run_id", "target", "model", "provider", "text", "reasoning_text", "app_version"), words),
    **{name: st.none() | words for name in ("finish_reason", "device", "quant", "engine_build")},
    **{
        name: st.none() | finite
        for name in ("ttft_ms", "ttfr_ms", "decode_tok_s", "answer_tok_s", "chars_s", "e2e_ms", "load_ms", "energy_j")
    },
    complete=st.booleans(),
    gpu_layers=counts,
    usage=st.builds(Usage, counts, counts, counts, counts, counts, st.none() | words),
    cost=costs,
    engine_timings=st.dictionaries(words, finite | st.integers(), max_size=4).map(frozen_map),
    settings=st.dictionaries(words, asked, max_size=4).map(MappingProxyType),
)


@given(results)
@hypothesis_settings(deadline=None)
def test_a_result_comes_back_equal_and_of_the_same_types(result: RunResult) -> None:
    back = result_from_json(from_text(to_text(result)))
    assert back == result
    assert type(back.cost.usd) is type(result.cost.usd)
    assert str(back.cost.usd) == str(result.cost.usd)
    for name, value in result.engine_timings.items():
        assert type(back.engine_timings[name]) is type(value)


def test_every_field_of_a_result_is_stored() -> None:
    assert set(result_as_json(BLANK_RESULT)) == {each.name for each in fields(RunResult)}


@given(st.builds(Sampling, max_tokens=counts, temperature=finite, seed=counts, stop=st.lists(words).map(tuple)))
@hypothesis_settings(deadline=None)
def test_sampling_comes_back_equal(sampling: Sampling) -> None:
    assert sampling_from_json(from_text(to_text(sampling))) == sampling


def test_prompts_and_problems_come_back_equal() -> None:
    prompt = Prompt((Message("system", "s"), Message("user", "q"), Message("assistant", "a"), Message("user", "?\0")))
    assert prompt_from_json(from_text(to_text(prompt.messages)), "x", None) == prompt
    assert prompt_from_json([{"role": "wizard", "text": "x"}], "q", "s") == Prompt.ask("q", "s")
    problem = Problem("stalled", "It stopped.", "Text is kept.", "Press Retry.")
    assert problem_from_json(from_text(to_text(problem))) == problem
    assert problem_from_json(None) is None


@given(
    st.sampled_from([each.name for each in fields(RunResult)]), st.sampled_from([[], {}, "x", -1.5, True, None, [1]])
)
@hypothesis_settings(deadline=None)
def test_a_damaged_field_costs_that_field_alone(name: str, value: object) -> None:
    result = replace(BLANK_RESULT, text="kept", reasoning_text="kept", ttft_ms=1.0, e2e_ms=2.0, model="m", target="t")
    back = result_from_json({**result_as_json(result), name: value})
    for each in fields(RunResult):
        if each.name != name:
            assert getattr(back, each.name) == getattr(result, each.name)


def test_newer_and_missing_fields_hide_nothing() -> None:
    back = result_from_json({"text": "kept", "hologram": 1, "cost": {"usd": "1.5", "basis": "barter"}})
    assert back == replace(BLANK_RESULT, text="kept")
    assert back.cost.usd is None, "a price on an unknown basis must not pass for a known one"


@pytest.mark.parametrize("stored", [None, [], "text", 3, {"usage": []}])
def test_anything_reads_as_some_result(stored: object) -> None:
    assert result_from_json(stored) == BLANK_RESULT
    assert sampling_from_json(stored) == Sampling()


@pytest.mark.parametrize("text", [None, b"", "", "{", "[" * 100_000, 3])
def test_what_is_no_json_is_none(text: object) -> None:
    assert from_text(text) is None


def test_what_is_not_finite_is_unknown_and_still_json() -> None:
    result = replace(
        BLANK_RESULT, ttft_ms=math.nan, e2e_ms=math.inf, engine_timings=frozen_map({"a": math.inf, "b": 2})
    )
    text = to_text(result)
    assert "NaN" not in text
    assert "Infinity" not in text
    back = result_from_json(json.loads(text))
    assert (back.ttft_ms, back.e2e_ms) == (None, None)
    assert dict(result_from_json(result_as_json(result)).engine_timings) == {"b": 2}


def test_money_keeps_its_digits() -> None:
    result = replace(BLANK_RESULT, cost=Cost(Decimal("0.0000012500"), "api_price"))
    assert '"usd":"0.0000012500"' in to_text(result)
