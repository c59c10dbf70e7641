from __future__ import annotations

from decimal import Decimal

import pytest

from backends.records import Cost, CostBasis, Usage
from tests.widgets import samples
from widgets import figures
from widgets.lane_state import LaneState

MS = samples.MS


def live_state(*, counted: bool, tok_s: float = 100) -> LaneState:
    state = LaneState()
    for event in samples.opening("openai:gpt-4o", 0):
        state.take(event)
    for delta in samples.deltas("word " * 60, 0, ttft_ms=200, tok_s=tok_s, counted=counted):
        state.take(delta)
    return state


def test_before_a_run_no_figure_is_shown_as_zero() -> None:
    assert {cell.value for cell in figures.blank().cells()} == {"–"}
    assert not any(cell.known for cell in figures.blank().cells())


def test_counted_live_figures_carry_no_tilde() -> None:
    shown = figures.live(live_state(counted=True), 1200 * MS)
    assert shown.ttft.value == "200 ms"
    assert float(shown.speed.value) == pytest.approx(100, rel=0.1)
    assert shown.tokens.value == "60"
    assert shown.time.value == "1.2 s"
    assert shown.cost.value == "…"


def test_estimated_live_figures_carry_a_tilde_and_say_so() -> None:
    shown = figures.live(live_state(counted=False), 1200 * MS)
    assert shown.speed.value.startswith("~")
    assert shown.tokens.value.startswith("~")
    assert "estimate" in shown.tokens.tip
    assert not shown.ttft.value.startswith("~")


def test_final_figures_drop_the_tilde() -> None:
    shown = figures.final(samples.cloud_result())
    assert not any(cell.value.startswith("~") for cell in shown.cells())
    assert [cell.value for cell in shown.cells()] == ["612 ms", "82.4", "212", "3.17 s", "$0.0022"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"usage": Usage(34, 9)}, "fewer than 16 tokens"),
        ({"usage": Usage()}, "token count was not reported"),
        ({"text": ""}, "no visible text"),
        ({}, "one piece"),
    ],
)
def test_a_missing_speed_says_why(changes: dict[str, object], why: str) -> None:
    cell = figures.final(samples.cloud_result(decode_tok_s=None, **changes)).speed
    assert (cell.value, cell.known) == ("n/a", False)
    assert why in cell.tip


@pytest.mark.parametrize(
    ("basis", "value", "note"),
    [
        ("not_measured", "not measured", "electricity is not measured"),
        ("unknown_price", "unknown", "No price is known"),
        ("usage_missing", "unknown", "no token counts"),
    ],
)
def test_an_unknown_cost_is_never_a_sum(basis: CostBasis, value: str, note: str) -> None:
    shown = figures.final(samples.result(cost=Cost(None, basis)))
    assert shown.cost.value == value
    assert not shown.cost.known
    assert note in shown.note
    assert "$" not in shown.cost.value


def test_practice_cost_is_marked_as_what_gpt4o_would_have_charged() -> None:
    shown = figures.final(samples.practice_result())
    assert shown.cost.caption == "would cost"
    assert "Nothing was paid" in shown.cost.tip
    assert "GPT-4o's price" in shown.note
    assert "1 October 2026" in shown.cost.tip


def test_tooltips_carry_formula_and_date() -> None:
    shown = figures.final(samples.cloud_result())
    assert "÷" in shown.speed.tip
    assert "$2.50" in shown.cost.tip
    assert "1 October 2026" in shown.cost.tip
    assert shown.note == "At the price of 1 October 2026."


def test_tokens_say_what_they_hold() -> None:
    tip = figures.final(samples.cloud_result(usage=Usage(34, 212, 12, 60))).tokens.tip
    assert "212 tokens, of which 60 reasoning" in tip
    assert "34 tokens, of which 12 cached" in tip


def test_load_time_is_told_apart() -> None:
    shown = figures.final(samples.local_result())
    assert shown.time.value == "1.74 s"
    assert "1.24 s before that" in shown.time.tip


def test_free_is_zero_and_not_unknown() -> None:
    assert figures.final(samples.cloud_result(cost=Cost(Decimal(0), "api_price"))).cost.value == "$0"
