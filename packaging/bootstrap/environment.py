"""Keeps a virtual environment equal to uv.lock, with our own llama-cpp-python in it. It must not build anything.

uv would compile llama-cpp-python from its sdist by itself, the slow way, so it is left out of the first sync and then
installed from our wheel by name, as from an index: uv then takes it for the locked version and leaves it alone.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import pinned_uv
from shell import ROOT, Stop, program, run, say, succeeds

LLAMA = "llama-cpp-python"
# Whatever brings Qt, for the environment that proves that backends and resources live without it.
QT = ("pyside6-essentials", "shiboken6", "qtawesome", "qtpy", "pytest-qt")
MAIN = ROOT / ".venv"
WITHOUT_QT = ROOT / ".cache" / "venv-noqt"


def bring(venv: Path, wheel: Path, without: Sequence[str] = ()) -> Path:
    """Makes `venv` equal to the lock less `without`, with exactly this wheel of llama.cpp. Returns its Python."""
    if not holds(venv, wheel):
        _sync(venv, [*without, LLAMA])
        _install(venv, wheel)
    _sync(venv, without)
    return program(venv, "python")


def holds(venv: Path, wheel: Path) -> bool:
    """Whether the installed llama-cpp-python is this very wheel: each file that the wheel records, with its hash."""
    record = next(_site_packages(venv).glob("llama_cpp_python-*.dist-info/RECORD"), None)
    # direct_url.json is left by an installation from a path, which uv would replace by a build of the sdist.
    if not record or record.with_name("direct_url.json").exists():
        return False
    installed = set(record.read_text(encoding="utf-8").splitlines())
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        wanted = [line for line in archive.read(name).decode().splitlines() if "sha256=" in line]
    return installed.issuperset(wanted)


def _sync(venv: Path, without: Sequence[str]) -> None:
    argv: list[str | Path] = [pinned_uv.ensure(), "sync", "--locked"]
    for name in without:
        argv += ["--no-install-package", name]
    if not succeeds([*argv, "--check"], pinned_uv.environment(venv)):  # silent where there is nothing to do
        run(argv, pinned_uv.environment(venv))


def _install(venv: Path, wheel: Path) -> None:
    say(f"Installing {wheel.name} into {venv.relative_to(ROOT)}")
    python = program(venv, "python")
    source: list[str | Path] = [
        "--no-index",
        "--no-deps",
        "--no-config",
        "--find-links",
        wheel.parent,
        "--refresh-package",
        LLAMA,
    ]
    run([pinned_uv.ensure(), "pip", "install", "--quiet", "--python", python, *source, LLAMA], pinned_uv.environment())
    if not holds(venv, wheel):
        raise Stop(f"{wheel} was not installed as it is. Remove {venv.relative_to(ROOT)}, then try again.")
    _try_to_load(python)


def _try_to_load(python: Path) -> None:
    """A build for a GPU whose driver is missing installs well and cannot be loaded: better said now."""
    try:
        run([python, "-c", "import llama_cpp"])
    except Stop as stop:
        raise Stop(
            "llama.cpp was built but cannot be loaded here (the reason stands above). GPU=cpu builds it for the CPU."
        ) from stop


def _site_packages(venv: Path) -> Path:
    return next(iter([*venv.glob("lib/python*/site-packages"), venv / "Lib" / "site-packages"]))
