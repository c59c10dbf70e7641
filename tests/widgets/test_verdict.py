from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from backends.records import Cost
from tests.widgets import samples
from widgets.verdict import Outcome, sentence

LOCAL = Outcome("Llama", "done", samples.local_result())
PRACTICE = Outcome("Practice", "done", samples.practice_result())
CLOUD = Outcome("GPT-4o", "done", samples.cloud_result())
MINI = Outcome("GPT-4.1 mini", "done", samples.cloud_result(cost=Cost(Decimal("0.0004"), "api_price")))


def with_result(outcome: Outcome, **changes: object) -> Outcome:
    assert outcome.result is not None
    return replace(outcome, result=replace(outcome.result, **changes))  # type: ignore[arg-type]  # as in samples


def test_nothing_is_said_before_anything_ended() -> None:
    assert sentence([]) == ""
    assert sentence([Outcome("A", "idle"), Outcome("B", "answering")]) == ""


def test_two_lanes_led_by_the_same_one() -> None:
    assert sentence([LOCAL, PRACTICE]) == (
        "Practice began to answer 3.1 times sooner than Llama (TTFT 40 ms against 124 ms) "
        "and wrote faster: 410 against 131 tok/s. Nothing was paid to a provider."
    )


def test_two_lanes_led_by_different_ones() -> None:
    said = sentence([with_result(LOCAL, ttft_ms=900.0), CLOUD])
    assert said == (
        "GPT-4o began to answer 1.5 times sooner than Llama (TTFT 612 ms against 900 ms). "
        "Llama wrote faster: 131 against 82.4 tok/s. GPT-4o cost $0.0022. The cost of Llama is not measured."
    )


def test_cheaper_is_said_only_of_two_known_prices() -> None:
    assert "GPT-4.1 mini was cheaper than GPT-4o: $0.0004 against $0.0022." in sentence([CLOUD, MINI])
    for others in ([LOCAL, CLOUD], [PRACTICE, CLOUD], [LOCAL, PRACTICE]):
        assert "cheap" not in sentence(others)
    unknown = with_result(CLOUD, cost=Cost(None, "unknown_price"))
    said = sentence([unknown, MINI])
    assert "cheap" not in said
    assert "The cost of GPT-4o is unknown." in said


def test_nothing_was_paid_is_not_claimed_where_it_is_not_known() -> None:
    broken = Outcome("GPT-4o", "failed", samples.cloud_result(cost=Cost(None, "usage_missing"), text=""))
    assert "Nothing was paid" not in sentence([LOCAL, broken])
    charged = Outcome("GPT-4o", "failed", samples.cloud_result())
    assert "GPT-4o cost $0.0022." in sentence([LOCAL, charged])


def test_only_figures_that_exist_are_compared() -> None:
    silent = with_result(CLOUD, ttft_ms=None, decode_tok_s=None)
    said = sentence([LOCAL, silent])
    assert said.startswith("Llama began to answer after 124 ms and wrote 131 tok/s.")
    assert "None" not in said
    assert "n/a" not in said


def test_equal_is_called_equal() -> None:
    said = sentence([LOCAL, with_result(LOCAL, ttft_ms=126.0, decode_tok_s=131.5)])
    assert "Both began to answer about equally soon (TTFT 124 ms and 126 ms)" in said
    assert "wrote about equally fast: 132 and 131 tok/s" in said


def test_lanes_with_the_same_target_are_told_apart() -> None:
    said = sentence([LOCAL, with_result(LOCAL, ttft_ms=500.0)])
    assert "Llama (lane 1) began to answer 4.0 times sooner than Llama (lane 2)" in said


def test_broken_lanes_are_named_and_not_compared() -> None:
    said = sentence([LOCAL, Outcome("GPT-4o", "failed"), Outcome("Mini", "stopped"), Outcome("X", "incomplete")])
    assert "times sooner" not in said
    assert said.endswith("GPT-4o failed, Mini was stopped and X gave an incomplete answer, and they are not compared.")
    assert sentence([Outcome("GPT-4o", "failed")]) == "GPT-4o failed."
    assert sentence([LOCAL, Outcome("GPT-4o", "stopped")]).endswith("GPT-4o was stopped and is not compared.")


def test_four_lanes_and_a_race() -> None:
    said = sentence([LOCAL, PRACTICE, CLOUD, with_result(MINI, ttft_ms=700.0)], "race")
    assert "Practice began to answer first (TTFT 40 ms; Llama 124 ms, GPT-4o 612 ms, GPT-4.1 mini 700 ms)" in said
    assert "and wrote fastest: 410 tok/s (Llama 131, GPT-4o 82.4, GPT-4.1 mini 82.4)." in said
    assert said.endswith("They ran at the same time and competed for this machine.")


def test_one_lane_alone() -> None:
    assert sentence([PRACTICE]) == (
        "Practice began to answer after 40 ms and wrote 410 tok/s. Nothing was paid to a provider."
    )
