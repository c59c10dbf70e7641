"""The processor and the memory of the machine that runs the tests, and names as other machines write them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from backends.devices.system import (
    extensions_in,
    extensions_in_sysctl,
    name_in,
    read_cpu,
    read_memory,
    sysctl_values,
)


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


X86 = "avx avx2 avx512f avx512_bf16 avx512_vnni avx_vnni amx_int8 f16c fma sse4_2 sse4_1"
ARM = "fp asimd evtstrm aes asimdhp cpuid asimddp sve i8mm bf16"


@pytest.mark.parametrize(
    ("cpuinfo", "extensions"),
    [
        (
            f"processor\t: 0\nflags\t\t: fpu {X86}\n\nprocessor\t: 1\nflags\t\t: fpu\n",
            "AMX AVX512_BF16 AVX512_VNNI AVX512 AVX_VNNI AVX2 FMA F16C AVX SSE4.2",
        ),
        ("flags : fpu avx sse4_2", "AVX SSE4.2"),
        (f"processor : 0\nFeatures : {ARM}\n", "SVE I8MM DOTPROD NEON"),
        ("flags :\n", ""),
        ("", ""),
    ],
)
def test_vector_extensions_in_cpuinfo_widest_first(cpuinfo: str, extensions: str) -> None:
    assert list(extensions_in(cpuinfo)) == extensions.split()


def test_vector_extensions_as_macos_tells_them() -> None:
    apple = sysctl_values(
        "machdep.cpu.brand_string: Apple M3 Max\nhw.optional.neon: 1\nhw.optional.arm.FEAT_DotProd: 1\n"
        "hw.optional.arm.FEAT_I8MM: 1\nhw.optional.arm.FEAT_SME: 0\nhw.optional.empty: \n"
    )
    assert apple["machdep.cpu.brand_string"] == "Apple M3 Max"
    assert extensions_in_sysctl(apple) == ("I8MM", "DOTPROD", "NEON")
    intel = sysctl_values("hw.optional.avx1_0: 1\nhw.optional.avx2_0: 1\nhw.optional.avx512f: 0\nhw.optional.fma: 1\n")
    assert extensions_in_sysctl(intel) == ("AVX2", "FMA", "AVX")
    assert extensions_in_sysctl({}) == ()
