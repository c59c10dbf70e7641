"""Writes small files so that a reader or a power cut sees the old one or the new one. Must not know what they hold."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from backends.paths import ensure_folder


def replace_file(path: Path, content: bytes) -> None:
    """Write beside, flush to disk, rename; readable by this user alone. Raises OSError, and the old file then stays."""
    target = Path(os.path.realpath(path))  # a person may keep the file elsewhere, behind a link
    ensure_folder(target.parent)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    flush_folder(target.parent)


def flush_folder(folder: Path) -> None:
    """Make the names in a folder durable: what was renamed into it survives a power cut. Raises OSError."""
    if os.name != "posix":  # Windows has no handle to a folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
