"""Machines with NVIDIA GPUs that are not here: a driver library in C, for processes that the tests start.

Must not load that library into the tests' own process, where it could not be exchanged for another.
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("stand_in_nvml.c")
MACHINES = (
    *("rtx3060", "rtx4090_busy", "two_3090", "mixed", "a100_mig", "h100_80", "gb10", "n1x", "jetson", "wsl"),
    *("laptop_4060", "windows", "lost", "version_mismatch", "driver_not_loaded", "no_permission", "hangs", "none"),
)
"""What NVML_CASE may name, as the C file plays it; more cases there are for the tests of this room alone."""


def compiled(compiler: str, folder: Path, *options: str) -> Path:
    """Build the library into `folder`; `-DOLD` makes it a driver without the newer calls."""
    library = folder / "libnvidia-ml.so.1"
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", *options, "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True, timeout=60)
    return folder


def machine(case: str, *, old_driver: bool = False) -> dict[str, str]:
    """What to add to the environment of a process so that it sees the machine `case`.

    The library is built once per session. Skips the test where there is no C compiler, or no Linux.
    """
    folder = _old_driver() if old_driver else _driver()
    if folder is None:
        pytest.skip("needs a C compiler on Linux")
    return {"LD_LIBRARY_PATH": str(folder), "NVML_CASE": case}


@cache
def _driver() -> Path | None:
    return _built()


@cache
def _old_driver() -> Path | None:
    return _built("-DOLD")


def _built(*options: str) -> Path | None:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        return None
    folder = Path(tempfile.mkdtemp(prefix="nearfar-stand-in-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return compiled(compiler, folder, *options)
