"""Where the repository's own files are, for the tests of its contracts. It must not judge any of them."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOUSE = ("app", "widgets", "backends", "resources")
SCRIPTS = ("packaging", "benchmarks")


def sources(*folders: str) -> list[Path]:
    """Every Python file of ours in these folders of the repository, in order."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def named(path: Path) -> str:
    """A file's path in the repository, as a test's name."""
    return path.relative_to(ROOT).as_posix()


def console_script(name: str) -> Path:
    """A program of the environment that runs the tests."""
    return Path(sys.executable).parent / name
