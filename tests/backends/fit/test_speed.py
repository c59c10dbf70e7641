"""The speed model against published runs, and its behaviour over devices, layers and depth. No clock is read."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from backends.devices.records import CpuInfo, Device, Machine
from backends.fit.records import Fit, Part
from backends.fit.speed import Work, expected, speed, speed_class
from backends.models.records import ModelFacts, Shape, Weights
from tests.backends.fit.rates import rows

MIB = 2**20
CARD = Device("NVIDIA GeForce RTX 4090", "gpu", bandwidth_gb_s=1008.0, bandwidth_source="driver")
CPU = Device("AMD Ryzen 9 7900X", "cpu", bandwidth_gb_s=60.0, bandwidth_source="measured")
MACHINE = Machine(gpus=(CARD,), cpu=CPU, cpu_info=CpuInfo(CPU.name, 12, 24))
SHAPE = Shape(4, 4096, 14336, 32, 8, 128, 128256, 131072, tied=False)
MODEL = ModelFacts("m", "Q4_K_M", SHAPE, Weights(300 * MIB, (100 * MIB,) * 4, 400 * MIB, tied=False), from_header=False)
N_CTX = 8192


def fit(gpu_layers: int, *, gpus: int = 1) -> Fit:
    """As llama.cpp places layers: the output first, then the last layers."""
    on_gpu = [100 * MIB] * max(0, gpu_layers - 1) + [400 * MIB] * (gpu_layers > 0)
    per_gpu = [on_gpu[index::gpus] for index in range(gpus)]
    parts = tuple(Part(CARD, len(each), sum(each), 80 * MIB * len(each), 250 * MIB, 400 * MIB) for each in per_gpu)
    on_host = 800 * MIB - sum(on_gpu)
    host = Part(CPU, 5 - gpu_layers, on_host + 300 * MIB, 80 * MIB * (5 - gpu_layers), 10 * MIB, 0)
    return Fit("gpu", 5, gpu_layers, N_CTX, "f16", parts if gpu_layers else (), host)


def test_the_median_error_against_published_single_gpu_runs_is_at_most_a_fifth() -> None:
    single = [row for row in rows() if row.n_gpu == 1 and row.error is not None]
    assert len(single) == 70
    assert statistics.median(abs(row.error or 0) for row in single) <= 0.10  # 0.20 is promised
    by_class = {name: [row for row in single if row.class_name == name] for name in {row.class_name for row in single}}
    assert set(by_class) == {"gddr", "hbm", "unified", "other"}
    for found in by_class.values():
        assert statistics.median(abs(row.error or 0) for row in found) <= 0.20
    inside = [row for row in single if row.within_range]
    assert len(inside) / len(single) >= 0.85


def test_several_gpus_add_no_bandwidth() -> None:
    several = [row for row in rows() if row.n_gpu > 1]
    assert len(several) == 4
    assert all(abs(row.error or 9) <= 0.10 for row in several)
    one, two = speed(fit(5), MODEL, MACHINE), speed(fit(5, gpus=2), MODEL, MACHINE)
    assert one is not None
    assert two is not None
    assert two.middle_tok_s == pytest.approx(one.middle_tok_s)


def test_runs_without_a_bandwidth_are_only_listed() -> None:
    unknown = [row for row in rows() if row.bandwidth_gb_s is None]
    assert len(unknown) == 7
    assert all(row.expected_tok_s is None for row in unknown)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("NVIDIA GeForce RTX 3060", "gddr"),
        ("NVIDIA RTX A4000", "gddr"),
        ("NVIDIA A40", "gddr"),
        ("NVIDIA L40S", "gddr"),
        ("Quadro P1000", "gddr"),
        ("NVIDIA A30", "hbm"),
        ("NVIDIA A100-SXM4-80GB", "hbm"),
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", "hbm"),
        ("NVIDIA H100 80GB HBM3", "hbm"),
        ("NVIDIA H200", "hbm"),
        ("NVIDIA GH200 480GB", "hbm"),
        ("Tesla V100-SXM2-16GB", "hbm"),
        ("AMD Instinct MI300X", "hbm"),
        ("AMD Radeon RX 7900 XT", "other"),
        ("RX 7900 XT", "other"),
        ("Intel Arc B580", "other"),
        ("My card", "gddr"),
    ],
)
def test_the_class_of_a_card_is_told_by_its_name(name: str, kind: str) -> None:
    assert speed_class(Device(name, "gpu", bandwidth_gb_s=448.0)).name == kind


def test_other_signs_of_a_class() -> None:
    assert speed_class(Device("A new card", "gpu", bandwidth_gb_s=3350.0)).name == "hbm"
    assert speed_class(Device("NVIDIA GeForce RTX 5090", "gpu", bandwidth_gb_s=1792.0)).name == "gddr"
    assert speed_class(Device("NVIDIA GB10", "gpu", memory="shared", bandwidth_gb_s=273.0)).name == "unified"
    assert speed_class(CPU).name == "cpu_measured"
    assert speed_class(replace(CPU, bandwidth_source="given")).name == "cpu_stated"


def test_the_two_terms_worked_by_hand() -> None:
    """800 MiB of weights and half of 400 MiB of KV at 0.8 * 1008 GB/s, and 1 ms: 2.3004 ms."""
    found = speed(fit(5), MODEL, MACHINE)
    assert found is not None
    assert found.basis == "estimate"
    assert found.middle_tok_s == pytest.approx(1 / (1000 * MIB / (0.8 * 1008e9) + 0.001))
    assert found.low_tok_s == pytest.approx(0.75 * found.middle_tok_s)
    assert found.high_tok_s == pytest.approx(1.25 * found.middle_tok_s)


def test_layers_on_the_cpu_take_their_time_there_and_the_embedding_none() -> None:
    found = speed(fit(3), MODEL, MACHINE, depth_tokens=0)  # output and two layers on the GPU, two layers on the CPU
    assert found is not None
    gpu_s = 600 * MIB / (0.8 * 1008e9) + 0.6e-3
    cpu_s = 200 * MIB / (0.75 * 60e9) + 0.4e-3
    assert found.low_tok_s == pytest.approx(1 / (gpu_s / 0.75 + cpu_s / 0.60))
    assert found.high_tok_s == pytest.approx(1 / (gpu_s / 1.25 + cpu_s / 1.40))


def test_on_the_cpu_alone_the_output_is_read_whole() -> None:
    found = speed(fit(0), MODEL, MACHINE, depth_tokens=0)
    assert found is not None
    assert found.low_tok_s == pytest.approx(0.6 / (800 * MIB / (0.75 * 60e9) + 0.001))


def test_a_fuller_context_is_slower_and_depth_ends_at_the_context() -> None:
    empty, half, full, beyond = (
        speed(fit(5), MODEL, MACHINE, depth_tokens=depth) for depth in (0, N_CTX // 2, N_CTX, 10 * N_CTX)
    )
    assert empty is not None
    assert half is not None
    assert full is not None
    assert empty.middle_tok_s > half.middle_tok_s > full.middle_tok_s
    assert beyond == full
    assert half == speed(fit(5), MODEL, MACHINE)


def test_an_unknown_bandwidth_gives_no_speed_where_it_matters() -> None:
    silent = replace(CPU, bandwidth_gb_s=None)
    machine = replace(MACHINE, cpu=silent)
    assert speed(fit(5), MODEL, machine) is not None, "nothing is read on the CPU"
    assert speed(fit(3), MODEL, machine) is None
    assert expected([Work(replace(CARD, bandwidth_gb_s=None), 1.0)]) is None
    assert expected([]) is None


def of_quant(quant: str) -> ModelFacts:
    return replace(MODEL, quant=quant)


def on_cores(cores: int | None) -> Machine:
    return replace(MACHINE, cpu_info=CpuInfo(CPU.name, cores, None))


@pytest.mark.parametrize(
    ("quant", "cores", "gb_s"),
    [
        ("Q4_K_M", 12, 45.0),  # 0.75 of 60: enough cores for all that memory gives
        ("Q4_K_M", 2, 20.0),  # one core works, the other is the window's
        ("Q8_0", 1, 20.0),
        ("IQ4_XS", 3, 26.0),
        ("Q3_K_M", 3, 26.0),
        ("IQ3_M", 8, 28.0),  # hard to unpack
        ("IQ3_M", None, 45.0),
    ],
)
def test_a_cpu_unpacks_no_more_than_its_cores_can(quant: str, cores: int | None, gb_s: float) -> None:
    found = speed(fit(0), of_quant(quant), on_cores(cores), depth_tokens=0)
    assert found is not None
    assert found.low_tok_s == pytest.approx(0.6 / (800 * MIB / (gb_s * 1e9) + 0.001))


def test_a_gpu_does_not_mind() -> None:
    assert speed(fit(5), of_quant("IQ3_M"), on_cores(2)) == speed(fit(5), MODEL, MACHINE)


def test_a_machine_that_is_only_described_has_eight_cores() -> None:
    described = replace(on_cores(2), cpu=replace(CPU, bandwidth_gb_s=60.0, bandwidth_source="given"))
    found = speed(fit(0), of_quant("IQ3_M"), described, depth_tokens=0)
    assert found is not None
    assert found.low_tok_s == pytest.approx(0.6 / (800 * MIB / 28e9 + 0.001))
