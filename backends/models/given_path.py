"""Turns a path as a person wrote it into a whole one, or into a sentence. Must not look whether anything is there."""

from __future__ import annotations

import os
from pathlib import Path

from backends.models.download_names import shown
from backends.models.errors import BadReference, FolderUnusable
from backends.paths import whole_path


def given_path(written: str | Path, *, safe: str = "Nothing was started.") -> Path:
    """The path of a file; raises BadReference."""
    try:
        return whole_path(written)
    except ValueError as error:
        what = f"“{shown(str(written))}” is not the path of a file: {error}."
        raise BadReference(what, safe=safe, fix="Give the whole path of a .gguf file.") from None


def given_folder(written: str | Path) -> Path:
    """The path of a folder; raises FolderUnusable."""
    try:
        return whole_path(written)
    except ValueError as error:
        raise FolderUnusable(f"“{shown(str(written))}” is not the path of a folder: {error}.") from None


def folder_in_use(chosen: str | None, usual: Path) -> Path:
    """Where models are kept: the folder of the settings, else the usual one. Raises FolderUnusable."""
    return Path(os.path.abspath(given_folder(chosen))) if chosen else usual
