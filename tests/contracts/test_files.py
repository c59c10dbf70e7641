"""How files of ours look: each says what it is and what it must not know, and none grows past reading. Qt-free."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.contracts.places import HOUSE, ROOT, SCRIPTS, named, sources

LONGEST_LINES = 350
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")


@pytest.mark.parametrize("path", sources(*HOUSE, *SCRIPTS), ids=named)
def test_a_module_says_what_it_is_and_what_it_must_not_know(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    wanted = 1 if path.name == "__init__.py" else 2
    assert len(_SENTENCE_END.findall(docstring)) >= wanted, f"the docstring of {named(path)} needs {wanted} sentence(s)"


@pytest.mark.parametrize("path", sources(*HOUSE, *SCRIPTS, "tests"), ids=named)
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_LINES, f"{named(path)} has {lines} lines; split it by what its parts know"


def test_every_folder_of_tests_is_a_package() -> None:
    """Without tests/__init__.py and its like, `import backends` would find tests/backends."""
    folders = {path.parent for path in sources("tests")}
    assert [named(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_packaging_is_never_a_package() -> None:
    """With an __init__.py it would hide PyPI's `packaging` from `python -m app` and from a frozen bundle."""
    assert not list((ROOT / "packaging").rglob("__init__.py"))
