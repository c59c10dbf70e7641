"""What would change a verdict, each change alone."""

from __future__ import annotations

from dataclasses import replace

from backends.fit.levers import levers
from backends.fit.placement import place
from backends.fit.records import Wish
from backends.models.shapes import LLAMA_8B, LLAMA_70B
from tests.backends.fit.machines import gpu, machine, model

QUANTS = ("F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "Q2_K")
SMALL = machine(32, gpu("RTX 3060", 11.0, 360.0))


def test_nothing_need_change_where_all_fits() -> None:
    facts, wish = model(LLAMA_8B), Wish()
    assert levers(facts, SMALL, wish, place(facts, SMALL, wish), [model(LLAMA_8B, "Q2_K")]) == ()


def test_each_lever_is_the_least_change_that_is_enough() -> None:
    facts, wish = model(LLAMA_8B, "Q8_0"), Wish(n_ctx=32_768)
    fit = place(facts, SMALL, wish)
    assert fit.verdict == "split"
    found = {lever.kind: lever for lever in levers(facts, SMALL, wish, fit, [model(LLAMA_8B, q) for q in QUANTS])}
    assert set(found) == {"quant", "context", "kv_type"}
    for lever in found.values():
        assert lever.saves_bytes == fit.total_bytes - lever.fit.total_bytes > 0

    assert found["quant"].fit.verdict == "gpu"
    larger = QUANTS[QUANTS.index(found["quant"].value) - 1]
    assert place(model(LLAMA_8B, larger), SMALL, wish).verdict != "gpu"

    n_ctx = int(found["context"].value)
    assert found["context"].fit.verdict == "gpu"
    assert found["context"].fit.n_ctx == n_ctx
    assert place(facts, SMALL, replace(wish, n_ctx=n_ctx + 1024)).verdict != "gpu"

    assert found["kv_type"].fit.kv_type == found["kv_type"].value
    assert found["kv_type"].fit.gpu_layers > fit.gpu_layers


def test_where_no_verdict_changes_more_layers_on_the_gpu_are_worth_a_lever() -> None:
    where = machine(64, gpu("RTX 4090", 23.0, 1008.0), free_gib=60)
    facts, wish = model(LLAMA_70B), Wish(n_ctx=32_768)
    fit = place(facts, where, wish)
    assert fit.verdict == "split"
    listed = levers(facts, where, wish, fit, [model(LLAMA_70B, q) for q in QUANTS])
    found = {lever.kind: lever for lever in listed}
    assert set(found) == {"quant", "context", "kv_type"}
    for lever in listed:
        assert lever.fit.verdict == "split"
        assert lever.fit.gpu_layers > fit.gpu_layers
        assert lever.saves_bytes == fit.total_bytes - lever.fit.total_bytes > 0
    n_ctx = int(found["context"].value)
    best = place(facts, where, replace(wish, n_ctx=2048))
    assert found["context"].fit.gpu_layers == best.gpu_layers
    longer = place(facts, where, replace(wish, n_ctx=n_ctx + 1024))
    assert longer.gpu_layers < best.gpu_layers
    assert [lever.value for lever in listed if lever.kind == "quant"] == ["Q3_K_M", "Q2_K"]


def test_levers_that_change_nothing_are_left_out() -> None:
    tiny = machine(8, gpu("GT 1030", 1.5, 48.0))
    facts, wish = model(LLAMA_70B), Wish()
    assert levers(facts, tiny, wish, place(facts, tiny, wish), [model(LLAMA_70B, "Q2_K")]) == ()


def test_a_worse_verdict_can_be_bettered_in_steps() -> None:
    """16 GB and no GPU: nothing brings a GPU, but smaller quants run from memory."""
    where = machine(16)
    facts, wish = model(LLAMA_8B, "F16"), Wish()
    fit = place(facts, where, wish)
    assert fit.verdict == "no"
    (lever,) = levers(facts, where, wish, fit, [model(LLAMA_8B, q) for q in QUANTS])
    assert (lever.kind, lever.value, lever.fit.verdict) == ("quant", "Q8_0", "ram")


def test_quants_of_the_same_size_or_larger_are_no_lever() -> None:
    facts, wish = model(LLAMA_8B, "Q8_0"), Wish(n_ctx=32_768)
    fit = place(facts, SMALL, wish)
    found = levers(facts, SMALL, wish, fit, [facts, model(LLAMA_8B, "F16")])
    assert "quant" not in {lever.kind for lever in found}
