"""AMX is left out exactly where this machine's GCC cannot compile it; proved on the macros that ggml asks for."""

from __future__ import annotations

import platform
import shutil
import subprocess

import llama_wheel
import pytest

FIXED = {11: 5, 12: 4, 13: 3}  # GCC bug 114098: the first minor version that is right; 14 and later all are


def macros(*arguments: str) -> str:
    """What GCC defines for a processor with AMX, before the first line of a C++ file."""
    argv = ["g++", "-march=sapphirerapids", *arguments, "-dM", "-E", "-x", "c++", "-"]
    return subprocess.run(argv, input="", capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or shutil.which("g++") is None, reason="needs GCC for x86-64"
)
def test_a_gcc_that_drops_the_tile_configuration_compiles_no_amx() -> None:
    said = subprocess.run(["g++", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout
    major, minor = (int(part) for part in said.split(".")[:2])
    works = major > max(FIXED) or minor >= FIXED.get(major, minor + 1)
    assert "__AMX_INT8__" in macros()
    assert ("__AMX_INT8__" in macros("-include", str(llama_wheel.AMX_FILE))) is works


def test_the_build_reads_the_header_before_each_file() -> None:
    name = f"${{CMAKE_CURRENT_LIST_DIR}}/{llama_wheel.AMX_FILE.name}"
    assert f'-include \\"{name}\\"' in llama_wheel.CMAKE_FILE.read_text(encoding="utf-8")
