"""Tells a models folder that is empty from one whose disk is not there: an unmounted disk leaves a bare folder behind.

Must not write anything. Where models lay in a folder, the index keeps which folder that was (device and inode); an
empty one that is another, or none at all, is not taken for a fresh start.
"""

from __future__ import annotations

import os
from pathlib import Path

from backends.models.download_names import INCOMPLETE
from backends.models.errors import FolderMissing
from backends.models.folder import gguf_files
from backends.models.importing import IN_PLACE
from backends.models.index import Index


def home_key(folder: Path) -> str:
    """How the index calls a models folder."""
    return os.fsencode(folder).decode("utf-8", "backslashreplace")


def identity(folder: Path) -> tuple[int, int] | None:
    """Which folder this is now; None where there is none. Raises OSError where the disk does not answer."""
    try:
        found = os.stat(folder)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def missing(folder: Path, index: Index) -> FolderMissing | None:
    """What to say where a folder that held models is not that folder any more. Raises OSError."""
    was = index.homes.get(home_key(folder))
    if was is None and all(Path(key).is_absolute() for key in index.files):
        return None
    now = identity(folder)
    if now is None:
        return FolderMissing(
            f"The models folder {folder} is gone, though it held models: it was moved or removed, or its disk is away."
        )
    if was is None or tuple(was) == now or holds_something(folder):
        return None
    return FolderMissing(
        f"The models folder {folder} is empty now, though it held models: its disk seems to be missing."
    )


def holds_something(folder: Path) -> bool:
    """Whether a model lies in it, a note of one, or what came of one. Raises OSError."""
    if next(gguf_files(folder), None) is not None:
        return True
    for part in (INCOMPLETE, IN_PLACE):
        try:
            with os.scandir(folder / part) as listing:
                if next(listing, None) is not None:
                    return True
        except FileNotFoundError:
            continue
    return False
