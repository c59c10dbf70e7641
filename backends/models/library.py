"""The models on this disk: lists, verifies, imports, removes and moves them. Must not know windows, nor load weights.

Every method that touches the disk blocks; call it in a thread, except `move_folder`. What the library knows beyond the
files themselves is in its index, which it can lose (`index.py`).
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from backends.errors import NearfarError, Problem
from backends.models.disk import folder_problem
from backends.models.errors import FileMismatch, InUse, LibraryError
from backends.models.folder import never
from backends.models.gguf import join_parts
from backends.models.headers import check_usable, header_of
from backends.models.importing import How, bring_in, free_stem, whole_group
from backends.models.index import FileNote, FoundModel, Index, IndexFile, Named, Proof
from backends.models.inventory import CatalogueFiles, Inventory, file_key, stamp_of
from backends.models.lookup import find_model
from backends.models.move import Moved, Mover, OnProgress, no_progress
from backends.models.move_recovery import abandon, same_place, settle
from backends.models.records import CatalogueModel, DownloadPlan, InstalledModel
from backends.models.removal import freed_bytes, is_foreign, remove_files
from backends.models.verify import Hashed, hash_file

MOVE_JOURNAL = "models-move.json"
Switch = Callable[[Path], Awaitable[None]]


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
            inventory = Inventory(self.folder, self._index.read(), self._files())
            self.problem = None
            try:
                models = inventory.take()
                if not self.folder.is_dir() and any(not Path(key).is_absolute() for key in self._index.read().files):
                    raise FileNotFoundError(2, "No such file or directory")
            except OSError as error:
                self.problem = folder_problem(self.folder, error).problem
                models = inventory.elsewhere()
            else:
                self._keep(inventory)
            self._expected = inventory.expected
            self._models = models
            return models

    def models(self) -> tuple[InstalledModel, ...]:
        """As the last scan saw them; empty before the first."""
        return self._models or ()

    def find(self, name: str) -> InstalledModel:
        """By ref or name; scans where that was not done yet. Raises ModelMissing with the closest names."""
        models = self.scan() if self._models is None else self._models
        return find_model(models, name)

    def _files(self) -> CatalogueFiles:
        if self._known is None:
            self._known = CatalogueFiles(self._catalogue())
        return self._known

    def _keep(self, inventory: Inventory) -> None:
        """Write down headers read anew, and let go of files that are gone."""
        gone = self._index.read().files.keys() - inventory.seen
        if not gone and not inventory.fresh:
            return

        def work(index: Index) -> None:
            index.files.update(inventory.fresh)
            for key in gone:
                index.files.pop(key, None)
                index.named.pop(key, None)

        self._index.change(work)

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
        done = 0

        def report(count: int) -> None:
            nonlocal done
            done += count
            on_progress(done, model.size_bytes)

        bad = []
        for path in model.files:
            hashed = hash_file(path, on_bytes=report, cancelled=cancelled)
            if hashed is None:
                return None
            if self._prove(path, hashed) is False:
                bad.append(path.name)
        self.scan()
        if bad:
            raise FileMismatch(
                f"{', '.join(bad)} is not the file it should be: its sha256 is another.",
                safe="It was left where it is.",
                fix="Do not use it. Remove it and download it again.",
            )
        return self.find(model.ref)

    def _prove(self, path: Path, hashed: Hashed) -> bool | None:
        key = file_key(self.folder, path)
        expected = self._expected.get(key)
        matched = hashed.sha256 == expected.lower() if expected else None
        if matched is not True and self._files().hashed(hashed.sha256) is not None and expected is None:
            matched = True
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
            self._index.change(lambda index: _forget_found(index, model))
        else:
            remove_files(self.folder, model)
        self.scan()
        return freed

    def remember_found(self, found: Sequence[FoundModel]) -> tuple[InstalledModel, ...]:
        """Take over what a search for models of other programs found, in place of what an earlier one did."""

        def work(index: Index) -> None:
            index.found = tuple(found)

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
        chosen = Path(os.path.abspath(path.expanduser()))
        group = whole_group(chosen)
        header, _stamp = check_usable(group.first)
        rest = [header_of(part)[0] for part in group.files[1:]]
        join_parts([header, *rest], name=group.first.name)
        same = self._same_files(group.files)
        if same is not None:
            return same
        total = sum(stamp.size_bytes for part in group.files if (stamp := stamp_of(part)) is not None)
        done = 0

        def report(count: int) -> None:
            nonlocal done
            done += count
            on_progress(done, total)

        with self._lock:
            refs = {model.ref.lower() for model in self.models()}
            stem = free_stem(group.stem, self.folder, len(group.files), lambda name: name.lower() in refs)
        brought = bring_in(group, stem, self.folder, how, on_bytes=report, cancelled=cancelled)
        if brought is None:
            return None
        for final, hashed in zip(brought.files, brought.hashes, strict=False):
            stamp = stamp_of(final)
            if stamp is not None:
                self._prove(final, Hashed(hashed.sha256, stamp))
        self.scan()
        return self._without_double(self.find(brought.stem))

    def _same_files(self, files: Sequence[Path]) -> InstalledModel | None:
        wanted = {(stamp.dev, stamp.inode) for path in files if (stamp := stamp_of(path)) is not None}
        for model in self.scan():
            here = {(stamp.dev, stamp.inode) for path in model.files if (stamp := stamp_of(path)) is not None}
            if here == wanted:
                return model
        return None

    def _without_double(self, new: InstalledModel) -> InstalledModel:
        """A copy of what is here already is dropped again."""
        if None in new.sha256 or not new.sha256:
            return new
        for other in self.models():
            if other.ref != new.ref and other.sha256 == new.sha256 and not other.missing_parts:
                remove_files(self.folder, new)
                self.scan()
                return self.find(other.ref)
        return new

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
        target = Path(os.path.abspath(new.expanduser()))
        loop = asyncio.get_running_loop()
        stop = threading.Event()

        def switch_now() -> None:
            asyncio.run_coroutine_threadsafe(_as_coroutine(switch(target)), loop).result()

        def work() -> bool:
            return self._move(target, switch_now, on_progress, lambda: stop.is_set() or cancelled())

        future = loop.run_in_executor(None, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait({future})
            raise
