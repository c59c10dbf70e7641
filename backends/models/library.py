"""The models on this disk: lists, verifies, imports, removes and moves them. Must not know windows, nor load weights.

Every method that touches the disk blocks; call it in a thread, except `move_folder`. What the library knows beyond the
files themselves is in its index, which it can lose (`index.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from backends.errors import ModelMissing, Problem
from backends.models.disk import folder_problem
from backends.models.download_names import is_valid
from backends.models.errors import FileMismatch, FolderMissing, InUse
from backends.models.folder import never
from backends.models.home import holds_something, home_key, identity, missing
from backends.models.importing import How
from backends.models.index import FoundModel, Index, IndexFile, Named, Proof
from backends.models.inventory import CatalogueFiles, Inventory, file_key, stamp_of
from backends.models.library_import import import_file
from backends.models.library_move import Switch, move_folder
from backends.models.lookup import find_model
from backends.models.move_recovery import settle
from backends.models.records import CatalogueModel, DownloadPlan, InstalledModel
from backends.models.removal import forget_found, freed_bytes, is_foreign, remove_files
from backends.models.verify import Hashed, OnProgress, counted, hash_file, no_progress

MOVE_JOURNAL = "models-move.json"


class Library:
    """`in_use` says which refs are loaded now. Safe from any thread; `models` never waits."""

    def __init__(
        self,
        folder: Path,
        index_file: Path,
        *,
        catalogue: Callable[[], Iterable[CatalogueModel]] = tuple,
        in_use: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self.folder = folder
        self.problem: Problem | None = None
        self.notice = ""
        self._index = IndexFile(index_file)
        self._journal = index_file.with_name(MOVE_JOURNAL)
        self._catalogue = catalogue
        self._known: CatalogueFiles | None = None
        self._in_use = in_use
        self._lock = threading.RLock()
        self._models: tuple[InstalledModel, ...] | None = None
        self._expected: dict[str, str] = {}
        self._moving = False

    # -- listing ---------------------------------------------------------------------------------------------------

    def scan(self) -> tuple[InstalledModel, ...]:
        """Look at the disk again. Never raises: `problem` says why the folder could not be read, `notice` what else."""
        with self._lock:
            if not self._moving:
                self.notice = settle(self._journal, self.folder) or self.notice
            index, files = self._index.read(), self._files()
            inventory = Inventory(self.folder, index, files)
            try:
                absent = missing(self.folder, index)
                self.problem = None if absent is None else absent.problem
                if absent is None:
                    models = inventory.take()
                    self._keep(inventory)
            except OSError as error:
                self.problem = folder_problem(self.folder, error).problem
            if self.problem is not None:
                inventory = Inventory(self.folder, index, files, without_folder=True)
                models = inventory.take()
            self._expected = inventory.expected
            self._models = models
            return models

    def models(self) -> tuple[InstalledModel, ...]:
        """As the last scan saw them; empty before the first."""
        return self._models or ()

    def find(self, name: str) -> InstalledModel:
        """By ref or name; scans where it is not known yet. Raises ModelMissing with the closest names."""
        try:
            return find_model(self.models(), name)
        except ModelMissing:
            return find_model(self.scan(), name)

    def _files(self) -> CatalogueFiles:
        if self._known is None:
            self._known = CatalogueFiles(self._catalogue())
        return self._known

    def _keep(self, inventory: Inventory) -> None:
        """Write down headers read anew, and let go of files that are gone.

        Nothing is let go of while a move is under way or waits to be settled: those files are only elsewhere.
        """
        in_order = not self._journal.exists()
        index = self._index.read()
        gone = index.files.keys() - inventory.seen if in_order else set()
        place, home = home_key(self.folder), identity(self.folder)
        moved = home is not None and index.homes.get(place) != home and holds_something(self.folder)
        if not gone and not inventory.fresh and not moved:
            return

        def work(index: Index) -> None:
            index.files.update(inventory.fresh)
            for key in gone:
                index.files.pop(key, None)
                index.named.pop(key, None)
            if moved and home is not None:
                index.homes[place] = home

        self._index.change(work)

    def start_anew(self) -> None:
        """The person wants the folder as it is now, also where models that it held are not there any more."""
        key, gone = home_key(self.folder), False
        with suppress(OSError):  # the scan says it
            gone = missing(self.folder, self._index.read()) is not None

        def work(index: Index) -> None:
            index.homes.pop(key, None)
            for each in [name for name in index.files if gone and not Path(name).is_absolute()]:
                index.files.pop(each)
                index.named.pop(each, None)

        self._index.change(work)
        self.scan()

    def check_folder(self) -> None:
        """Raises FolderMissing where the last look found that models lay in this folder and it is not there now."""
        if self.problem is not None and self.problem.code == FolderMissing.code:
            raise FolderMissing(self.problem.what)

    # -- use and proof ---------------------------------------------------------------------------------------------

    def touch_used(self, ref: str) -> None:
        """A run uses this model now."""
        now = datetime.now(UTC)
        self._index.change(lambda index: index.used.update({ref: now}))
        with self._lock:
            self._models = tuple(
                replace(model, last_used_at=now) if model.ref == ref else model for model in self.models()
            )

    def add_downloaded(
        self, plan: DownloadPlan, files: Sequence[Path], sha256s: Sequence[str | None]
    ) -> InstalledModel:
        """A download has ended: `sha256s` were taken while writing and matched. Raises ModelMissing."""
        stamps = [stamp_of(path) for path in files]

        def work(index: Index) -> None:
            for path, sha256, stamp in zip(files, sha256s, stamps, strict=True):
                if sha256 is not None and stamp is not None:
                    index.prove(file_key(self.folder, path), Proof(stamp, sha256, matched=True), sha256)
            index.named[file_key(self.folder, files[0])] = Named(plan.ref, plan.name, plan.licence_tag)

        self._index.change(work)
        self.scan()
        return self.find(plan.ref)

    def verify(
        self, ref: str, on_progress: OnProgress = no_progress, cancelled: Callable[[], bool] = never
    ) -> InstalledModel | None:
        """Read the files and compare their hashes with what their source or the catalogue says; None where cancelled.

        Where nothing is known to compare with, the hash is kept, so that a later change shows. Raises FileMismatch,
        or ModelMissing where a file cannot be read.
        """
        model = self.find(ref)
        report = counted(on_progress, model.size_bytes)
        bad = []
        for path in model.files:
            hashed = hash_file(path, on_bytes=report, cancelled=cancelled)
            if hashed is None:
                return None
            if self.prove(path, hashed) is False:
                bad.append(path.name)
        self.scan()
        if bad:
            raise FileMismatch(
                f"{', '.join(bad)} is not the file it should be: its sha256 is another.",
                safe="It was left where it is.",
                fix="Do not use it. Remove it and download it again.",
            )
        return self.find(model.ref)

    def prove(self, path: Path, hashed: Hashed) -> bool | None:
        """Keep a hash that was taken; returns whether it is the right one, None where nothing is known of that."""
        key = file_key(self.folder, path)
        expected = self._expected.get(key)
        if expected is not None:
            matched: bool | None = hashed.sha256 == expected.lower()
        else:
            matched = True if self._files().hashed(hashed.sha256) is not None else None
        self._index.change(lambda index: index.prove(key, Proof(hashed.stamp, hashed.sha256, matched), expected))
        return matched

    # -- coming and going ------------------------------------------------------------------------------------------

    def what_remove_frees(self, ref: str) -> int:
        """Bytes that `remove` would free: none for files of other programs or elsewhere. Raises ModelMissing."""
        return freed_bytes(self.folder, self.find(ref))

    def remove(self, ref: str) -> int:
        """Remove our own files, only forget all others; returns the bytes freed. Raises InUse or LibraryError."""
        model = self.find(ref)
        if model.ref in self._in_use():
            raise InUse(f"{model.name} is loaded now.")
        freed = freed_bytes(self.folder, model)
        if is_foreign(model):
            self._index.change(lambda index: forget_found(index, model))
        else:
            remove_files(self.folder, model)
        self.scan()
        return freed

    def remember_found(self, found: Sequence[FoundModel]) -> tuple[InstalledModel, ...]:
        """Take over what a search for models of other programs found, in place of what an earlier one did.

        A path that UTF-8 cannot hold cannot be written down, so such a model is left out.
        """

        def work(index: Index) -> None:
            index.found = tuple(each for each in found if all(is_valid(str(path)) for path in each.files))

        self._index.change(work)
        self.scan()
        return tuple(model for model in self.models() if is_foreign(model))

    def import_file(
        self,
        path: Path,
        how: How = "link",
        on_progress: OnProgress = no_progress,
        cancelled: Callable[[], bool] = never,
    ) -> InstalledModel | None:
        """Take a file of the person's own into the list; None where cancelled. A file that is in it is found again.

        A link needs no space and falls back to using the file in place. Raises ModelMissing, NotAModel, ModelUnusable,
        DiskFull or FolderUnusable; the file itself is never changed.
        """
        return import_file(self, path, how, on_progress, cancelled)

    # -- the folder ------------------------------------------------------------------------------------------------

    async def move_folder(
        self,
        new: Path,
        on_progress: OnProgress = no_progress,
        cancelled: Callable[[], bool] = never,
        *,
        switch: Switch,
    ) -> bool:
        """Move all models to `new`; False where cancelled, and everything is then as before.

        `switch` makes the settings name the new folder, durably, before any old file goes. Cancelling the task waits
        until what is begun is undone. Raises InUse, DiskFull, FolderUnusable or FileMismatch.
        """
        return await move_folder(self, new, on_progress, cancelled, switch)

    @property
    def is_moving(self) -> bool:
        return self._moving

    @contextmanager
    def moving(self) -> Iterator[Path]:
        """While files move no scan settles the move; gives the move's journal. Raises InUse where one goes on."""
        with self._lock:
            loaded = self._in_use()
            if self._moving or loaded:
                raise InUse("The models folder is being moved." if self._moving else f"{sorted(loaded)[0]} is loaded.")
            self.notice = ""
            settle(self._journal, self.folder)
            self._moving = True
        try:
            yield self._journal
        finally:
            self._moving = False

    def moved_to(self, folder: Path, hashes: Mapping[str, Hashed]) -> None:
        """The files are in `folder` now; `hashes` are of those that were copied and read back."""
        left = home_key(self.folder)

        def work(index: Index) -> None:
            for key, hashed in hashes.items():
                before = index.note(key).proof
                same = before is not None and before.sha256 == hashed.sha256
                index.prove(key, Proof(hashed.stamp, hashed.sha256, before.matched if before and same else None))
            index.homes.pop(left, None)

        self.folder = folder
        self._index.change(work)
