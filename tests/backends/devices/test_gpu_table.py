"""Names as drivers and people write them, and the GPUs that they must not be taken for."""

from __future__ import annotations

import pytest

from backends.devices.gpu_table import bandwidth_by_name, nvidia_shares_memory, same_gpu, shares_memory

GIB = 2**30


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA GeForce RTX 4090",
        "rtx 4090",
        "RTX4090",
        "GeForce RTX 4090 24GB",
        "RTX-4090",
        "NVIDIA GeForce RTX(TM) 4090",
    ],
)
def test_one_gpu_by_many_names(name: str) -> None:
    assert bandwidth_by_name(name) == 1008


@pytest.mark.parametrize(
    ("name", "bandwidth"),
    [
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 576),
        ("RTX 4090 mobile", 576),
        ("NVIDIA GeForce RTX 2080 with Max-Q Design", None),
        ("RTX 4090 Ti", None),
        ("RTX 6000", None),
        ("NVIDIA RTX 6000 Ada Generation", 960),
        ("Quadro RTX 6000", 672),
        ("NVIDIA RTX A6000", 768),
        ("Tesla M4", None),
        ("Apple M4", 120),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
        ("", None),
        ("GPU", None),
        ("NVIDIA", None),
    ],
)
def test_a_name_that_only_looks_alike_is_another_gpu(name: str, bandwidth: float | None) -> None:
    assert bandwidth_by_name(name) == bandwidth


@pytest.mark.parametrize(
    ("name", "total_gib", "bandwidth"),
    [
        ("NVIDIA GeForce RTX 3060", 12.0, 360),
        ("NVIDIA GeForce RTX 3060", 8.0, 240),
        ("RTX 3060 8GB", None, 240),
        ("RTX 3080", 9.8, 760),
        ("RTX 3080", 12.0, 912),
        ("NVIDIA A100-SXM4-80GB", 79.2, 2039),
        ("NVIDIA A100-SXM4-40GB", 39.5, 1555),
        ("NVIDIA A100 80GB PCIe", None, 1935),
        ("A100", 80.0, 1935),
        ("A100", None, 1555),
        ("NVIDIA H100 80GB HBM3", 79.6, 3352),
        ("H100", None, 2039),
        ("Orin (nvgpu)", 61.4, 204.8),
        ("Orin (nvgpu)", 24.0, None),
        ("Apple M3 Max", 36.0, 300),
        ("Apple M3 Max", 128.0, 400),
        ("AMD Radeon RX 7900 XTX (RADV NAVI31)", 24.0, 960),
        ("Intel(R) Arc(TM) A770 Graphics", 16.0, 560),
        ("Tesla V100-SXM2-16GB", 16.0, 900),
        ("Tesla T4", 15.0, 320),
    ],
)
def test_variants_of_one_name(name: str, total_gib: float | None, bandwidth: float | None) -> None:
    assert bandwidth_by_name(name, None if total_gib is None else int(total_gib * GIB)) == bandwidth


@pytest.mark.parametrize("name", ["NVIDIA GB10", "NVIDIA N1X", "Orin (nvgpu)", "NVIDIA Thor", "Xavier"])
def test_nvidia_chips_without_memory_of_their_own(name: str) -> None:
    assert nvidia_shares_memory(name)
    assert shares_memory(name)


def test_cards_have_their_own_whatever_their_name_ends_in() -> None:
    for name in ("NVIDIA GeForce RTX 4090", "NVIDIA GB200", "Tesla M4", "NVIDIA GH200 480GB", "Orinoco", ""):
        assert not nvidia_shares_memory(name)
        assert not shares_memory(name)
    assert shares_memory("Apple M4 Max")
    assert not nvidia_shares_memory("Apple M4 Max"), "no NVIDIA driver names it so"


def test_names_by_which_two_drivers_know_one_gpu() -> None:
    assert same_gpu("NVIDIA GeForce RTX 3060", "NVIDIA GeForce RTX 3060 (NVK GA106)")
    assert not same_gpu("NVIDIA GeForce RTX 3060", "NVIDIA GeForce RTX 3060 Ti")
    assert not same_gpu("NVIDIA A100-SXM4-40GB", "NVIDIA A100-SXM4-80GB")
