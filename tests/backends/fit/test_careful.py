"""A CPU whose memory nobody has measured: a small model is offered, without a speed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backends.devices.records import CpuInfo, Machine
from backends.fit.careful import assumed, careful, needs_care
from backends.fit.ranking import rank
from backends.fit.records import Choice, Wish
from backends.models.catalogue import catalogue
from tests.backends.fit.machines import gpu, machine

GIB = 2**30


def unmeasured(ram_gib: float = 64, *extensions: str) -> Machine:
    made = machine(ram_gib)
    cpu = replace(made.cpu, bandwidth_gb_s=None)
    return replace(made, cpu=cpu, cpu_info=CpuInfo("CPU", 8, 16, extensions))


def choices(of: Machine) -> tuple[Choice, ...]:
    return careful(rank(catalogue(), assumed(of), Wish()))


@pytest.mark.parametrize("extensions", [(), ("AVX2",), ("DOTPROD",)])
def test_a_small_one_is_first_and_alone_and_no_speed_is_claimed(extensions: tuple[str, ...]) -> None:
    found = choices(unmeasured(64, *extensions))
    (first,) = [each for each in found if each.rank is not None]
    assert (first.rank, first.model_id) in ((1, "llama-3.2-1b"), (1, "llama-3.2-3b"))
    assert first.file_bytes < 2.5 * GIB
    assert "not measured yet" in first.reason
    assert all(each.speed is None for each in found)
    assert not any("slow" in each.reason or "tok/s" in each.reason for each in found)


def test_care_is_for_cpus_alone_and_ends_with_the_measurement() -> None:
    assert needs_care(unmeasured())
    assert not needs_care(machine(64))
    assert not needs_care(replace(unmeasured(), gpus=(gpu("NVIDIA RTX 4090", 22),)))
