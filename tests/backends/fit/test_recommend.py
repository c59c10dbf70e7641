"""Which three are taken among made-up candidates, and the sentences that say why. No catalogue is ranked here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backends.devices.records import Device
from backends.fit.quality_order import Standing
from backends.fit.recommend import Candidate, Picks, choose, headline, reason_for, speed_words
from backends.fit.records import Choice, Fit, Part, Speed, Verdict

GIB = 2**30
CARD = Device("NVIDIA GeForce RTX 4090", "gpu", total_bytes=24 * GIB, free_bytes=22 * GIB)
CPU = Device("A CPU", "cpu", total_bytes=64 * GIB, free_bytes=48 * GIB)


def candidate(
    ref: str,
    quality: float,
    tok_s: float | None,
    verdict: Verdict = "gpu",
    *,
    in_context: bool = True,
    installed: bool = False,
    demoted: bool = False,
    size: int = 1,
) -> Candidate:
    """`quality`: the less, the better, as in an order of quality."""
    gpu_layers = {"gpu": 33, "split": 20, "ram": 0, "no": 0}[verdict]
    gpus = (Part(CARD, gpu_layers, 8 * GIB, GIB, GIB // 2, GIB // 2),) if gpu_layers else ()
    host = Part(CPU, 33 - gpu_layers, 9 * GIB, 0, 0, 0)
    fit = Fit(verdict, 33, gpu_layers, 8192, "f16", gpus, host, missing_bytes=3 * GIB if verdict == "no" else 0)
    speed = None if tok_s is None else Speed(0.75 * tok_s, 1.25 * tok_s, "estimate")
    return Candidate(ref, Standing((quality, size), demoted), fit, speed, in_context, installed)


def refs(picks: Picks) -> tuple[str | None, str | None, str | None]:
    best, faster, better = (None if each is None else each.ref for each in (picks.best, picks.faster, picks.better))
    return best, faster, better


def test_the_best_that_fits_and_is_quick_enough_a_faster_one_and_a_better_one() -> None:
    picks = choose(
        [
            candidate("tiny", 5, 300.0),
            candidate("small", 4, 150.0),
            candidate("near", 3, 120.0),
            candidate("good", 2, 90.0),
            candidate("slow", 1, 4.0, "split"),
            candidate("endless", 0, 0.5, "split"),
            candidate("huge", 0, None, "no"),
        ]
    )
    assert refs(picks) == ("good", "small", "slow")
    assert [picks.rank_of(ref) for ref in ("good", "small", "slow", "tiny")] == [1, 2, 3, None]


def test_ten_tokens_a_second_by_the_middle_of_the_range() -> None:
    assert refs(choose([candidate("a", 1, 10.0), candidate("b", 2, 40.0)])) == ("a", "b", None)
    assert refs(choose([candidate("a", 1, 9.9), candidate("b", 2, 40.0)])) == ("b", None, "a")


def test_partly_on_the_cpu_is_never_recommended_while_something_fits_wholly() -> None:
    assert refs(choose([candidate("split", 1, 30.0, "split"), candidate("whole", 2, 30.0)])) == ("whole", None, "split")


@pytest.mark.parametrize("verdict", ["ram", "split"])
def test_where_nothing_fits_on_a_gpu_the_cpu_may_help(verdict: Verdict) -> None:
    assert refs(choose([candidate("a", 1, 12.0, verdict), candidate("b", 2, 30.0, "ram")])) == ("a", "b", None)


def test_a_gpu_that_is_too_slow_for_anything_leaves_the_cpu() -> None:
    assert refs(choose([candidate("a", 1, 5.0), candidate("b", 2, 15.0, "ram")])) == ("b", None, "a")


def test_an_unknown_speed_will_do_on_a_gpu_and_nowhere_else() -> None:
    assert refs(choose([candidate("a", 1, None), candidate("b", 2, None)])) == ("a", None, None)
    assert refs(choose([candidate("a", 1, None, "ram"), candidate("b", 2, None, "ram")])) == (None, None, None)


def test_where_nothing_is_quick_enough_nothing_is_recommended() -> None:
    picks = choose([candidate("a", 1, 3.0, "ram"), candidate("b", 2, 8.0, "ram"), candidate("c", 0, 1.0, "ram")])
    assert refs(picks) == (None, "b", "a")
    assert refs(choose([])) == refs(choose([candidate("a", 1, None, "no")])) == (None, None, None)


def test_a_model_of_too_short_a_context_takes_no_rank() -> None:
    picks = choose([candidate("short", 1, 90.0, in_context=False), candidate("long", 2, 90.0)])
    assert refs(picks) == ("long", None, None)
    assert reason_for(candidate("short", 1, 90.0, in_context=False), picks) == (
        "Its context ends at 8,192 tokens, less than is wanted."
    )


def test_among_equals_the_one_on_this_disk_then_the_smallest() -> None:
    large, small = candidate("large", 1, 60.0, size=2), candidate("small", 1, 90.0, size=1)
    assert refs(choose([large, small])) == ("small", None, None)
    assert refs(choose([replace(large, installed=True), small]))[0] == "large"


def test_faster_is_never_a_wreck_of_a_quant() -> None:
    assert refs(choose([candidate("a", 1, 60.0), candidate("b", 2, 200.0, demoted=True)])) == ("a", None, None)


# -- words ---------------------------------------------------------------------------------------------------------


def test_each_reason_is_one_sentence_with_its_figures() -> None:
    good, quick, slow = (
        candidate("good", 2, 80.0),
        candidate("q", 3, 160.0),
        candidate("s", 1, 4.0, "split"),
    )
    other = candidate("o", 4, 100.0)
    picks = choose([good, quick, slow, other])
    assert reason_for(good, picks) == (
        "Best quality that fits wholly on NVIDIA GeForce RTX 4090 at 10 tok/s or more: takes 10.0 of 22.0 GiB free, "
        "about 60 to 100 tok/s."
    )
    assert reason_for(quick, picks) == ("Faster: about 120 to 200 tok/s instead of 60 to 100, at lower quality.")
    assert reason_for(slow, picks) == "Better answers, but 13 of 33 layers run on the CPU, about 3.0 to 5.0 tok/s."
    assert reason_for(other, picks) == (
        "Fits wholly on NVIDIA GeForce RTX 4090: takes 10.0 of 22.0 GiB free, about 75 to 125 tok/s."
    )
    assert reason_for(candidate("n", 0, None, "no"), picks) == "Does not fit: 3.0 GiB of memory are missing."


def test_reasons_where_less_is_known() -> None:
    blind = candidate("a", 1, None)
    assert reason_for(blind, choose([blind])) == (
        "Best quality that fits wholly on NVIDIA GeForce RTX 4090: takes 10.0 of 22.0 GiB free, "
        "at a speed that is not known."
    )
    ram = candidate("r", 1, 12.0, "ram")
    assert reason_for(ram, choose([ram])) == (
        "Best quality that fits in this machine's memory at 10 tok/s or more: takes 9.0 of 48.0 GiB free, "
        "about 9.0 to 15 tok/s."
    )
    two = replace(blind, fit=replace(blind.fit, gpus=blind.fit.gpus * 2))
    assert "wholly on 2 GPUs: takes 20.0 of 44.0 GiB free" in reason_for(two, choose([two]))
    slow = candidate("s", 1, 4.0, "ram")
    assert reason_for(slow, choose([slow])) == (
        "Nothing that fits is likely to reach 10 tok/s; this is the fastest, about 3.0 to 5.0 tok/s."
    )


def test_own_runs_are_called_so() -> None:
    assert speed_words(Speed(110.2, 120.4, "own_runs", 3)) == "110 to 120 tok/s in your own runs"
    assert speed_words(Speed(9.0, 11.0, "own_runs", 1)) == "9.0 to 11 tok/s in your own run"


def choice(each: Candidate, picks: Picks) -> Choice:
    reason = reason_for(each, picks)
    return Choice(each.ref, "m", "Llama", "Q4_K_M", 1, each.fit, each.speed, None, picks.rank_of(each.ref), reason)


@pytest.mark.parametrize(
    ("candidates", "begins"),
    [
        ([candidate("a", 1, 80.0)], "On this machine take Llama Q4_K_M (a). Best quality that fits wholly"),
        (
            [candidate("a", 1, 4.0, "ram")],
            "On this machine nothing is recommended. Nothing that fits is likely to reach 10 tok/s;",
        ),
        (
            [candidate("a", 1, None, "ram")],
            "On this machine nothing is recommended: what fits runs on the CPU, at a speed",
        ),
        (
            [candidate("a", 1, None, "no")],
            "On this machine nothing of the catalogue fits in the memory that is free now.",
        ),
    ],
)
def test_the_first_sentence_is_plain_and_honest(candidates: list[Candidate], begins: str) -> None:
    picks = choose(candidates)
    assert headline([choice(each, picks) for each in candidates]).startswith(begins)
