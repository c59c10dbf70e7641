"""Builds the stand-in driver library. Must not load it."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("stand_in_nvml.c")


def compiled(compiler: str, folder: Path, *options: str) -> Path:
    library = folder / "libnvidia-ml.so.1"
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", *options, "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True, timeout=60)
    return folder
