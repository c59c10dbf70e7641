"""Machines that somebody means to buy, as they type them."""

from __future__ import annotations

import pytest

from backends.devices.machine import machine_from
from backends.devices.nvml import Survey
from backends.devices.records import CpuInfo, Device, MemoryInfo
from backends.devices.simulated import parse_device, simulated_machine
from backends.errors import Problem, UsageError

GIB = 2**30
HERE = machine_from(
    Survey((Device("NVIDIA GeForce RTX 3060", "gpu"),), (Problem("x", "What.", "", "Fix."),)),
    None,
    MemoryInfo(16 * GIB, 8 * GIB, 0, 0),
    CpuInfo("a processor", 4, 8),
    33.0,
)


def test_a_device_by_name() -> None:
    device = parse_device(" RTX 4090 : 24 : 22.5 ")
    assert (device.name, device.kind, device.memory) == ("RTX 4090", "gpu", "own")
    assert (device.total_bytes, device.free_bytes, device.used_bytes) == (24 * GIB, 22.5 * GIB, 1.5 * GIB)
    assert (device.bandwidth_gb_s, device.bandwidth_source) == (1008, "table")


def test_a_bandwidth_that_is_given_stands() -> None:
    device = parse_device("RTX 4090:24:24:900.5")
    assert (device.bandwidth_gb_s, device.bandwidth_source) == (900.5, "given")


def test_a_name_that_nobody_knows() -> None:
    device = parse_device("Frobnicator 9000:12:0")
    assert (device.bandwidth_gb_s, device.bandwidth_source, device.free_bytes) == (None, None, 0)


def test_the_size_tells_variants_apart() -> None:
    assert parse_device("RTX 3060:12:12").bandwidth_gb_s == 360
    assert parse_device("RTX 3060:8:8").bandwidth_gb_s == 240


def test_the_number_alone_is_enough_where_it_means_one_card() -> None:
    assert parse_device("4090:24:22").bandwidth_gb_s == parse_device("RTX 4090:24:22").bandwidth_gb_s
    assert parse_device("1060:6:5").bandwidth_gb_s == parse_device("GTX 1060:6:5").bandwidth_gb_s
    assert parse_device("12345:24:22").bandwidth_gb_s is None


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "three or four parts"),
        ("RTX 4090", "three or four parts"),
        ("RTX 4090:24", "three or four parts"),
        (":24:20", "the name is missing"),
        ("RTX 4090::20", "the total memory is missing"),
        ("RTX 4090:24:20:", "the bandwidth is missing"),
        ("RTX 4090:24:20:1008:1", "three or four parts"),
        ("RTX 4090:24:25", "more memory is free than there is"),
        ("RTX 4090:0:0", "must be more than 0"),
        ("RTX 4090:-24:20", "the total memory is no plain number"),
        ("RTX 4090:24:-1", "the free memory is no plain number"),
        ("RTX 4090:nan:nan", "the total memory is no plain number"),
        ("RTX 4090:inf:20", "the total memory is no plain number"),
        ("RTX 4090:24:nan", "the free memory is no plain number"),
        ("RTX 4090:24,5:20", "the total memory is no plain number"),
        ("RTX 4090:24GB:20", "the total memory is no plain number"),
        ("RTX 4090:1_000:20", "the total memory is no plain number"),
        ("RTX 4090:٢٤:20", "the total memory is no plain number"),
        ("RTX 4090:1e3:20", "the total memory is no plain number"),
        ("RTX 4090:99999999:20", "more than 16,384"),
        ("RTX 4090:24:20:0", "the bandwidth must be more than 0"),
        ("RTX 4090:24:20:fast", "the bandwidth is no plain number"),
        ("RTX 4090:24:20:999999", "more than 100,000"),
        ("x" * 200 + ":24:20", "at most 100 characters"),
        ("a\x1b[31mb:24:20", "at most 100 characters"),
    ],
)
def test_what_is_typed_wrong_is_said(spec: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_device(spec)
    assert words in caught.value.problem.what
    assert "RTX 4090:24:22.5" in caught.value.problem.fix
    assert "\x1b" not in str(caught.value)
    assert len(caught.value.problem.what) < 250


def test_a_machine_with_these_gpus_and_no_others() -> None:
    machine = simulated_machine(["RTX 3090:24:23", "RTX 3090:24:23"], HERE)
    assert [gpu.name for gpu in machine.gpus] == ["RTX 3090", "RTX 3090"]
    assert machine.cpu == HERE.cpu
    assert machine.simulated
    assert machine.problems == (), "what is wrong here is not wrong there"


def test_a_machine_with_other_memory() -> None:
    machine = simulated_machine(["cpu:64:60:80"], HERE)
    assert machine.gpus == ()
    assert (machine.cpu.kind, machine.cpu.name) == ("cpu", "a processor")
    assert (machine.cpu.total_bytes, machine.cpu.bandwidth_gb_s) == (64 * GIB, 80)
    unknown = simulated_machine(["CPU:64:60"], HERE).cpu
    assert (unknown.bandwidth_gb_s, unknown.bandwidth_source) == (None, None), "this machine's is not that one's"


def test_a_machine_has_one_cpu() -> None:
    with pytest.raises(UsageError, match="more than one"):
        simulated_machine(["cpu:64:60", "cpu:32:30"], HERE)


def test_memory_that_both_share_is_there_once() -> None:
    machine = simulated_machine(["Apple M3 Max:64:50"], HERE)
    (gpu,) = machine.gpus
    assert gpu.memory == "shared"
    assert (machine.cpu.total_bytes, machine.cpu.free_bytes, machine.cpu.bandwidth_gb_s) == (64 * GIB, 50 * GIB, 400)
