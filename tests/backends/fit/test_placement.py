"""Which devices take a model, and what is missing where none can."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.devices.records import Device, Machine
from backends.fit.memory import GPU_OVERHEAD_BYTES
from backends.fit.placement import (
    GPU_RESERVE_BYTES,
    host_reserve_bytes,
    load_options,
    place,
    seen_by_engine,
)
from backends.fit.records import Fit, Wish
from backends.local.facts import DeviceRef
from backends.models.records import Shape
from backends.models.shapes import LLAMA_1B, LLAMA_3_8B, LLAMA_3B, LLAMA_8B, LLAMA_70B, LLAMA_405B
from tests.backends.fit.machines import GIB, gpu, machine, model

RTX_4090 = gpu("RTX 4090", 22.5, 1008.0)
RTX_3090 = gpu("RTX 3090", 23.3, 936.0)
GTX_1060 = gpu("GTX 1060", 5.5, 192.0)
H100 = gpu("H100", 79.0, 3350.0)
GB10 = gpu("NVIDIA GB10", 100.0, 273.0, total_gib=119.0, memory="shared")


def sides(fit: Fit) -> tuple[str, list[tuple[str, int]], int]:
    return fit.verdict, [(part.device.name, part.layers) for part in fit.gpus], fit.host.layers


def fits_with_reserve(fit: Fit) -> bool:
    return all(part.total_bytes + GPU_RESERVE_BYTES <= (part.device.free_bytes or 0) for part in fit.gpus)


@pytest.mark.parametrize(
    ("shape", "n_ctx", "where", "expected"),
    [
        (LLAMA_8B, 8192, machine(64, RTX_4090), ("gpu", [("RTX 4090", 33)], 0)),
        (LLAMA_8B, 8192, machine(64, GTX_1060, RTX_4090), ("gpu", [("RTX 4090", 33)], 0)),
        (LLAMA_1B, 8192, machine(64, GTX_1060), ("gpu", [("GTX 1060", 17)], 0)),
        (LLAMA_70B, 8192, machine(64, RTX_3090, RTX_3090), ("gpu", [("RTX 3090", 41), ("RTX 3090", 40)], 0)),
        (LLAMA_70B, 8192, machine(1024, *[H100] * 8), ("gpu", [("H100", 81)], 0)),
        (LLAMA_405B, 8192, machine(1024, *[H100] * 8), ("gpu", [("H100", 42), ("H100", 43), ("H100", 42)], 0)),
        (LLAMA_70B, 8192, machine(119, GB10, free_gib=100), ("gpu", [("NVIDIA GB10", 81)], 0)),
        (LLAMA_8B, 8192, machine(16), ("ram", [], 33)),
        (LLAMA_1B, 8192, machine(4), ("ram", [], 17)),
        (LLAMA_8B, 8192, machine(4), ("no", [], 33)),
        (LLAMA_70B, 8192, machine(16), ("no", [], 81)),
    ],
)
def test_verdicts(shape: Shape, n_ctx: int, where: Machine, expected: tuple[str, list[tuple[str, int]], int]) -> None:
    fit = place(model(shape), where, Wish(n_ctx=n_ctx))
    assert sides(fit) == expected
    assert fit.n_layers == shape.n_layers + 1
    assert (fit.missing_bytes == 0) == (fit.verdict != "no")
    if fit.verdict != "no":
        assert fits_with_reserve(fit)


def test_as_many_layers_as_fit_go_to_the_gpu_and_one_more_would_not() -> None:
    facts, where = model(LLAMA_70B), machine(64, RTX_4090)
    fit = place(facts, where, Wish())
    assert fit.verdict == "split"
    assert 0 < fit.gpu_layers < 81
    assert fit.host.layers == 81 - fit.gpu_layers
    assert fits_with_reserve(fit)
    one_more = place(facts, where, Wish(gpu_layers=fit.gpu_layers + 1))
    assert one_more.verdict == "no"
    assert one_more.missing_bytes > 0


def test_layers_left_over_need_the_machines_memory() -> None:
    fit = place(model(LLAMA_70B), machine(16, RTX_4090), Wish())
    assert fit.verdict == "no"
    host = fit.host
    free = host.device.free_bytes or 0
    assert fit.missing_bytes == host.total_bytes + host_reserve_bytes(host.device) - free


def test_the_fast_gpu_is_taken_though_a_slow_one_has_more_room() -> None:
    roomy = gpu("RTX 8000", 47.0, 672.0)
    fit = place(model(LLAMA_8B), machine(64, roomy, RTX_4090), Wish())
    assert [part.device.name for part in fit.gpus] == ["RTX 4090"]
    assert place(model(LLAMA_70B, "IQ3_M"), machine(64, RTX_4090, roomy), Wish()).gpus[0].device == roomy


def test_a_slower_gpu_helps_only_when_it_must() -> None:
    """Layers take turns, so each one on the slow card costs; the fast card is filled first."""
    facts, where = model(LLAMA_8B, "Q8_0"), machine(64, RTX_4090, GTX_1060)
    assert sides(place(facts, where, Wish()))[1] == [("RTX 4090", 33)]
    long = place(facts, where, Wish(n_ctx=131_072))
    assert long.verdict == "gpu"
    fast, slow = long.gpus
    assert (fast.device.name, slow.device.name) == ("RTX 4090", "GTX 1060")
    assert fast.layers > slow.layers
    room = (fast.device.free_bytes or 0) - GPU_RESERVE_BYTES - fast.total_bytes
    assert room < (fast.weights_bytes + fast.kv_bytes) / fast.layers, "another layer would not go there"


def test_equal_gpus_share_alike_in_proportion_to_what_is_free() -> None:
    half_taken = gpu("RTX 3090", 12.0, 936.0)
    fit = place(model(LLAMA_70B, "IQ3_M"), machine(64, half_taken, RTX_3090, RTX_3090), Wish())
    assert fit.verdict == "gpu"
    assert len(fit.gpus) == 2
    assert all(part.device.free_bytes == RTX_3090.free_bytes for part in fit.gpus), "two whole ones do"
    bigger = place(model(LLAMA_70B, "Q4_K_M"), machine(64, half_taken, RTX_3090, RTX_3090), Wish(n_ctx=32_768))
    assert bigger.verdict == "gpu"
    shares = [part.total_bytes / (part.device.free_bytes or 1) for part in bigger.gpus]
    assert max(shares) - min(shares) < 0.12


def test_memory_that_others_hold_is_not_counted() -> None:
    crowded = gpu("RTX 4090", 6.0, 1008.0, total_gib=24.0)
    assert place(model(LLAMA_8B, "Q8_0"), machine(64, crowded), Wish()).verdict == "split"
    unknown = replace(RTX_4090, free_bytes=None)
    assert place(model(LLAMA_8B), machine(64, unknown), Wish()).verdict == "ram"


def test_a_model_is_never_split_over_slices() -> None:
    slices = [gpu("A100 MIG 3g.20gb", 19.0, 800.0, slice_of="GPU-1") for _ in range(2)]
    whole = place(model(LLAMA_70B, "IQ3_M"), machine(128, *slices), Wish())
    assert whole.verdict == "split"
    assert len(whole.gpus) == 1
    assert place(model(LLAMA_8B), machine(128, *slices), Wish()).verdict == "gpu"


def test_shared_memory_is_counted_once() -> None:
    tight = gpu("NVIDIA GB10", 50.0, 273.0, memory="shared")
    where = machine(64, tight, free_gib=50.0)
    fits = place(model(LLAMA_70B), where, Wish())
    assert fits.verdict == "gpu"
    short = place(model(LLAMA_70B, "Q5_K_M"), where, Wish(n_ctx=4096))
    assert short.verdict == "no"
    pool = 50 * GIB - host_reserve_bytes(where.cpu)
    assert fits.total_bytes <= pool < short.total_bytes


def test_several_gpus_with_shared_memory_are_no_set() -> None:
    chips = [gpu("GPU", 30.0, 200.0, memory="shared") for _ in range(2)]
    assert len(place(model(LLAMA_70B), machine(64, *chips), Wish()).gpus) <= 1


def test_a_wish_for_layers_is_kept() -> None:
    where = machine(64, RTX_3090, RTX_3090)
    assert sides(place(model(LLAMA_8B), where, Wish(gpu_layers=10))) == ("split", [("RTX 3090", 10)], 23)
    assert sides(place(model(LLAMA_8B), where, Wish(gpu_layers=0))) == ("ram", [], 33)
    assert place(model(LLAMA_8B), where, Wish(gpu_layers=999)).gpu_layers == 33


def test_the_context_ends_where_training_did() -> None:
    assert place(model(LLAMA_3_8B), machine(64, RTX_4090), Wish(n_ctx=131_072)).n_ctx == 8192


def test_overhead_and_reserve_can_be_corrected() -> None:
    facts, where = model(LLAMA_8B, "F16"), machine(64, gpu("GPU", 17.0))
    assert place(facts, where, Wish()).verdict == "gpu"
    assert place(facts, where, Wish()).gpus[0].overhead_bytes == GPU_OVERHEAD_BYTES
    assert place(facts, where, Wish(), overhead_bytes=2 * GIB).verdict == "split"
    assert place(facts, where, Wish(), reserve_bytes=2 * GIB).verdict == "split"


def test_the_systems_share_of_memory_is_bounded() -> None:
    reserves = {gib: host_reserve_bytes(machine(gib).cpu) / GIB for gib in (4, 32, 1024)}
    assert reserves == {4: 0.5, 32: 2.0, 1024: 4.0}


def test_more_memory_never_makes_it_worse() -> None:
    facts = model(LLAMA_3B)
    order = ("no", "ram", "split", "gpu")
    last = (-1, 0)
    for tenths in range(0, 80, 2):
        fit = place(facts, machine(4, gpu("GPU", tenths / 10), free_gib=3.5), Wish())
        now = (order.index(fit.verdict), fit.gpu_layers)
        assert now >= last, tenths
        last = now
    assert last == (3, 29)


@pytest.mark.parametrize("free_gib", [0.3, 0.6, 1.0, 1.3, 1.5, 1.7])
def test_a_gpu_that_others_fill_does_not_spoil_what_the_rest_can_do(free_gib: float) -> None:
    first, full, last = gpu("RTX 4090", 23.4, 1008.0), gpu("Full", free_gib, 960.0), gpu("RTX 3090", 23.4, 936.0)
    without = place(model(LLAMA_70B), machine(64, first, last), Wish())
    assert sides(without) == ("gpu", [("RTX 4090", 43), ("RTX 3090", 38)], 0)
    assert sides(place(model(LLAMA_70B), machine(64, first, full, last), Wish())) == sides(without)


CARDS = st.builds(
    gpu,
    st.just("GPU"),
    st.one_of(st.floats(0.1, 2.0), st.sampled_from([6.0, 11.3, 23.4]), st.floats(2.0, 30.0)),
    st.sampled_from([192.0, 500.0, 936.0, 1008.0, 2000.0]),
)
CASES = st.sampled_from(
    [
        (shape, quant, n_ctx)
        for shape in (LLAMA_8B, LLAMA_70B)
        for quant in ("Q4_K_M", "Q8_0")
        for n_ctx in (8192, 32768)
    ]
)


@given(st.lists(CARDS, min_size=1, max_size=4), CARDS, CASES, st.sampled_from([8, 64]))
@settings(max_examples=400, deadline=None)
def test_one_more_gpu_never_makes_it_worse(
    cards: list[Device], more: Device, case: tuple[Shape, str, int], ram_gib: int
) -> None:
    shape, quant, n_ctx = case
    facts, wish, order = model(shape, quant), Wish(n_ctx=n_ctx), ("no", "ram", "split", "gpu")
    without = place(facts, machine(ram_gib, *cards), wish)
    with_it = place(facts, machine(ram_gib, *cards, more), wish)
    assert (order.index(with_it.verdict), with_it.gpu_layers) >= (order.index(without.verdict), without.gpu_layers)


def test_options_put_the_model_where_it_was_planned() -> None:
    one = gpu("RTX 3090", 23.3, 936.0, pci_id="0000:01:00.0", backend="CUDA1")
    two = gpu("RTX 3090", 23.3, 936.0, pci_id="0000:c1:00.0")
    wish = Wish(n_ctx=4096, kv_type="q8_0", n_batch=256, n_parallel=2)
    options = load_options(place(model(LLAMA_70B), machine(64, one, two), wish), wish)
    assert options.devices == (
        DeviceRef("0000:01:00.0", "CUDA1", "RTX 3090", 1),
        DeviceRef("0000:c1:00.0", None, "RTX 3090", 2),
    )
    assert options.tensor_split is not None
    assert sum(options.tensor_split) == options.n_gpu_layers == 81
    assert (options.n_ctx, options.kv_type, options.n_batch, options.n_parallel) == (4096, "q8_0", 256, 2)


def test_each_answer_at_once_needs_a_context_of_its_own() -> None:
    on = machine(64, gpu("RTX 4090", 23.3, 1008.0))
    one, eight = (place(model(LLAMA_8B), on, Wish(n_ctx=8192, n_parallel=count)) for count in (1, 8))
    assert sum(part.kv_bytes for part in (*eight.gpus, eight.host)) == 8 * one.gpus[0].kv_bytes
    assert (one.verdict, eight.n_ctx) == ("gpu", 8192)
    assert eight.total_bytes > one.total_bytes + 7 * one.gpus[0].kv_bytes


def test_options_for_the_host_keep_every_gpu_out() -> None:
    options = load_options(place(model(LLAMA_8B), machine(16), Wish()))
    assert options.devices == ()
    assert options.n_gpu_layers == 0
    assert options.tensor_split is None


def test_a_load_counts_only_on_gpus_that_this_build_can_use() -> None:
    where = machine(64, gpu("A", 24.0, backend="CUDA0"), gpu("B", 24.0))
    assert [each.name for each in seen_by_engine(where).gpus] == ["A"]
