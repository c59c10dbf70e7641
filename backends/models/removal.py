"""Removes our own model files with what belongs to them, and says before what that frees. Must not touch others'."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from backends.files import flush_folder
from backends.models.download_names import layout_of
from backends.models.errors import BadReference, DiskFull, DownloadError, InUse, LibraryError
from backends.models.importing import note_path, noted
from backends.models.index import Index
from backends.models.inventory import FOUND_PREFIX
from backends.models.records import DownloadPlan, InstalledModel, RemoteFile

WINDOWS_IN_USE = 32


def is_foreign(model: InstalledModel) -> bool:
    """Whether another program keeps it."""
    return model.origin in FOUND_PREFIX


def freed_bytes(folder: Path, model: InstalledModel) -> int:
    """Bytes that the disk gets back: none for links, names of a file that has others, and what lies elsewhere."""
    freed = 0
    for path in model.files:
        with contextlib.suppress(OSError):
            found = os.lstat(path)
            if _is_ours(folder, path) and not path.is_symlink() and found.st_nlink == 1:
                freed += found.st_size
    return freed


def _is_ours(folder: Path, path: Path) -> bool:
    return path.is_relative_to(folder) and Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(folder))


def remove_files(folder: Path, model: InstalledModel) -> None:
    """Unlink what lies in the folder, with unfinished parts and folders left empty; of what lies elsewhere, the note.

    Raises InUse while a download of it runs, in any process, and nothing is then removed; LibraryError where the disk
    refuses, and what could be removed until then is gone.
    """
    try:
        if model.in_place and not model.path.is_relative_to(folder):
            _drop_notes(folder, model)
            return
        dropped = _drop_unfinished(folder, model)
        for path in reversed(model.files):  # the first part last: a half-removed model still shows
            if _is_ours(folder, path):
                path.unlink(missing_ok=True)
        if not dropped:  # now there is room
            _drop_unfinished(folder, model)
        _drop_empty(folder, model.path.parent)
    except OSError as error:
        open_elsewhere = getattr(error, "winerror", None) == WINDOWS_IN_USE
        raise LibraryError(
            f"{model.name} could not be removed ({error.strerror}).",
            safe="No other model was touched.",
            fix="Close the program that uses it, then try again."
            if open_elsewhere
            else "Check that the models folder can be written, then try again.",
        ) from None


def _drop_notes(folder: Path, model: InstalledModel) -> None:
    for stem, path in noted(folder).items():
        if path == model.path or path in model.files:
            note_path(folder, stem).unlink(missing_ok=True)
            _drop_empty(folder, note_path(folder, stem).parent)


def download_of(folder: Path, model: InstalledModel) -> DownloadPlan | None:
    """What a download of this model would fetch, by the places of its files; None for what no download of ours has."""
    if not model.path.is_relative_to(folder):
        return None
    home, *inner = model.path.parent.relative_to(folder).parts or ("",)
    owner, dashes, repo = home.partition("--")
    if not dashes:
        return None
    names = (model.path.name, *model.missing_parts, *(path.name for path in model.files))
    paths = dict.fromkeys("/".join((*inner, name)) for name in names)
    plan = DownloadPlan("", model.name, "", f"{owner}/{repo}", None, tuple(map(RemoteFile, paths)))
    try:
        layout_of(folder, plan)
    except BadReference:
        return None
    return plan


def refuse_while_downloading(folder: Path, model: InstalledModel, plans: Iterable[DownloadPlan]) -> None:
    """Raises InUse where one of `plans` brings this very model, whatever it is called there."""
    ours = download_of(folder, model)
    key = None if ours is None else layout_of(folder, ours).key
    if any(plan.ref == model.ref or layout_of(folder, plan).key == key for plan in plans):
        raise InUse(
            f"{model.name} is among the downloads.", fix="Wait for the download, or cancel it, then remove the model."
        )


def _drop_unfinished(folder: Path, model: InstalledModel) -> bool:
    """False where the disk is too full for the lock that this takes. Raises InUse and OSError."""
    plan = download_of(folder, model)
    if plan is None:
        return True
    from backends.models.download_files import discard_parts  # which brings the hub's client with it

    try:
        discard_parts(folder, plan)
    except DiskFull:
        return False
    except DownloadError:
        raise InUse(
            f"{model.name} is being downloaded now.", fix="Wait for the download, or cancel it, then remove the model."
        ) from None
    return True


def _drop_empty(folder: Path, place: Path) -> None:
    """Remove `place` and the folders above it, below `folder`, as far as they are empty."""
    while place != folder and place.is_relative_to(folder):
        try:
            place.rmdir()
        except OSError:
            return
        place = place.parent
    if place.is_dir():
        flush_folder(place)


def forget_found(index: Index, model: InstalledModel) -> None:
    """Take a model of another program off the list."""
    files = set(model.files)
    index.found = tuple(found for found in index.found if files.isdisjoint(found.files))
