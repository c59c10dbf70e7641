"""Repos of the hub that a person adds: looks them up and offers what they have. Must not download, nor paint."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Slot

from app.engine_thread import EngineThread
from app.hub_host import hub_host
from app.models_state import problem_of
from backends.models.hub_listing import RepoListing
from backends.workbench import Workbench
from widgets.main_window import MainWindow
from widgets.model_values import RepoFileLine
from widgets.models_page import ModelsPage
from widgets.repo_dialog import AddRepoDialog

if TYPE_CHECKING:
    from app.downloads_controller import DownloadsController

HIDDEN = "repo_hidden"
WANTS_TOKEN = frozenset({"repo_gated", HIDDEN})


class ReposController(QObject):
    """Hands what is chosen to `downloads`, which also asks for tokens."""

    def __init__(
        self,
        page: ModelsPage,
        window: MainWindow,
        engine: EngineThread,
        bench: Workbench,
        downloads: DownloadsController,
    ) -> None:
        super().__init__(page)
        self._window = window
        self._engine = engine
        self._models = bench.models
        self._downloads = downloads
        page.add_repo_requested.connect(self.add_repo)

    @Slot()
    def add_repo(self) -> None:
        dialog = AddRepoDialog(parent=self._window, host=hub_host())
        asked: list[Future[RepoListing]] = []

        def stop() -> None:
            for future in asked:
                future.cancel()

        def look_up(repo: str) -> None:
            stop()

            def refused(error: BaseException) -> None:
                problem = problem_of(error)
                dialog.show_problem(problem)
                if problem.code in WANTS_TOKEN:
                    self._downloads.ask_token(repo, dialog.look_up, problem)

            def listed(listing: RepoListing) -> None:
                dialog.show_listing(_lines(listing))

            asked[:] = [self._engine.ask(self._look_up(repo), listed, refused)]

        dialog.lookup_requested.connect(look_up)
        dialog.lookup_cancelled.connect(stop)
        dialog.rejected.connect(stop)
        dialog.download_requested.connect(self._downloads.download)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    async def _look_up(self, repo: str) -> RepoListing:
        from backends.models.references import parse_repo

        parse_repo(repo)  # what is no repo is nothing to contact the hub for
        return await self._downloads.hub.during(lambda: self._models.add_repo(repo))


def _lines(listing: RepoListing) -> list[RepoFileLine]:
    """What of a repo can be downloaded; models of which parts are missing there cannot."""
    return [
        RepoFileLine(
            ref=model.ref,
            name=model.name,
            quant=model.quant,
            size_bytes=model.size_bytes,
            n_parts=len(model.files),
            hashed=all(file.sha256 is not None for file in model.files),
        )
        for model in listing.models
        if not model.missing
    ]
