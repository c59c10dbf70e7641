"""Brings an interrupted move of the models folder to one whole folder, either way. Must not begin a move.

Nothing is removed of which the other folder has no whole copy.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from backends.errors import NearfarError
from backends.files import flush_folder
from backends.models import journal as journals
from backends.models.disk import is_taken
from backends.models.errors import FolderUnusable
from backends.models.index import Stamp
from backends.models.journal import Carried, Journal
from backends.paths import ensure_folder

log = logging.getLogger(__name__)


def undo(journal: Journal) -> list[Carried]:
    """Everything back to the old folder: renamed files are renamed back, copies that this move made are removed.

    Returns the files that could not be brought back, and, of renamed ones, those that are nowhere while the new folder
    is not there: its disk may be unplugged.
    """
    left = []
    may_come_back = journal.way == "rename" and not journal.new.is_dir()
    for file in journal.files:
        here, there = journal.old / file.path, journal.new / file.path
        try:
            if is_taken(here):
                if file.source is not None and not file.adopted and _is_copy(here, there, file):
                    there.unlink()
            elif is_taken(there):
                _rename_back(journal, there, here)
            elif may_come_back:
                left.append(file)
        except OSError as error:
            log.warning("a file of an interrupted move could not be brought back: %s", error.strerror)
            if journal.way == "rename" or not is_taken(here):
                left.append(file)
    remove_empty(journal.made_folders[::-1])
    return left


def _rename_back(journal: Journal, there: Path, here: Path) -> None:
    if journal.way == "rename":  # both are on one disk, so this makes no folder where a disk should be
        ensure_folder(here.parent)
    os.rename(there, here)
    flush_folder(here.parent)
    flush_folder(there.parent)


def stranded(journal: Journal, left: Sequence[Carried], error: BaseException | None = None) -> FolderUnusable:
    """The sentence for files that an undone move could not bring back."""
    many = "1 file of your models is" if len(left) == 1 else f"{len(left)} files of your models are"
    why = f" {_reason(error)}" if error is not None else ""
    fix = (
        "Connect its disk and see that it can be written: Nearfar then brings them back by itself. If it is gone for "
        "good, make that folder anew."
        if journal.way == "rename"
        else "Choose that folder for models, or copy them back."
    )
    what = f"Moving the models folder was interrupted.{why} {many} in {journal.new} still, the others in {journal.old}."
    return FolderUnusable(what, safe="Nothing was removed.", fix=fix)


def _reason(error: BaseException) -> str:
    if isinstance(error, NearfarError):
        return error.problem.what
    return f"The reason: {getattr(error, 'strerror', None) or type(error).__name__}."


def _is_copy(here: Path, there: Path, file: Carried) -> bool:
    """Whether removing one of the two loses nothing: the source is still what was copied, the copy has its size.

    Links are never followed to the copy: one that leads to the source is no copy. Raises OSError where one is missing.
    """
    copy, source = os.lstat(there), os.lstat(here)
    if os.path.samestat(copy, source):
        return False
    if stat.S_ISLNK(source.st_mode):
        return stat.S_ISLNK(copy.st_mode) and same_place(here, there)
    return stat.S_ISREG(copy.st_mode) and copy.st_size == file.size_bytes and Stamp.of(source) == file.source


def clear_old(journal: Journal) -> None:
    """After the switch: remove the old files of which a whole copy is in the new folder, and folders left empty."""
    for file in journal.files:
        here, there = journal.old / file.path, journal.new / file.path
        with contextlib.suppress(OSError):
            if file.source is not None and is_taken(there) and _is_copy(here, there, file):
                here.unlink()
    folders = {journal.old / parent for file in journal.files for parent in Path(file.path).parents}
    remove_empty(sorted(folders, key=lambda folder: len(folder.parts), reverse=True))


def remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()


def settle(journal_path: Path, folder: Path) -> str:
    """At a start: bring an interrupted move to one whole folder; `folder` is what the settings name now.

    Returns a sentence for the person, empty where there is nothing to say. Never raises.
    """
    journal = journals.read(journal_path)
    if journal is None or journal.is_live:
        return ""
    if not same_place(folder, journal.new) and not same_place(folder, journal.old):
        return ""
    if not journal.old.is_dir() and not journal.new.is_dir():
        return (
            f"Moving the models folder was interrupted, and neither {journal.old} nor {journal.new} is there now. "
            "Nothing was removed. Connect their disk, and Nearfar puts it in order."
        )
    if same_place(folder, journal.new):
        if not journal.new.is_dir():
            return ""
        if not journal.switched and any(not is_taken(journal.new / file.path) for file in journal.files):
            return ""
        clear_old(journal)
        journals.remove(journal_path)
        return ""
    if journal.switched:
        return ""
    if journal.way == "rename":
        left = undo(journal)
        if left:
            return stranded(journal, left).problem.sentence
        journals.remove(journal_path)
        return "Moving the models folder was interrupted. Your models are where they were. Move it again if you wish."
    return (
        f"Moving the models folder to {journal.new} was interrupted. Your models are where they were. "
        "Move it there again to go on."
    )


def abandon(journal_path: Path, new: Path) -> None:
    """Before a move to `new`: remove what an interrupted move left in a folder that is not wanted any more.

    Raises FolderUnusable where only the journal knows of models in there. Copies that cannot be removed just stay.
    """
    journal = journals.read(journal_path)
    if journal is None or journal.is_live or journal.switched:
        return
    if journal.way == "copy" and same_place(journal.new, new):
        return  # what was copied already is found there
    left = undo(journal)
    if left and journal.way == "rename":
        raise stranded(journal, left)
    journals.remove(journal_path)


def same_place(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
