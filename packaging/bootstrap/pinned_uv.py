"""Brings the uv that uv.lock names into a folder of its own. It must not use or touch any other uv on the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import lockfile
from shell import CACHE, Stop, program, say


def ensure() -> Path:
    """The path of our uv, installed on first use with the hashes in uv.lock."""
    entry = lockfile.package("uv")
    home = CACHE / "uv" / str(entry["version"])
    uv = program(home, "uv")
    if not uv.exists():
        say(f"Bringing uv {entry['version']} (the tool that installs the rest)")
        _install(home, f"uv=={entry['version']}", [lockfile.sha256(wheel) for wheel in entry["wheels"]])
    return uv


def environment(venv: Path | None = None) -> Mapping[str, str]:
    """The surroundings for uv: the system's certificates, and no other environment that happens to be active."""
    env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    env.setdefault("UV_SYSTEM_CERTS", "true")
    if venv:
        env["UV_PROJECT_ENVIRONMENT"] = str(venv)
    return env


def _install(home: Path, requirement: str, digests: list[str]) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        wanted = Path(scratch, "requirements.txt")
        wanted.write_text(" ".join([requirement, *(f"--hash=sha256:{digest}" for digest in digests)]), encoding="utf-8")
        fresh = Path(scratch, "venv")
        pip = [program(fresh, "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        safe = ["--require-hashes", "--only-binary", ":all:", "--no-deps", "--requirement", wanted]
        for argv in ([sys.executable, "-m", "venv", fresh], [*pip, *safe]):
            done = subprocess.run([str(part) for part in argv], check=False, capture_output=True, text=True)
            if done.returncode:
                said = (done.stderr or done.stdout)[-1500:]
                raise Stop(f"uv could not be installed from PyPI. Check the network, then try again. It said:\n{said}")
        shutil.rmtree(home, ignore_errors=True)
        fresh.rename(home)
