"""Brings an interrupted move of the models folder to one whole folder, either way. Must not begin a move.

Nothing is removed of which the other folder has no whole copy.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from backends.models import journal as journals
from backends.models.disk import is_taken
from backends.models.index import Stamp
from backends.models.journal import Carried, Journal


def undo(journal: Journal) -> None:
    """Everything back to the old folder: renamed files are renamed back, copies that this move made are removed."""
    for file in journal.files:
        here, there = journal.old / file.path, journal.new / file.path
        with contextlib.suppress(OSError):
            if not is_taken(here):
                os.rename(there, here)
            elif file.source is not None and not file.adopted and _is_copy(here, there, file):
                there.unlink()
    remove_empty(journal.made_folders[::-1])


def _is_copy(here: Path, there: Path, file: Carried) -> bool:
    """Whether removing one of the two loses nothing: the source is still what was copied, the copy has its size."""
    if here.is_symlink():
        return there.is_symlink()
    return Stamp.of(here.stat()) == file.source and there.stat().st_size == file.size_bytes


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
    if same_place(folder, journal.new):
        if not journal.switched and any(not is_taken(journal.new / file.path) for file in journal.files):
            return ""
        clear_old(journal)
        journals.remove(journal_path)
        return ""
    if journal.switched or not same_place(folder, journal.old):
        return ""
    if journal.way == "rename":
        undo(journal)
        journals.remove(journal_path)
        return "Moving the models folder was interrupted. Your models are where they were. Move it again if you wish."
    return (
        f"Moving the models folder to {journal.new} was interrupted. Your models are where they were. "
        "Move it there again to go on."
    )


def abandon(journal_path: Path, new: Path) -> None:
    """Before a move to `new`: remove what an interrupted move left in a folder that is not wanted any more."""
    journal = journals.read(journal_path)
    if journal is not None and not journal.is_live and not journal.switched and not same_place(journal.new, new):
        undo(journal)
        journals.remove(journal_path)


def same_place(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
