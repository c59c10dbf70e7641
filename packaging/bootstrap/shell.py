"""Says what happens and starts other programs, for the bootstrap scripts. It must not know what they set up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
WINDOWS = sys.platform == "win32"


class Stop(Exception):
    """The person has to do something first; the message says what."""


def say(text: str) -> None:
    """Prints one line now, also when a pipe is listening."""
    print(text, flush=True)


def run(argv: Sequence[str | Path], env: Mapping[str, str] | None = None, *, cwd: Path = ROOT) -> None:
    """Runs a program in the open. Raises Stop with the command when it fails."""
    code = subprocess.run([str(part) for part in argv], env=env, cwd=cwd, check=False).returncode
    if code:
        raise Stop(f"This command failed with status {code}: {shown(argv)}")


def succeeds(argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> bool:
    """Whether a program ends well; what it prints is not shown."""
    return not subprocess.run(
        [str(part) for part in argv], env=env, cwd=ROOT, check=False, capture_output=True
    ).returncode


def shown(argv: Sequence[str | Path]) -> str:
    """The command as a person would type it, with paths inside the checkout made short."""
    return " ".join(str(part).replace(f"{ROOT}{os.sep}", "") for part in argv)


def bin_dir(venv: Path) -> Path:
    """Where a virtual environment keeps its programs."""
    return venv / ("Scripts" if WINDOWS else "bin")


def program(venv: Path, name: str) -> Path:
    """A program of a virtual environment."""
    return bin_dir(venv) / (f"{name}.exe" if WINDOWS else name)
