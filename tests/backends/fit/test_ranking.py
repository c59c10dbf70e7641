"""The ranking of the whole catalogue: rows and their order, what quality means, what was learned, what is on disk."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backends.devices.records import Machine
from backends.errors import Problem
from backends.fit import ranking
from backends.fit.learned import Learned, seen_load, seen_run
from backends.fit.placement import place, seen_by_engine
from backends.fit.quality_order import QualityOrder, Standing
from backends.fit.ranking import facts_of, fit_of, rank, speed_of
from backends.fit.recommend import headline, speed_words
from backends.fit.records import Choice, Fit, FitSeen, Wish
from backends.fit.speed import speed
from backends.models.catalogue import catalogue, find
from backends.models.records import CatalogueModel, ModelFacts
from tests.backends.fit.machines import GIB, MIB, gpu, machine

CARD = gpu("RTX 4090", 23.0, 1008.0, total_gib=24.0)
DESKTOP = machine(64.0, CARD)
WISH = Wish()
Q4 = "llama-3.1-8b:Q4_K_M"


def by_ref(choices: tuple[Choice, ...]) -> dict[str, Choice]:
    return {choice.ref: choice for choice in choices}


def ranks(choices: tuple[Choice, ...]) -> dict[int, str]:
    return {choice.rank: choice.ref for choice in choices if choice.rank is not None}


# -- rows ----------------------------------------------------------------------------------------------------------


def test_every_quant_that_can_run_has_one_row_with_its_figures() -> None:
    choices = rank(catalogue(), DESKTOP, WISH)
    expected = {quant.ref for model in catalogue() if not model.not_runnable for quant in model.quants}
    assert sorted(expected) == sorted(choice.ref for choice in choices)
    model, quant = find(Q4)
    row = by_ref(choices)[Q4]
    assert (row.model_id, row.model, row.quant) == (model.id, model.name, "Q4_K_M")
    assert (row.file_bytes, row.quality) == (quant.size_bytes, quant.quality)
    assert row.fit == place(facts_of(model, quant), DESKTOP, WISH)
    assert row.speed == speed(row.fit, facts_of(model, quant), DESKTOP)


def test_what_does_not_fit_has_no_speed() -> None:
    for choice in rank(catalogue(), machine(4.0), WISH):
        assert (choice.speed is None) == (choice.fit.verdict == "no")


def test_ranked_ones_come_first_then_what_fits_by_quality() -> None:
    choices = rank(catalogue(), DESKTOP, WISH)
    assert [choice.rank for choice in choices[:4]] == [1, 2, 3, None]
    rest = choices[3:]
    verdicts = ["gpu" if each.fit.verdict == "gpu" else "no" if each.fit.verdict == "no" else "cpu" for each in rest]
    assert verdicts == sorted(verdicts, key=["gpu", "cpu", "no"].index)
    wholly = [choice.ref for choice in rest if choice.fit.verdict == "gpu" and choice.model_id == "llama-3.1-8b"]
    assert wholly[:3] == ["llama-3.1-8b:Q6_K", "llama-3.1-8b:Q5_K_M", "llama-3.1-8b:Q5_K_S"]


def test_a_model_of_too_short_a_context_stands_behind_the_others() -> None:
    wholly = [c for c in rank(catalogue(), DESKTOP, Wish(n_ctx=16_384)) if c.fit.verdict == "gpu"]
    assert [choice.model_id == "llama-3-8b" for choice in wholly] == sorted(c.model_id == "llama-3-8b" for c in wholly)


def test_where_no_model_was_trained_for_so_much_the_longest_will_do() -> None:
    choices = rank(catalogue(), machine(512.0, gpu("H200", 139.0, 4800.0)), Wish(n_ctx=1_000_000))
    assert choices[0].rank == 1
    assert choices[0].fit.n_ctx == 131_072


def test_nothing_to_rank() -> None:
    assert rank((), DESKTOP, WISH) == ()


def test_a_header_that_was_read_stands_in_for_the_rules() -> None:
    model, quant = find(Q4)
    facts = facts_of(model, quant)
    heavier = replace(facts, weights=replace(facts.weights, output_bytes=facts.weights.output_bytes + 2 * GIB))
    rows = by_ref(rank(catalogue(), DESKTOP, WISH, headers={Q4: replace(heavier, from_header=True)}))
    (part,), (plain,) = rows[Q4].fit.gpus, by_ref(rank(catalogue(), DESKTOP, WISH))[Q4].fit.gpus
    assert part.weights_bytes == plain.weights_bytes + 2 * GIB


# -- quick ---------------------------------------------------------------------------------------------------------


def test_a_slider_does_no_work_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors are laid out once for ever; models of one shape and quant, as 3.1 70B and 3.3 70B, are placed once."""
    rank(catalogue(), DESKTOP, WISH)
    known = ranking._facts.cache_info()
    placed = []

    def counted(facts: ModelFacts, machine: Machine, wish: Wish) -> Fit:
        placed.append(facts)
        return place(facts, machine, wish)

    monkeypatch.setattr(ranking, "place", counted)
    choices = rank(catalogue(), DESKTOP, Wish(n_ctx=9216))
    assert ranking._facts.cache_info().misses == known.misses
    assert len(placed) <= len(choices) - 16
    assert len({(facts.shape, facts.weights) for facts in placed}) == len(placed)


