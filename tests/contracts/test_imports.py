"""The import contracts hold, and each of them is seen to catch what it forbids. It must not import the app."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.contracts.places import HOUSE, ROOT, console_script


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """Runs import-linter over a tree, which comes first on its path."""
    argv: list[str | Path] = [console_script("lint-imports"), "--no-cache"]
    return subprocess.run(argv, cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the house, to break."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for room in HOUSE:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__", "*.gguf"))
    return tmp_path


def test_the_contracts_hold() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("backends/planted.py", "import widgets", "imports run one way"),
        ("resources/planted.py", "import backends.records", "imports run one way"),
        ("backends/planted.py", "from PySide6 import QtCore", "backends never see Qt"),
        ("widgets/planted.py", "import backends.local", "widgets see values"),
        ("widgets/planted.py", "import openai", "widgets see values"),
        ("app/planted.py", "import llama_cpp", "only the worker loads llama_cpp"),
    ],
)
def test_a_planted_import_is_caught(tree: Path, file: str, line: str, contract: str) -> None:
    (tree / file).write_text(f"{line}\n", encoding="utf-8")
    done = lint(tree)
    assert done.returncode != 0, f"{line!r} in {file} went unseen"
    broken = [text for text in done.stdout.splitlines() if "BROKEN" in text]
    assert any(contract in text for text in broken), done.stdout


def test_the_name_packaging_is_pypis() -> None:
    """From the repository's root, where our own folder of that name stands first on the path."""
    program = "import importlib.metadata as m, packaging; print(m.version('packaging') == packaging.__version__)"
    done = subprocess.run(
        [console_script("python"), "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "True\n", done.stderr
