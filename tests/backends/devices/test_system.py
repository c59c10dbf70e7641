"""The processor and the memory of the machine that runs the tests, and names as other machines write them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from backends.devices.system import name_in, read_cpu, read_memory


def test_this_processor() -> None:
    cpu = read_cpu()
    assert cpu.name.strip()
    assert cpu.logical_cores == os.cpu_count()
    assert cpu.physical_cores is None or 1 <= cpu.physical_cores <= (cpu.logical_cores or 1)


def test_this_memory() -> None:
    memory = read_memory()
    assert 0 < memory.free_bytes < memory.total_bytes
    assert 0 <= memory.swap_free_bytes <= memory.swap_total_bytes


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_memory_agrees_with_the_kernel() -> None:
    lines = Path("/proc/meminfo").read_text().splitlines()
    total_kib = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal:"))
    assert read_memory().total_bytes == total_kib * 1024


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        (
            "processor\t: 0\nmodel name\t: AMD  Ryzen 7\t5800X\n\nprocessor\t: 1\nmodel name\t: Other\n",
            "AMD Ryzen 7 5800X",
        ),
        ("processor\t: 0\nBogoMIPS\t: 108.00\n\nHardware\t: BCM2835\nModel\t\t: Raspberry Pi 5\n", "Raspberry Pi 5"),
        ("processor\t: 0\nmodel name\t:\n", None),
        ("", None),
    ],
)
def test_names_in_cpuinfo(cpuinfo: str, name: str | None) -> None:
    assert name_in(cpuinfo) == name
