"""uv.lock says what pyproject.toml says, and gives a hash for every file. It must not ask an index."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.contracts.places import ROOT


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return _toml("pyproject.toml")


@pytest.fixture(scope="module")
def packages() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _toml("uv.lock")["package"]
    return found


def _asked(requirements: list[str]) -> dict[str, str]:
    parsed = [Requirement(text) for text in requirements]
    return {item.name.lower().replace("_", "-"): str(item.specifier) for item in parsed}


def _locked(entries: list[dict[str, Any]]) -> dict[str, str]:
    return {entry["name"]: str(Requirement(entry["name"] + entry.get("specifier", "")).specifier) for entry in entries}


def test_the_lock_was_made_from_this_project(project: dict[str, Any], packages: list[dict[str, Any]]) -> None:
    metadata = next(package for package in packages if package["name"] == "nearfar")["metadata"]
    assert _locked(metadata["requires-dist"]) == _asked(project["project"]["dependencies"])
    groups = {name: _asked(wanted) for name, wanted in project["dependency-groups"].items()}
    assert {name: _locked(entries) for name, entries in metadata["requires-dev"].items()} == groups


def test_every_file_in_the_lock_has_a_hash(packages: list[dict[str, Any]]) -> None:
    files = [file for package in packages for file in [package.get("sdist"), *package.get("wheels", [])] if file]
    assert len(files) > 100
    assert [file["url"] for file in files if not file.get("hash", "").startswith("sha256:")] == []


def test_qt_stays_below_the_release_that_kills_python_3_11(packages: list[dict[str, Any]]) -> None:
    qt = next(package for package in packages if package["name"] == "pyside6-essentials")
    assert Version("6.11.3") <= Version(qt["version"]) < Version("6.12")


def test_the_metadata_given_for_llama_is_for_the_locked_version(
    project: dict[str, Any], packages: list[dict[str, Any]]
) -> None:
    given = project["tool"]["uv"]["dependency-metadata"][0]
    llama = next(package for package in packages if package["name"] == "llama-cpp-python")
    assert (given["name"], given["version"]) == (llama["name"], llama["version"])
