"""Takes a file of the person's own into the library: checks, finds doubles, brings it in. Must not know windows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from backends.errors import ModelError
from backends.models.folder import Group
from backends.models.gguf import join_parts
from backends.models.given_path import given_path
from backends.models.headers import check_usable, header_of
from backends.models.importing import How, bring_in, free_stem, whole_group
from backends.models.inventory import stamp_of
from backends.models.records import InstalledModel
from backends.models.removal import remove_files
from backends.models.verify import Hashed, OnProgress, counted

if TYPE_CHECKING:
    from backends.models.library import Library

NOT_IMPORTED = "Nothing was imported and the file is as it was."


def import_file(
    library: Library, path: Path, how: How, on_progress: OnProgress, cancelled: Callable[[], bool]
) -> InstalledModel | None:
    """As `Library.import_file`."""
    group = _checked(Path(os.path.abspath(given_path(path, safe=NOT_IMPORTED))))
    same = _same_files(library, group.files, how)
    library.check_folder()
    if same is not None:
        return same
    refs = {model.ref.lower() for model in library.models()}
    stem = free_stem(group.stem, library.folder, len(group.files), lambda name: name.lower() in refs)
    total = sum(stamp.size_bytes for part in group.files if (stamp := stamp_of(part)) is not None)
    report = counted(on_progress, total)
    brought = bring_in(group, stem, library.folder, how, on_bytes=report, cancelled=cancelled)
    if brought is None:
        return None
    for final, hashed in zip(brought.files, brought.hashes, strict=False):
        stamp = stamp_of(final)
        if stamp is not None:
            library.prove(final, Hashed(hashed.sha256, stamp))
    library.scan()
    return _without_double(library, library.find(brought.stem), how)


def _checked(path: Path) -> Group:
    """The model that the file belongs to, every header of it read."""
    try:
        group = whole_group(path)
        header, _stamp = check_usable(group.first)
        join_parts([header, *(header_of(part)[0] for part in group.files[1:])], name=group.first.name)
    except ModelError as error:
        raise type(error)(error.problem.what, safe=NOT_IMPORTED, fix=error.problem.fix) from None
    return group


def _counts(library: Library, model: InstalledModel, how: How) -> bool:
    """Whether this model spares an import: who asks for a copy wants one in the models folder."""
    is_here = not model.in_place and all(path.is_relative_to(library.folder) for path in model.files)
    return how != "copy" or is_here


def _same_files(library: Library, files: Sequence[Path], how: How) -> InstalledModel | None:
    wanted = {(stamp.dev, stamp.inode) for path in files if (stamp := stamp_of(path)) is not None}
    for model in library.scan():
        here = {(stamp.dev, stamp.inode) for path in model.files if (stamp := stamp_of(path)) is not None}
        if here == wanted and _counts(library, model, how):
            return model
    return None


def _without_double(library: Library, new: InstalledModel, how: How) -> InstalledModel:
    """A copy of what is here already is dropped again."""
    for other in library.models():
        same = other.ref != new.ref and other.sha256 == new.sha256 and None not in new.sha256
        if same and new.sha256 and not other.missing_parts and _counts(library, other, how):
            remove_files(library.folder, new)
            library.scan()
            return library.find(other.ref)
    return new
