"""Everything about models that a front end needs: catalogue, library, hub and downloads. Must not know Qt or terminals.

Made with the program and idle until it is used: no folder is looked at, nothing is imported or contacted before that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from backends.egress import Egress
from backends.errors import ModelMissing, Problem, SettingsNotSaved
from backends.key_ring import KeyRing
from backends.models.errors import BadReference, InUse, LicenceNotAccepted
from backends.models.folder import never
from backends.models.given_path import folder_in_use, given_path
from backends.models.importing import How
from backends.models.index import INDEX_FILE, Stamp
from backends.models.library import Library
from backends.models.lookup import HF, is_damaged, refuse_changed
from backends.models.permissions import Permissions
from backends.models.records import CatalogueModel, DownloadPlan, DownloadProgress, InstalledModel
from backends.models.removal import refuse_while_downloading
from backends.models.verify import Hashed, OnProgress, no_progress
from backends.paths import Paths
from backends.settings import Settings

if TYPE_CHECKING:
    from backends.models.download import Downloads
    from backends.models.foreign import Search
    from backends.models.hub import Hub
    from backends.models.hub_listing import RepoListing

BYTES_PER_MB = 10**6


def _nobody(_news: object) -> None:
    """Until somebody listens."""


async def _nothing_held(_ref: str | None) -> None:
    """Where no model is ever loaded."""


class Models:
    """Make it anywhere; its coroutines and downloads belong to one event loop. `close` pauses what still runs."""

    def __init__(
        self,
        paths: Paths,
        *,
        settings: Callable[[], Settings],
        change: Callable[..., None],
        save: Callable[[], Awaitable[Problem | None]],
        egress: Egress,
        keys: KeyRing,
        in_use: Callable[[], Collection[str]] = tuple,
        release: Callable[[str | None], Awaitable[None]] = _nothing_held,
    ) -> None:
        """`change` takes settings by name, `save` makes them durable; `in_use` says which refs are loaded now.

        `release` unloads a model by its ref, or all for None, where no run uses it; it is awaited before files go.
        """
        self._paths = paths
        self._settings = settings
        self._change = change
        self._save = save
        self._egress = egress
        self._keys = keys
        self._in_use = in_use
        self._release = release
        self.permissions = Permissions(
            lambda: self.hub, settings=settings, change=change, save=save, egress=egress, keys=keys
        )
        self._library: Library | None = None
        self._hub: Hub | None = None
        self._downloads: Downloads | None = None
        self.on_downloads: Callable[[tuple[DownloadProgress, ...]], None] = _nobody
        self.on_installed: Callable[[tuple[InstalledModel, ...]], None] = _nobody

    # -- parts -----------------------------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """Where models are kept now. Raises FolderUnusable where the settings name a place that cannot be."""
        return folder_in_use(self._settings().models_folder, self._paths.models)

    @property
    def library(self) -> Library:
        """The models on this disk; its methods block."""
        if self._library is None:
            self._library = Library(
                self.folder, self._paths.data / INDEX_FILE, catalogue=self.catalogue, in_use=self._in_use
            )
        elif self._library.folder != self.folder and not self._library.is_moving:
            self._library.folder = self.folder  # chosen anew in the settings
        return self._library

    @property
    def hub(self) -> Hub:
        """Raises BadAddress."""
        if self._hub is None:
            from backends.models.hub import KEY_NAME, Hub

            self._hub = Hub(self._egress, token=lambda: self._keys.get(KEY_NAME))
        return self._hub

    @property
    def downloads(self) -> Downloads:
        """The queue. First use it on the event loop that is to run it."""
        if self._downloads is None:
            from backends.models.download import Downloads

            limit = self._settings().download_limit_mb_s
            self._downloads = Downloads(
                self.hub,
                lambda: self.folder,
                on_change=lambda news: self.on_downloads(news),
                on_done=self._downloaded,
                limit_bytes_s=None if limit is None else limit * BYTES_PER_MB,
            )
        return self._downloads

    def catalogue(self) -> tuple[CatalogueModel, ...]:
        from backends.models.catalogue import catalogue

        return catalogue()

    async def close(self) -> None:
        """Pause downloads, durably, and end connections; idempotent."""
        if self._downloads is not None:
            await self._downloads.close()
        if self._hub is not None:
            await self._hub.close()

    # -- what is here ----------------------------------------------------------------------------------------------

    async def installed(self) -> tuple[InstalledModel, ...]:
        """Look at the disk and list the models; `library.problem` says why there may be none."""
        return self._told(await asyncio.to_thread(self.library.scan))

    def resolve(self, model: str) -> InstalledModel | Path:
        """What `local:<model>` names: an installed model by its ref or name, or the path of a file. May read the disk.

        Raises ModelMissing for a name that is neither, and for a model of which parts are missing; BadReference for
        what looks like a path and can be none; ModelUnusable for one that changed since it was verified, or did not
        pass.
        """
        is_path = model.lower().endswith(".gguf") or len(Path(model).parts) > 1
        unusable: BadReference | None = None
        try:
            given = given_path(model, safe="Your prompt is kept.")
        except BadReference as error:  # a model's name may begin with ~
            unusable = error
        else:
            if model.startswith("~") or Path(model).is_absolute():
                return given
        try:
            found = self.library.find(model)
        except ModelMissing as error:
            if is_path and not model.lower().startswith(HF):
                if unusable is not None:
                    raise unusable from None
                return given
            raise self._better(error, model) from None
        if found.missing_parts:
            raise ModelMissing(
                f"{found.name} is not complete: {found.missing_parts[0]} is not where it was.",
                safe="Your prompt is kept.",
                fix="Put the file back, or download or import the model again.",
            )
        refuse_changed(found)
        return found

    def _better(self, error: ModelMissing, model: str) -> ModelMissing:
        """Why it is missing, where more is known than that."""
        from backends.models.planning import offered_ref

        what, fix = error.problem.what, error.problem.fix
        ref = offered_ref(model)
        if self.library.problem is not None:
            what, fix = self.library.problem.what, self.library.problem.fix
        elif ref is not None:
            what = f"{ref} is not on this disk."
            fix = f"Download it on the Models page, or with `nearfar models pull {ref}`."
        return ModelMissing(what, safe="Your prompt is kept.", fix=fix)

    async def verify(
        self, ref: str, on_progress: OnProgress = no_progress, cancelled: Callable[[], bool] = never
    ) -> InstalledModel | None:
        """As `Library.verify`, off the loop."""
        return await asyncio.to_thread(self.library.verify, ref, on_progress, cancelled)

    async def remove(self, ref: str) -> int:
        """As `Library.remove`, off the loop. Raises InUse, too, while a download of it is in the queue."""
        plans = () if self._downloads is None else self._downloads.live_plans()
        await self._release((await asyncio.to_thread(self.library.find, ref)).ref)

        def work() -> int:
            refuse_while_downloading(self.library.folder, self.library.find(ref), plans)
            return self.library.remove(ref)

        freed = await asyncio.to_thread(work)
        self._told(self.library.models())
        return freed

    async def import_file(
        self,
        path: Path,
        how: How = "link",
        on_progress: OnProgress = no_progress,
        cancelled: Callable[[], bool] = never,
    ) -> InstalledModel | None:
        """As `Library.import_file`, off the loop."""
        model = await asyncio.to_thread(self.library.import_file, path, how, on_progress, cancelled)
        self._told(self.library.models())
        return model

    async def find_foreign(self, cancelled: Callable[[], bool] = never) -> Search:
        """Look for models that other programs keep and list them from now on; only when the person asks."""
        from backends.models.foreign import find_foreign

        search = await asyncio.to_thread(find_foreign, cancelled=cancelled)
        await asyncio.to_thread(self.library.remember_found, search.models)
        self._told(self.library.models())
        return search

    async def move_folder(
        self, new: Path, on_progress: OnProgress = no_progress, cancelled: Callable[[], bool] = never
    ) -> bool:
        """As `Library.move_folder`, with the settings switched on the way. Raises InUse while a download runs."""
        if any(each.state in ("queued", "running") for each in self._progress()):
            raise InUse("A download into the models folder is running.", fix="Pause it, then move the folder.")
        await self._release(None)
        old = self.folder
        moved = await self.library.move_folder(new, on_progress, cancelled, switch=self._switch)
        if moved and self._downloads is not None:
            self._downloads.moved(old, self.folder)
        self._told(self.library.models())
        return moved

    async def _switch(self, folder: Path) -> None:
        before = self._settings().models_folder
        self._change(models_folder=str(folder))
        problem = await self._save()
        if problem is not None:
            self._change(models_folder=before)
            raise SettingsNotSaved(problem.what, safe="No model was moved.")

    # -- what can be had -------------------------------------------------------------------------------------------

    async def listing(self, repo: str, revision: str | None = None) -> RepoListing:
        """The GGUF files of a repo that the person named; see `Hub.listing` for what it raises, and `consent`."""
        self.permissions.consent()
        await self.permissions.load_token()
        return await self.hub.listing(repo, revision)

    async def plan_for(self, ref: str, revision: str | None = None) -> DownloadPlan:
        """What to download for MODEL:QUANT or hf:OWNER/REPO/FILE, see `planning.plan_for`."""
        from backends.models.planning import plan_for

        return await plan_for(ref, self.listing, revision)

    def start(self, plan: DownloadPlan) -> None:
        """Put a download at the end of the queue; on the loop.

        Raises LicenceNotAccepted, NetworkNotAllowed, FolderMissing, InUse while the folder is moved, and as
        `Downloads.add`.
        """
        if not self.permissions.is_accepted(plan):
            from backends.models.licensing import licence_of

            licence = licence_of(plan)
            raise LicenceNotAccepted(f"The licence of {plan.name} ({licence.name}) was not accepted.")
        self._needs_folder()
        self.permissions.consent()
        self.downloads.add(replace(plan, repairs=is_damaged(self.folder, plan, self.library.models())))

    def resume(self, ref: str) -> None:
        """Go on with a download, also with one of an earlier session; on the loop.

        Raises NetworkNotAllowed, FolderMissing, InUse.
        """
        self._needs_folder()
        self.permissions.consent()
        self.downloads.resume(ref)

    def _needs_folder(self) -> None:
        self.library.check_folder()
        if self.library.is_moving:
            raise InUse("The models folder is being moved.", fix="Wait until it is there, then start the download.")

    async def add_repo(self, repo: str) -> RepoListing:
        """List a repo's models and remember it among the person's own. Raises as `listing`."""
        from backends.models.references import parse_repo

        wanted = parse_repo(repo)
        listing = await self.listing(wanted.repo)
        if wanted.repo not in self._settings().added_repos:
            self._change(added_repos=(*self._settings().added_repos, wanted.repo))
            problem = await self._save()
            if problem is not None:
                raise SettingsNotSaved(problem.what)
        return listing

    async def _downloaded(self, plan: DownloadPlan, files: tuple[Path, ...], sha256s: tuple[str, ...]) -> None:
        await asyncio.to_thread(self._take_in, plan, files, sha256s)
        self._told(self.library.models())

    def _take_in(self, plan: DownloadPlan, files: tuple[Path, ...], sha256s: tuple[str, ...]) -> None:
        """What was begun before another folder was chosen is used where it lies."""
        if files[0].is_relative_to(self.library.folder):
            self.library.add_downloaded(plan, files, sha256s)
            return
        self.library.import_file(files[0], "use in place")
        for path, sha256 in zip(files, sha256s, strict=True):
            self.library.prove(path, Hashed(sha256, Stamp.of(path.stat())))
        self.library.scan()

    def _progress(self) -> tuple[DownloadProgress, ...]:
        return () if self._downloads is None else self._downloads.snapshot()

    def _told(self, models: tuple[InstalledModel, ...]) -> tuple[InstalledModel, ...]:
        self.on_installed(models)
        return models