# -- quality -------------------------------------------------------------------------------------------------------


def standing(ref: str, models: tuple[CatalogueModel, ...] | None = None) -> Standing:
    model, quant = find(ref)
    return QualityOrder(models or catalogue()).standing(model, quant)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("llama-3.1-8b:Q6_K", "llama-3.1-8b:Q4_K_M"),  # KLD 0.005 and 0.028
        ("llama-3.1-8b:Q4_K_M", "llama-3.2-3b:Q8_0"),  # bigger at Q4 before smaller at Q8
        ("llama-3.3-70b:IQ3_XXS", "llama-3.1-8b:Q8_0"),  # perplexity 3.97 and 6.23
        ("llama-3.1-8b:Q8_0", "llama-3.3-70b:Q2_K"),  # but not below Q3
        ("llama-3.1-8b:IQ3_XS", "llama-3.3-70b:IQ2_M"),  # nor the last of the smaller one's
        ("llama-3.1-8b:Q3_K_M", "llama-3.2-3b:Q8_0"),
        ("llama-3.2-3b:Q4_K_M", "llama-3.1-8b:Q3_K_S"),  # a small model has less of a lead
        ("llama-3.2-3b:Q8_0", "llama-3.1-8b:Q2_K"),
        ("llama-3.2-1b:Q8_0", "llama-3.2-3b:Q2_K"),
        ("llama-3.1-405b:Q4_K_M", "llama-3.3-70b:Q8_0"),
        ("llama-3.3-70b:Q4_K_M", "llama-3.1-70b:Q4_K_M"),  # the newer at equal size and loss
        ("llama-3.1-70b:Q4_K_M", "llama-3-70b:Q4_K_M"),
        ("llama-3.1-8b:Q4_K_M", "llama-3-8b:Q4_K_M"),
        ("llama-3.1-70b:Q8_0", "llama-3.3-70b:Q4_K_M"),  # but not at any loss
        ("llama-3.3-70b:Q4_K_S", "llama-3.3-70b:Q4_0"),  # an old format; its loss is that of the 8B's
    ],
)
def test_which_answers_better(better: str, worse: str) -> None:
    assert standing(better).better_than(standing(worse))
    assert not standing(worse).better_than(standing(better))


@pytest.mark.parametrize("ref", ["llama-3.3-70b:F16", "llama-3.2-3b:F16", "llama-3.2-3b:BF16", "llama-3.1-8b:F32"])
def test_full_weights_are_no_better_than_q8_and_stand_behind_it(ref: str) -> None:
    q8 = standing(ref.rpartition(":")[0] + ":Q8_0")
    assert not standing(ref).better_than(q8)
    assert standing(ref).place > q8.place


def test_a_quant_that_nobody_measured_stands_by_its_bits() -> None:
    assert standing("llama-3.2-3b:Q5_K_M").better_than(standing("llama-3.2-3b:UD-Q4_K_XL"))
    assert standing("llama-3.2-3b:UD-Q4_K_XL").better_than(standing("llama-3.2-3b:Q3_K_M"))


def test_models_that_cannot_run_take_no_part_in_the_order() -> None:
    """11B Vision lies between 70B and 8B: 70B at Q2_K must not come to stand before 8B because of it."""
    runnable = tuple(model for model in catalogue() if not model.not_runnable)
    assert len(runnable) < len(catalogue())
    assert standing("llama-3.3-70b:Q2_K") == standing("llama-3.3-70b:Q2_K", runnable)


# -- what llama.cpp uses -------------------------------------------------------------------------------------------

A100 = "NVIDIA A100-SXM4-40GB MIG"
Q8 = "llama-3.1-8b:Q8_0"


def slices(visible: str | None) -> Machine:
    cut = [("3g.20gb", 19.5, 777.6), ("2g.10gb", 9.6, 388.8), ("1g.5gb", 4.7, 194.4)]
    gpus = [
        gpu(f"{A100} {name}", gib, gb_s, slice_of="GPU-A100", backend="CUDA0" if name == visible else None)
        for name, gib, gb_s in cut
    ]
    return replace(machine(64.0, *gpus), engine_known=True)


def test_only_the_slice_that_llama_cpp_sees_is_counted_on() -> None:
    rows = by_ref(rank(catalogue(), slices("1g.5gb"), WISH))
    assert {part.device.name for row in rows.values() for part in row.fit.gpus} == {f"{A100} 1g.5gb"}
    assert rows[Q8].fit.verdict == "split"
    assert rows[Q8].fit == fit_of(facts_of(*find(Q8)), seen_by_engine(slices("1g.5gb")), WISH), "as it will be loaded"
    assert by_ref(rank(catalogue(), slices("3g.20gb"), WISH))[Q8].fit.verdict == "gpu"


