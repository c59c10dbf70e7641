"""Brings a GGUF file of the person's own into the models folder: a link, a copy, or a note of where it lies.

Must not know the list of models, nor change the file it is given. A note is a small JSON file in the models folder, so
that a lost list of models loses no choice of the person.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backends.errors import ModelMissing
from backends.files import flush_folder, replace_file
from backends.models.disk import (
    copy_file,
    folder_problem,
    is_taken,
    make_room,
    make_writable,
    place,
    sweep,
    unfinished_name,
)
from backends.models.download_names import safe_name
from backends.models.folder import Group, group_of, never, part_name
from backends.models.foreign_places import read_json
from backends.models.verify import Hashed, OnBytes, nothing

How = Literal["link", "copy", "use in place"]
IMPORTED, IN_PLACE = "imported", "in-place"
NOTE_SUFFIX = ".json"
MAX_NAME, MAX_NAME_BYTES = 120, 180  # a disk takes 255 bytes: some are for numbers and for the name while it is copied
UNSAFE = re.compile(r"[\x00-\x1f\x7f<>:\"/\\|?*]+")
RESERVED = re.compile(r"demo|practice|con|prn|aux|nul|com\d|lpt\d", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Brought:
    """Where an imported model's files are now; `hashes` are those taken while copying. `in_place`: only noted."""

    stem: str
    files: tuple[Path, ...]
    hashes: tuple[Hashed, ...] = ()
    in_place: bool = False


def whole_group(path: Path) -> Group:
    """The model that a chosen file belongs to; raises ModelMissing where parts of it are not beside it."""
    group = group_of(path)
    if group.missing:
        names = ", ".join(part.name for part in group.missing[:3])
        more = f" and {len(group.missing) - 3} more" if len(group.missing) > 3 else ""
        raise ModelMissing(
            f"{path.name} is one part of a model of which {names}{more} are not beside it.",
            safe="Nothing was copied.",
            fix="Put all its parts into one folder, then choose any of them.",
        )
    return group


def free_stem(wanted: str, folder: Path, n_parts: int, taken: Callable[[str], bool]) -> str:
    """A readable name that no other model of the folder has: `model`, `model-2`, and so on."""
    clean = UNSAFE.sub("-", safe_name(wanted)).strip(" .-")[:MAX_NAME]
    while len(clean.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        clean = clean[:-1]
    clean = clean.rstrip(" .-") or "model"
    base = f"model-{clean}" if RESERVED.fullmatch(clean) else clean
    for number in itertools.count(1):
        stem = base if number == 1 else f"{base}-{number}"
        names = [folder / IMPORTED / name for name in file_names(stem, n_parts)]
        if not taken(stem) and not any(map(is_taken, [*names, note_path(folder, stem)])):
            return stem
    raise AssertionError("numbers do not end")


def file_names(stem: str, n_parts: int) -> list[str]:
    if n_parts == 1:
        return [f"{stem}.gguf"]
    return [part_name(stem, number, n_parts) for number in range(1, n_parts + 1)]


def note_path(folder: Path, stem: str) -> Path:
    return folder / IN_PLACE / f"{stem}{NOTE_SUFFIX}"


def noted(folder: Path) -> dict[str, Path]:
    """The names of models that are used in place, with where they lie; notes that cannot be read are passed over."""
    try:
        with os.scandir(folder / IN_PLACE) as listing:
            names = sorted(entry.name for entry in listing if entry.name.endswith(NOTE_SUFFIX))
    except OSError:
        return {}
    found = {}
    for name in names:
        note = read_json(folder / IN_PLACE / name)
        path = note.get("path") if isinstance(note, dict) else None
        if isinstance(path, str) and "\0" not in path and os.path.isabs(path):
            found[name.removesuffix(NOTE_SUFFIX)] = Path(path)
    return found


def bring_in(
    group: Group,
    stem: str,
    folder: Path,
    how: How,
    *,
    on_bytes: OnBytes = nothing,
    cancelled: Callable[[], bool] = never,
) -> Brought | None:
    """Import under the name `stem`; None where it was cancelled, and nothing is then left of it.

    A link that the disk refuses, as across disks, becomes a note. Raises DiskFull, FolderUnusable or ModelMissing.
    """
    target = folder / IMPORTED
    if how == "copy":
        make_room(target, sum(_size(path) for path in group.files))
        sweep(target)
        return _copy(group, stem, target, on_bytes, cancelled)
    if how == "link":
        make_writable(target)
        linked = _link(group, stem, target)
        if linked is not None:
            return linked
    make_writable(folder / IN_PLACE)
    try:
        replace_file(note_path(folder, stem), json.dumps({"path": str(group.first)}).encode("utf-8", "surrogatepass"))
    except OSError as error:
        raise folder_problem(folder, error) from None
    return Brought(stem, group.files, in_place=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise ModelMissing(f"{path.name} cannot be read ({error.strerror}).", safe="Nothing was copied.") from None


def _link(group: Group, stem: str, target: Path) -> Brought | None:
    finals = [target / name for name in file_names(stem, len(group.files))]
    made: list[Path] = []
    try:
        for path, final in zip(group.files, finals, strict=True):
            os.link(os.path.realpath(path), final)
            made.append(final)
        flush_folder(target)
    except OSError:
        _undo(made)
        return None
    return Brought(stem, tuple(finals))


def _copy(group: Group, stem: str, target: Path, on_bytes: OnBytes, cancelled: Callable[[], bool]) -> Brought | None:
    """Each part grows under another name; none gets its own before all are whole."""
    finals = [target / name for name in file_names(stem, len(group.files))]
    growing = [unfinished_name(final) for final in finals]
    placed: list[Path] = []
    hashes = []
    try:
        for path, unfinished in zip(group.files, growing, strict=True):
            with contextlib.suppress(FileNotFoundError):
                unfinished.unlink()  # left by an earlier import of this process
            hashed = copy_file(path, unfinished, on_bytes=on_bytes, cancelled=cancelled)
            if hashed is None:
                _undo(growing)
                return None
            hashes.append(hashed)
        for unfinished, final in zip(growing, finals, strict=True):
            place(unfinished, final)
            placed.append(final)
        flush_folder(target)
    except OSError as error:
        _undo([*growing, *placed])
        raise folder_problem(target, error) from None
    except BaseException:
        _undo([*growing, *placed])
        raise
    return Brought(stem, tuple(finals), tuple(hashes))


def _undo(paths: list[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
