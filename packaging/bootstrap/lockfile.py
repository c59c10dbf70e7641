"""Reads single packages out of uv.lock. It must not change the lock, nor know what a package is for."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from shell import ROOT, Stop

LOCK = ROOT / "uv.lock"


def package(name: str, lock: Path = LOCK) -> dict[str, Any]:
    """One package's entry. Only its own block is parsed: the whole file takes a quarter of a second."""
    for block in lock.read_text(encoding="utf-8").split("[[package]]\n")[1:]:
        if block.startswith(f'name = "{name}"\n'):
            entries: dict[str, Any] = tomllib.loads(block.split("\n[[manifest", 1)[0])
            return entries
    raise Stop(
        f"uv.lock has no package {name}. Restore uv.lock from the repository (git checkout uv.lock), then try again."
    )


def sha256(artifact: dict[str, Any]) -> str:
    """The locked sha256 of one file, as hex digits."""
    kind, _, digest = str(artifact["hash"]).partition(":")
    if kind != "sha256" or len(digest) != 64:
        raise Stop(
            "uv.lock gives no sha256 for a file that is needed. Restore uv.lock from the repository, then try again."
        )
    return digest
