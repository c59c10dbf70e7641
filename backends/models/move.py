"""Moves the models folder so that a kill at any moment leaves every model whole in one place. Must not know models.

On one disk files are renamed; to another they are copied, flushed and read back, then the settings are switched, and
only then the old files go. A journal says how far it came, from which `move_recovery` brings it to one whole folder.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backends.files import flush_folder
from backends.models import journal as journals
from backends.models.disk import (
    NOT_MOVED,
    copy_file,
    folder_problem,
    is_taken,
    make_room,
    place,
    read_back,
    sweep,
    unfinished_name,
)
from backends.models.download_names import INCOMPLETE
from backends.models.errors import FolderUnusable
from backends.models.folder import SUFFIX, Bounds, never
from backends.models.importing import IN_PLACE, NOTE_SUFFIX
from backends.models.index import Stamp
from backends.models.journal import Carried, Journal, Way
from backends.models.move_recovery import clear_old, remove_empty, same_place, stranded, undo
from backends.models.verify import Hashed, OnProgress, hash_file, no_progress

UNFINISHED_SUFFIXES = (".part", ".json")
BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Moved:
    """The hashes of the files that were copied, by their path below the folder, with the stamps they have now."""

    hashes: dict[str, Hashed]


def check_places(old: Path, new: Path) -> None:
    """Raises FolderUnusable where one folder lies in the other."""
    here, there = Path(os.path.realpath(old)), Path(os.path.realpath(new))
    if there.is_relative_to(here) or here.is_relative_to(there):
        raise FolderUnusable(
            f"{new} and the present models folder {old} lie one in the other.",
            safe=NOT_MOVED,
            fix="Choose a folder beside it.",
        )


def carried_files(old: Path) -> list[Carried]:
    """What moves: models, unfinished downloads, and notes of models used in place. Anything else stays."""
    found = []
    for folder, folders, files in os.walk(old):
        below = Path(folder).relative_to(old)
        folders[:] = [name for name in sorted(folders) if name == INCOMPLETE or not name.startswith(".")]
        if len(below.parts) >= BOUNDS.depth:
            folders.clear()
        for name in sorted(files):
            if _moves(below, name):
                size = os.lstat(Path(folder) / name).st_size
                found.append(Carried((below / name).as_posix(), size))
    return found


def _moves(below: Path, name: str) -> bool:
    if below.parts == (INCOMPLETE,):
        return name.endswith(UNFINISHED_SUFFIXES)
    is_note = below.parts == (IN_PLACE,) and name.endswith(NOTE_SUFFIX)
    return is_note or (name.lower().endswith(SUFFIX) and not name.startswith("."))


class Mover:
    """One move. Blocking: run it in a thread."""

    def __init__(
        self,
        old: Path,
        new: Path,
        journal_path: Path,
        *,
        switch: Callable[[], None],
        on_progress: OnProgress = no_progress,
        cancelled: Callable[[], bool] = never,
    ) -> None:
        self._journal_path = journal_path
        self._switch = switch
        self._on_progress = on_progress
        self._cancelled = cancelled
        self._done_bytes = 0
        self._journal = Journal(old, new, "rename", [])

    def run(self) -> Moved | None:
        """None where it was cancelled, and everything is as before. Raises DiskFull, FolderUnusable, FileMismatch."""
        old, new = self._journal.old, self._journal.new
        check_places(old, new)
        try:
            files = carried_files(old)
        except OSError as error:
            raise folder_problem(old, error) from None
        way: Way = "rename" if same_disk(old, new) else "copy"
        size = sum(file.size_bytes for file in files)
        was_there = new.exists()
        make_room(new, size if way == "copy" else 0)
        self._journal = Journal(old, new, way, files, [] if was_there else [new])
        journals.claim(self._journal)
        try:
            if not self._adopt_equal(files):
                remove_empty(self._journal.made_folders)
                return None
            return self._carry(2 * size)
        except OSError as error:
            raise folder_problem(new, error) from None

    def _adopt_equal(self, files: list[Carried]) -> bool:
        """What is in the new folder already, as after a kill, is taken where it is the same; else nothing is moved."""
        for file in files:
            there = self._journal.new / file.path
            self._refuse_linked_folders(there)
            if not is_taken(there):
                continue
            here = self._journal.old / file.path
            if here.is_symlink() and there.is_symlink() and same_place(here, there):
                file.source, file.adopted = Stamp.of(os.lstat(here)), True
                continue
            if there.is_symlink():
                raise self._in_the_way(there, "is a link")
            if here.is_symlink() or not there.is_file() or there.stat().st_size != file.size_bytes:
                raise self._in_the_way(there)
            if os.path.samefile(here, there):  # a second name of the one file there is, or the same disk seen twice
                raise self._in_the_way(there, "leads to the very file that is to be moved")
            ours, theirs = (hash_file(path, cancelled=self._cancelled) for path in (here, there))
            if ours is None or theirs is None:
                return False
            if ours.sha256 != theirs.sha256:
                raise self._in_the_way(there)
            file.sha256, file.source, file.adopted = ours.sha256, ours.stamp, True
        return True

    def _refuse_linked_folders(self, there: Path) -> None:
        """What lies behind a link may be the old folder itself, and no scan would find a model there."""
        for folder in there.parents:
            if folder == self._journal.new:
                return
            if folder.is_symlink():
                raise self._in_the_way(folder, "is a link")

    def _in_the_way(self, path: Path, what: str = "is another file") -> FolderUnusable:
        return FolderUnusable(
            f"{path} is there already and {what}.", safe=NOT_MOVED, fix="Choose another folder, or rename it."
        )

    def _carry(self, total: int) -> Moved | None:
        journals.write(self._journal_path, self._journal)
        try:
            carried = all(not self._cancelled() and self._one(file, total) for file in self._journal.files)
            if carried:
                self._switch()
        except BaseException as error:
            self._undo(error)
            raise
        if not carried:
            self._undo()
            return None
        self._journal.switched = True
        with contextlib.suppress(OSError):  # `settle` sees it from the settings, too
            journals.write(self._journal_path, self._journal)
        moved = Moved(self._hashes())
        clear_old(self._journal)
        journals.remove(self._journal_path)
        return moved

    def _one(self, file: Carried, total: int) -> bool:
        old, new = self._journal.old / file.path, self._journal.new / file.path
        if file.adopted:
            self._report(2 * file.size_bytes, total)
            return True
        self._refuse_linked_folders(new)
        if is_taken(new):  # it came while this move went on
            raise self._in_the_way(new)
        self._make_folders(new.parent)
        if self._journal.way == "rename" and not old.is_symlink():
            os.rename(old, new)
            flush_folder(new.parent)
            flush_folder(old.parent)
            self._report(2 * file.size_bytes, total)
            return True
        if old.is_symlink():  # a relative one would lead nowhere from the new folder
            new.symlink_to(os.path.realpath(old))
            file.source = Stamp.of(os.lstat(old))
        elif not self._copy(file, old, new, total):
            return False
        flush_folder(new.parent)
        journals.write(self._journal_path, self._journal)
        return True

    def _copy(self, file: Carried, old: Path, new: Path, total: int) -> bool:
        sweep(new.parent)
        unfinished = unfinished_name(new)
        with contextlib.suppress(FileNotFoundError):
            unfinished.unlink()

        def report(count: int) -> None:
            self._report(count, total)

        hashed = copy_file(old, unfinished, on_bytes=report, cancelled=self._cancelled)
        if hashed is None:
            return False
        try:
            if not read_back(unfinished, hashed.sha256, on_bytes=report, cancelled=self._cancelled):
                unfinished.unlink()
                return False
            place(unfinished, new)
        except BaseException:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise
        file.sha256, file.source = hashed.sha256, hashed.stamp
        return True

    def _make_folders(self, folder: Path) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        if missing:
            self._journal.made_folders += missing[::-1]
            journals.write(self._journal_path, self._journal)
        for each in reversed(missing):
            each.mkdir(mode=0o700)

    def _report(self, count: int, total: int) -> None:
        self._done_bytes += count
        self._on_progress(self._done_bytes, total)

    def _hashes(self) -> dict[str, Hashed]:
        hashes = {}
        for file in self._journal.files:
            with contextlib.suppress(OSError):
                if file.sha256 is not None:
                    hashes[file.path] = Hashed(file.sha256, Stamp.of((self._journal.new / file.path).stat()))
        return hashes

    def _undo(self, error: BaseException | None = None) -> None:
        """Raises FolderUnusable where files could not be brought back; the journal then stays, for a later `settle`."""
        left = undo(self._journal)
        if left:
            raise stranded(self._journal, left, error) from error
        journals.remove(self._journal_path)


def same_disk(old: Path, new: Path) -> bool:
    """Whether a rename from one to the other can work; the folder `new` need not exist yet."""
    place_ = new
    while not place_.exists() and place_ != place_.parent:
        place_ = place_.parent
    try:
        return os.stat(old).st_dev == os.stat(place_).st_dev
    except OSError:
        return False