def test_where_llama_cpp_uses_no_gpu_every_reason_says_what_there_is_until_then() -> None:
    rows = rank(catalogue(), replace(DESKTOP, engine_known=True), WISH)
    assert ranks(rows) == ranks(rank(catalogue(), DESKTOP, WISH)), "what to build for is still worth knowing"
    for row in rows:
        counts_on_it = row.fit.verdict in ("gpu", "split")
        assert ("once llama.cpp is built for it; as built now: " in row.reason) == counts_on_it, row.reason
    on_cpu = by_ref(rank(catalogue(), machine(64.0), WISH))[Q8].speed
    assert f"as built now: on the CPU, {speed_words(on_cpu)}." in by_ref(rows)[Q8].reason
    assert "as built now: " in headline(rows)
    unseen = Problem("gpu_unseen", "It does not see it.", "", "Update the driver.")
    said = rank(catalogue(), replace(DESKTOP, engine_known=True, problems=(unseen,)), WISH)
    assert "once llama.cpp sees it; as it is now: " in by_ref(said)[Q8].reason


def test_without_an_answer_of_llama_cpp_all_gpus_count() -> None:
    plain = rank(catalogue(), slices(None), WISH)
    unknown = rank(catalogue(), replace(slices(None), engine_known=False), WISH)
    assert not any("llama.cpp" in row.reason for row in unknown)
    assert [row.ref for row in plain] == [row.ref for row in unknown]


# -- learned -------------------------------------------------------------------------------------------------------


def loads(miss_mib: int, n: int = 3) -> list[FitSeen]:
    fit = fit_of(facts_of(*find(Q4)), DESKTOP, WISH)
    return [seen_load(Q4, "Q4_K_M", fit, fit.gpus[0].total_bytes + miss_mib * MIB, None, Learned())] * n


def test_what_loads_took_beyond_the_estimate_is_expected_of_all_models() -> None:
    plain, taught = (by_ref(rank(catalogue(), DESKTOP, WISH, learned)) for learned in (None, Learned(loads(700))))
    (before,), (after,) = plain["llama-3.1-8b:Q8_0"].fit.gpus, taught["llama-3.1-8b:Q8_0"].fit.gpus
    assert after.overhead_bytes == before.overhead_bytes + 700 * MIB
    assert after.device == CARD
    # What fitted by less than that does no more.
    tight = machine(64.0, gpu("RTX 4090", 9.7, 1008.0))
    assert ranks(rank(catalogue(), tight, WISH))[1] == "llama-3.1-8b:Q8_0"
    assert ranks(rank(catalogue(), tight, WISH, Learned(loads(700))))[1] == "llama-3.1-8b:Q6_K"


def test_own_runs_replace_the_estimate_and_correct_its_like() -> None:
    facts = facts_of(*find(Q4))
    fit = fit_of(facts, DESKTOP, WISH)
    guess = speed_of(Q4, fit, facts, DESKTOP)
    assert guess is not None
    load = seen_load(Q4, "Q4_K_M", fit, None, guess, Learned())
    learned = Learned([seen_run(load, 0.8 * guess.middle_tok_s, guess)] * 3)
    plain, rows = by_ref(rank(catalogue(), DESKTOP, WISH)), by_ref(rank(catalogue(), DESKTOP, WISH, learned))
    own = rows[Q4].speed
    assert own is not None
    assert (own.basis, own.n_runs) == ("own_runs", 3)
    assert own.middle_tok_s == pytest.approx(0.8 * guess.middle_tok_s)
    for ref, factor in (("llama-3.1-8b:Q8_0", 0.8), ("llama-3.2-3b:Q8_0", 1.0)):
        before, after = plain[ref].speed, rows[ref].speed
        assert before is not None
        assert after is not None
        assert after.basis == "estimate"
        assert after.middle_tok_s == pytest.approx(factor * before.middle_tok_s)
    deep = speed_of(Q4, fit, facts, DESKTOP, learned, depth_tokens=8192)
    assert deep is not None
    assert deep.basis == "estimate", "own runs say nothing of one depth"


def test_own_runs_that_are_too_slow_change_the_recommendation() -> None:
    ref = "llama-3.1-8b:Q8_0"
    facts = facts_of(*find(ref))
    fit = fit_of(facts, DESKTOP, WISH)
    slow = seen_run(seen_load(ref, "Q8_0", fit, None, None, Learned()), 6.0, None)
    assert ranks(rank(catalogue(), DESKTOP, WISH))[1] == ref
    assert ranks(rank(catalogue(), DESKTOP, WISH, Learned([slow] * 3)))[1] != ref


def test_what_is_on_disk_goes_first_among_equals_only() -> None:
    assert ranks(rank(catalogue(), DESKTOP, WISH, installed={"llama-3.1-8b:Q4_K_M"}))[1] == "llama-3.1-8b:Q8_0"
    roomy = machine(512.0, gpu("H200", 139.0, 4800.0))
    assert ranks(rank(catalogue(), roomy, WISH))[1] == "llama-3.3-70b:Q8_0"
    assert ranks(rank(catalogue(), roomy, WISH, installed={"llama-3.3-70b:F16"}))[1] == "llama-3.3-70b:F16"
