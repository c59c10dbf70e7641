"""What the wheel installs: our four packages with their data, and nothing else. It must not need the network."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.contracts.places import HOUSE, ROOT, named, sources

LARGEST_BYTES = 16 << 20


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    target = tmp_path_factory.mktemp("wheel")
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = target.glob("*.whl")
    return zipfile.ZipFile(path)


def test_its_top_level_is_the_house(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(HOUSE)


def test_it_holds_every_module_and_its_data(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {named(path) for path in sources(*HOUSE)} <= names
    data = [path for path in (ROOT / "resources").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {named(path) for path in data} <= names


def test_nothing_of_the_workshop_is_in_it(wheel: zipfile.ZipFile) -> None:
    """Training text, caches and notes stay outside, and so does anything too large to be meant."""
    strays = [name for name in wheel.namelist() if any(word in name for word in ("corpus", "__pycache__", "/tests/"))]
    assert strays == []
    assert sum(item.compress_size for item in wheel.infolist()) < LARGEST_BYTES


def test_it_can_never_be_published_by_mistake(wheel: zipfile.ZipFile) -> None:
    """Its names are generic (app, widgets, backends): on PyPI it would overwrite other packages' files."""
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    assert "Classifier: Private :: Do Not Upload" in wheel.read(name).decode()


def test_the_license_travels_with_it(wheel: zipfile.ZipFile) -> None:
    name = next(name for name in wheel.namelist() if name.endswith("licenses/LICENSE"))
    assert "Apache License" in wheel.read(name).decode()
    assert Path(ROOT / "LICENSE").read_bytes() == wheel.read(name)
