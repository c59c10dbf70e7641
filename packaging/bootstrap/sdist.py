"""Fetches a locked source archive and unpacks it. It must not build anything, nor trust a byte that was not checked."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

import lockfile
from build_log import Progress
from shell import Stop, say

SCHEME = "https://"
_CHUNK_BYTES = 1 << 20


def unpacked(entry: dict[str, Any], downloads: Path, target: Path) -> Path:
    """The source tree of a package of uv.lock, at `target`. Raises Stop when it cannot be had whole."""
    if target.exists():  # renamed into place only when complete
        return target
    archive = fetched(entry["sdist"], downloads)
    scratch = target.with_name(f"{target.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(scratch, filter="data")
        else:  # Python before 3.11.4; the archive's hash was checked against the lock
            tar.extractall(scratch)  # noqa: S202 - as the line above says
    (only,) = scratch.iterdir()
    only.rename(target)
    scratch.rmdir()
    return target


def fetched(artifact: dict[str, Any], downloads: Path) -> Path:
    """The archive, downloaded unless a whole one is there. Raises Stop when its sha256 is not the lock's."""
    url, wanted = str(artifact["url"]), lockfile.sha256(artifact)
    archive = downloads / url.rsplit("/", 1)[1]
    if archive.exists() and _digest(archive) == wanted:
        return archive
    downloads.mkdir(parents=True, exist_ok=True)
    part = archive.with_name(f"{archive.name}.part")
    try:
        _download(url, part, int(artifact["size"]))
    except OSError as error:
        raise Stop(
            f"Could not download {url}: {error}. Check the network and try again, or put that file at {archive}."
        ) from error
    if (found := _digest(part)) != wanted:
        part.unlink()
        raise Stop(f"{url} is not what uv.lock names (sha256 {found}, not {wanted}). It was thrown away. Try again.")
    part.replace(archive)
    return archive


def _download(url: str, target: Path, size_bytes: int) -> None:
    if not url.startswith(SCHEME):
        raise Stop(f"uv.lock names an address that is not https: {url}. Restore uv.lock from the repository.")
    say(f"Downloading {url.rsplit('/', 1)[1]}")
    progress = Progress(size_bytes // _CHUNK_BYTES, "MiB")
    with urllib.request.urlopen(url, timeout=60) as answer, target.open("wb") as file:  # noqa: S310 - https was checked
        while chunk := answer.read(_CHUNK_BYTES):
            file.write(chunk)
            progress.show(file.tell() // _CHUNK_BYTES)
    progress.close()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
