"""What loads and runs teach: robust corrections, own runs in place of estimates, and a file that survives damage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.devices.records import CpuInfo, Device, Machine
from backends.fit.learned import (
    MAX_SEEN,
    Learned,
    expecting,
    explained,
    faster,
    model_class,
    seen_load,
    seen_run,
)
from backends.fit.learned_words import learned_as_json, learned_lines
from backends.fit.records import Fit, FitSeen, Part, Speed

MIB, GIB = 2**20, 2**30
CARD = Device("NVIDIA GeForce RTX 4090", "gpu", uuid="GPU-1", total_bytes=24 * GIB, free_bytes=20 * GIB)
CPU = Device("A CPU", "cpu", total_bytes=64 * GIB, free_bytes=48 * GIB)
MACHINE = Machine((CARD,), CPU, CpuInfo("A CPU", 8, 16))
REF = "llama-3.1-8b:Q4_K_M"


def fit(*, overhead_bytes: int = 400 * MIB, gpu_layers: int = 33) -> Fit:
    part = Part(CARD, gpu_layers, 4400 * MIB, 1024 * MIB, 258 * MIB, overhead_bytes)
    host = Part(CPU, 33 - gpu_layers, 300 * MIB, 0, 10 * MIB, 0)
    return Fit("gpu", 33, gpu_layers, 8192, "f16", (part,), host)


def load(miss_mib: int) -> FitSeen:
    return FitSeen(REF, "Q4_K_M", (CARD.name,), 8192, "f16", 33, 6000 * MIB, (6000 + miss_mib) * MIB, 130.0, None)


def run(tok_s: float, *, ref: str = REF, guess: float | None = 130.0, n_ctx: int = 8192) -> FitSeen:
    return FitSeen(ref, "Q4_K_M", (CARD.name,), n_ctx, "f16", 33, 6000 * MIB, None, guess, tok_s)


# -- corrections ---------------------------------------------------------------------------------------------------


def test_nothing_seen_changes_nothing() -> None:
    nothing = Learned()
    assert nothing.overhead_bytes(CARD.name) == 0
    assert nothing.speed_factor(REF, (CARD.name,), 33) == 1.0
    assert nothing.own_speed(REF, (CARD.name,), 8192, "f16", 33) is None
    assert expecting(MACHINE, nothing) == MACHINE
    assert explained(fit(), MACHINE, nothing) == fit()
    assert learned_lines(nothing) == ()


def test_one_load_corrects_the_next_estimate() -> None:
    learned = Learned([load(120)])
    assert learned.overhead_bytes(CARD.name) == 120 * MIB
    assert learned.overhead_bytes("Another card") == 0
    assert expecting(MACHINE, learned).gpus[0].free_bytes == 20 * GIB - 120 * MIB
    tight = replace(fit(), gpus=(replace(fit().gpus[0], device=expecting(MACHINE, learned).gpus[0]),))
    (part,) = explained(tight, MACHINE, learned).gpus
    assert part.overhead_bytes == 520 * MIB
    assert part.device == CARD, "what is shown as free is what is free"


@pytest.mark.parametrize(
    ("misses_mib", "corrected_mib"),
    [
        ([9000], 256),  # a single odd load
        ([-9000], -256),
        ([100, 120], 110),
        ([100, 110, 9000], 110),  # three: the odd one is left out
        ([-9000, 100, 110], 100),
        ([600, 610, 620], 610),  # three agree: more than a first load may say
        ([5000, 5000, 5000], 1024),
        ([-5000, -5000, -5000], -256),
        ([0, 0, 0, 0, 0, 300, 300, 300, 300, 300], 300),  # a new driver: only the last five count
    ],
)
def test_the_correction_is_a_clamped_median_of_the_last_loads(misses_mib: list[int], corrected_mib: int) -> None:
    assert Learned(load(miss) for miss in misses_mib).overhead_bytes(CARD.name) == corrected_mib * MIB


def test_a_correction_does_not_feed_on_itself() -> None:
    """The second load is predicted right because of the first; what was learned must stay, not swing back."""
    learned = Learned()
    for _ in range(6):
        shown = explained(fit(), MACHINE, learned)
        learned = learned.plus(seen_load(REF, "Q4_K_M", shown, fit().gpus[0].total_bytes + 90 * MIB, None, learned))
        assert learned.overhead_bytes(CARD.name) == 90 * MIB
    last = learned.seen[-1]
    assert last.predicted_bytes == last.real_bytes


def test_a_miss_on_two_gpus_is_shared_between_them() -> None:
    both = replace(load(200), devices=("One", "Two"))
    assert Learned([both]).overhead_bytes("One") == Learned([both]).overhead_bytes("Two") == 100 * MIB


def test_overhead_never_falls_below_nothing() -> None:
    (part,) = explained(fit(overhead_bytes=100 * MIB), MACHINE, Learned([load(-250)])).gpus
    assert part.overhead_bytes == 0


# -- speed ---------------------------------------------------------------------------------------------------------


def test_own_runs_stand_in_for_the_estimate() -> None:
    one = Learned([run(120.0)]).own_speed(REF, (CARD.name,), 8192, "f16", 33)
    assert one is not None
    assert (one.basis, one.n_runs) == ("own_runs", 1)
    assert one.middle_tok_s == pytest.approx(120.0)
    assert one.low_tok_s < 120.0 < one.high_tok_s
    three = Learned(run(rate) for rate in (110.0, 120.0, 118.0)).own_speed(REF, (CARD.name,), 8192, "f16", 33)
    assert three == Speed(110.0, 120.0, "own_runs", 3)
    odd = Learned(run(rate) for rate in (5.0, 118.0, 119.0, 120.0, 121.0)).own_speed(REF, (CARD.name,), 8192, "f16", 33)
    assert odd is not None
    assert odd.low_tok_s > 90, "one run beside a busy program is left out"


@pytest.mark.parametrize(
    "change",
    [{"ref": "llama-3.1-8b:Q8_0"}, {"devices": ("B",)}, {"n_ctx": 4096}, {"kv_type": "q8_0"}, {"gpu_layers": 20}],
)
def test_own_runs_of_another_way_of_loading_are_no_own_runs(change: dict[str, object]) -> None:
    asked: dict[str, object] = {"ref": REF, "devices": (CARD.name,), "n_ctx": 8192, "kv_type": "f16", "gpu_layers": 33}
    learned = Learned([run(120.0)])
    assert learned.own_speed(**asked) is not None  # type: ignore[arg-type]  # one call, each argument in turn
    assert learned.own_speed(**(asked | change)) is None  # type: ignore[arg-type]  # as above


def test_models_of_one_size_share_a_speed_factor() -> None:
    learned = Learned(run(rate) for rate in (100.0, 104.0, 108.0))  # 130 were predicted
    assert learned.speed_factor("llama-3-8b:Q6_K", (CARD.name,), 33) == pytest.approx(0.8)
    assert learned.speed_factor("llama-3.3-70b:Q4_K_M", (CARD.name,), 33) == 1.0
    assert learned.speed_factor(REF, ("Another card",), 33) == 1.0
    assert learned.speed_factor(REF, (CARD.name,), 12) == 1.0, "half on the CPU is another matter"
    assert faster(Speed(75.0, 125.0, "estimate"), 0.8) == Speed(60.0, 100.0, "estimate")


@pytest.mark.parametrize(
    ("rates", "factor"),
    [([1300.0], 1.5), ([1.0], 0.67), ([130.0, 1.0, 130.0], 1.0), ([520.0] * 3, 2.0), ([13.0] * 3, 0.4)],
)
def test_the_factor_is_clamped(rates: list[float], factor: float) -> None:
    assert Learned(run(rate) for rate in rates).speed_factor(REF, (CARD.name,), 33) == pytest.approx(factor)


def test_a_factor_does_not_feed_on_itself() -> None:
    learned, raw = Learned(), Speed(97.5, 162.5, "estimate")
    for _ in range(5):
        shown = faster(raw, learned.speed_factor(REF, (CARD.name,), 33))
        loaded = seen_load(REF, "Q4_K_M", fit(), None, shown, learned)
        assert shown.middle_tok_s == pytest.approx(130.0 * learned.speed_factor(REF, (CARD.name,), 33))
        learned = learned.plus(loaded, seen_run(loaded, 104.0, raw))
        assert learned.speed_factor(REF, (CARD.name,), 33) == pytest.approx(0.8)


def test_the_size_of_a_model_is_read_from_its_name() -> None:
    assert model_class("llama-3.1-8b:Q4_K_M") == model_class("llama-3-8b:Q8_0") == "8b"
    assert model_class("llama-3.2-1b:F16") == "1b"
    assert model_class("hf:someone/Llama-3.3-70B-Instruct-GGUF/Llama-3.3-70B-Instruct-Q4_K_M.gguf") == "70b"
    assert model_class("hf:someone/odd/odd.gguf") == "hf:someone/odd/odd.gguf"


def test_what_is_remembered_is_bounded() -> None:
    learned = Learned(run(float(rate)) for rate in range(1, 3 * MAX_SEEN))
    assert len(learned.seen) == MAX_SEEN
    assert len(learned.plus(run(7.0)).seen) == MAX_SEEN


@given(
    st.lists(st.integers(-(2**42), 2**42), max_size=20),
    st.lists(st.floats(0.001, 1e6), max_size=20),
)
@settings(max_examples=60, deadline=None)
def test_nothing_that_is_seen_makes_nonsense(misses: list[int], rates: list[float]) -> None:
    loads = [replace(load(0), real_bytes=6000 * MIB + miss) for miss in misses]
    learned = Learned([*loads, *(run(rate) for rate in rates)])
    assert -256 * MIB <= learned.overhead_bytes(CARD.name) <= 1024 * MIB
    assert 0.4 <= learned.speed_factor(REF, (CARD.name,), 33) <= 2.0
    speed = learned.own_speed(REF, (CARD.name,), 8192, "f16", 33)
    assert (speed is None) == (not rates)
    if speed is not None:
        assert 0 < speed.low_tok_s <= speed.high_tok_s


# -- words ---------------------------------------------------------------------------------------------------------


def test_the_doctor_can_show_it() -> None:
    learned = Learned([load(100), run(120.0), run(118.0)])
    device, model = learned_lines(learned)
    assert device == "NVIDIA GeForce RTX 4090: 1 load took about 100 MiB more than estimated"
    assert model == (
        "llama-3.1-8b:Q4_K_M on NVIDIA GeForce RTX 4090, context 8192, f16: took 5.96 GiB, 5.86 were predicted; "
        "118.0 to 120.0 tok/s in your last 2 runs, 130.0 were predicted"
    )
    assert learned_as_json(learned) == {
        "devices": [{"name": CARD.name, "loads": 1, "overhead_correction_bytes": 100 * MIB}],
        "models": [
            {
                "ref": REF,
                "devices": [CARD.name],
                "context": 8192,
                "kv": "f16",
                "gpu_layers": 33,
                "predicted_bytes": 6000 * MIB,
                "real_bytes": 6100 * MIB,
                "predicted_tok_s": 130.0,
                "own_tok_s_low": 118.0,
                "own_tok_s_high": 120.0,
                "own_runs": 2,
            }
        ],
    }


def test_what_is_not_known_is_null_and_not_said() -> None:
    only_run: dict[str, Any] = dict(learned_as_json(Learned([run(120.0, guess=None)])))
    assert only_run["devices"] == []
    (model,) = only_run["models"]
    assert (model["real_bytes"], model["predicted_bytes"], model["predicted_tok_s"]) == (None, None, None)
    (line,) = learned_lines(Learned([run(120.0, guess=None)]))
    assert "predicted" not in line


# -- equal GPUs, and the CPU ----------------------------------------------------------------------------------------


def test_a_load_on_two_equal_gpus_is_one_load() -> None:
    both = replace(load(200), devices=(CARD.name, CARD.name))
    learned = Learned([both])
    assert (learned.n_loads(CARD.name), learned.overhead_bytes(CARD.name)) == (1, 100 * MIB)
    assert Learned([both, both]).n_loads(CARD.name) == 2
    five = Learned([replace(load(0), devices=(CARD.name, CARD.name)), *[both] * 4])
    assert five.overhead_bytes(CARD.name) == 100 * MIB, "the last five loads are five loads"


def on_cpu(miss_mib: int) -> FitSeen:
    return replace(load(miss_mib), devices=(CPU.name,), gpu_layers=0)


def test_the_cpu_has_no_correction_and_what_its_loads_took_is_said() -> None:
    learned = Learned([on_cpu(-2000), on_cpu(-2100), on_cpu(-2200)])
    assert learned.overhead_bytes(CPU.name) == 0
    devices: Any = learned_as_json(learned)["devices"]
    assert devices == [{"name": CPU.name, "loads": 3, "overhead_correction_bytes": None}]
    assert learned_lines(learned)[0] == "A CPU: 3 loads took about 2100 MiB less than estimated"


def test_words_say_what_loads_took_though_the_correction_is_bounded() -> None:
    learned = Learned([load(-5000)] * 3)
    assert learned.overhead_bytes(CARD.name) == -256 * MIB
    assert learned_lines(learned)[0] == f"{CARD.name}: 3 loads took about 5000 MiB less than estimated"
