"""Downloads as the window asks for them: licence, token, pause, resume, and repos to add. Must not fetch, nor paint."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from concurrent.futures import Future

from PySide6.QtCore import QObject, Qt, Signal, Slot

from app.engine_thread import EngineThread
from app.hub_host import hub_host
from app.models_state import ModelsState, problem_of
from app.models_view import title_of
from backends.errors import NearfarError, Problem
from backends.keys import parse_key
from backends.models.hub_listing import RepoListing
from backends.models.records import DownloadPlan, DownloadProgress
from backends.workbench import Workbench
from widgets.dialog import Dialog
from widgets.licence_dialog import LicenceDialog
from widgets.main_window import MainWindow
from widgets.model_values import LicenceView, RepoFileLine
from widgets.models_page import ModelsPage
from widgets.repo_dialog import AddRepoDialog
from widgets.token_dialog import TokenDialog

GATED = "repo_gated"
BYTES_PER_MB = 10**6


class DownloadsController(QObject):
    """`settings_touched` says that a licence or a repo was remembered, or that the hub may be contacted now;
    `news_came` that downloads stand otherwise, `refused` (a ref and a Problem) that one could not be started."""

    settings_touched = Signal()
    news_came = Signal()
    refused = Signal(str, object)
    _news = Signal(object)

    def __init__(
        self,
        page: ModelsPage,
        window: MainWindow,
        engine: EngineThread,
        bench: Workbench,
        state: ModelsState,
        show: Callable[[], None],
        *,
        open_link: Callable[[str], None],
    ) -> None:
        super().__init__(page)
        self._page = page
        self._window = window
        self._engine = engine
        self._bench = bench
        self._models = bench.models
        self._state = state
        self._show = show
        self._open_link = open_link
        self._plans: dict[str, Future[DownloadPlan]] = {}
        self._limit: float | None = bench.settings.download_limit_mb_s
        self._begun = False
        # Called on the engine thread, five times a second at most.
        self._news.connect(self._took, Qt.ConnectionType.QueuedConnection)
        self._models.on_downloads = self._news.emit
        page.download_requested.connect(self.download)
        page.pause_requested.connect(lambda ref: self._do(self._pause(ref)))
        page.resume_requested.connect(self.resume)
        page.cancel_requested.connect(self.cancel)
        page.add_repo_requested.connect(self.add_repo)

    def begin(self) -> None:
        """List the downloads that an earlier session left; none of them goes on by itself."""
        self._begun = True
        self._do(self._restore())

    def set_limit(self, limit_mb_s: float | None) -> None:
        if limit_mb_s == self._limit or not self._begun:
            return
        self._limit = limit_mb_s
        limit_bytes_s = None if limit_mb_s is None else limit_mb_s * BYTES_PER_MB
        self._engine.call(lambda: self._models.downloads.set_limit(limit_bytes_s))

    @Slot(str)
    def download(self, ref: str) -> None:
        """The click is the consent to contact the hub. Plans, asks for the licence once, then downloads."""
        if ref in self._plans:
            return
        name, quant = self._state.name_of(ref)
        self._page.show_problem(None)
        self._state.planning[ref] = DownloadProgress(ref, name, quant, "queued", 0, None)
        self._show()
        planned = self._engine.ask(self._plan(ref), self._ask_licence, lambda error: self._not_planned(ref, error))
        self._plans[ref] = planned

    @Slot(str)
    def resume(self, ref: str) -> None:
        self._page.show_problem(None)
        self._do(self._go_on(ref))

    @Slot(str, bool)
    def cancel(self, ref: str, discard: bool) -> None:
        planned = self._plans.pop(ref, None)
        self._state.planning.pop(ref, None)
        if planned is not None:
            planned.cancel()
            self._show()
        else:
            self._do(self._cancel(ref, discard=discard))

    def dismiss(self, ref: str) -> None:
        """Leave a download that is done out of the list."""
        if any(each.ref == ref and each.state == "done" for each in self._state.downloads):
            self._engine.call(lambda: self._models.downloads.forget(ref))

    def dismiss_done(self) -> None:
        for each in self._state.downloads:
            self.dismiss(each.ref)

    # -- on the engine thread ----------------------------------------------------------------------------------------

    async def _restore(self) -> None:
        await self._models.downloads.restore()

    async def _plan(self, ref: str) -> DownloadPlan:
        self._models.consent()
        return await self._models.plan_for(ref)

    async def _start(self, plan: DownloadPlan) -> Problem | None:
        problem = await self._models.accept(plan)
        self._models.start(plan)
        return problem

    async def _pause(self, ref: str) -> None:
        await self._models.downloads.pause(ref)

    async def _go_on(self, ref: str) -> None:
        self._models.resume(ref)

    async def _cancel(self, ref: str, *, discard: bool) -> None:
        await self._models.downloads.cancel(ref, discard=discard)
        if discard:
            self._models.downloads.forget(ref)

    def _do(self, work: Coroutine[object, object, None]) -> None:
        self._engine.ask(work, lambda _none: None, self._failed)

    # -- licence and token -------------------------------------------------------------------------------------------

    def _ask_licence(self, plan: DownloadPlan) -> None:
        self.settings_touched.emit()
        if plan.ref not in self._plans:
            return
        if self._models.is_accepted(plan):
            self._accepted(plan)
            return
        from backends.models.licensing import licence_of

        licence = licence_of(plan)
        view = LicenceView(licence.tag, licence.name, licence.url, licence.credit, licence.notice)
        sizes = [file.size_bytes for file in plan.files]
        size = None if None in sizes else sum(each for each in sizes if each is not None)
        dialog = LicenceDialog(view, title_of(plan.name, plan.quant), size_bytes=size, parent=self._window)
        dialog.licence_accepted.connect(lambda _tag: self._accepted(plan))
        dialog.link_requested.connect(self._open_link)
        dialog.rejected.connect(lambda: self._planned(plan.ref))
        _open(dialog)

    def _accepted(self, plan: DownloadPlan) -> None:
        self._engine.ask(
            self._start(plan),
            lambda problem: self._started(plan.ref, problem),
            lambda error: self._not_planned(plan.ref, error),
        )

    def _started(self, ref: str, problem: Problem | None) -> None:
        self._plans.pop(ref, None)  # its line stays until the queue tells of it
        self.settings_touched.emit()
        if problem is not None:
            self._page.show_problem(problem)

    def _planned(self, ref: str) -> None:
        """Nobody waits for it any more."""
        self._plans.pop(ref, None)
        self._state.planning.pop(ref, None)
        self._show()

    def _not_planned(self, ref: str, error: BaseException) -> None:
        if ref not in self._plans:
            return
        self._planned(ref)
        problem = problem_of(error)
        if problem.code == GATED:
            self._ask_token(_repo_of(ref), lambda: self.download(ref), problem)
        else:
            self._page.show_problem(problem)
            self.refused.emit(ref, problem)

    def _ask_token(self, repo: str, again: Callable[[], None], problem: Problem) -> None:
        dialog = TokenDialog(repo, parent=self._window)

        def give(_repo: str, pasted: str) -> None:
            try:
                self._models.keep_token(parse_key(pasted))
            except NearfarError as error:
                self._page.show_problem(error.problem)
                return
            again()

        dialog.token_entered.connect(give)
        dialog.rejected.connect(lambda: self._page.show_problem(problem))
        _open(dialog)

    # -- repos -------------------------------------------------------------------------------------------------------

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
                if problem.code == GATED:
                    self._ask_token(repo, dialog.look_up, problem)

            def listed(listing: RepoListing) -> None:
                self.settings_touched.emit()
                dialog.show_listing(_lines(listing))

            asked[:] = [self._engine.ask(self._models.add_repo(repo), listed, refused)]

        dialog.lookup_requested.connect(look_up)
        dialog.lookup_cancelled.connect(stop)
        dialog.rejected.connect(stop)
        dialog.download_requested.connect(self.download)
        _open(dialog)

    # -- news --------------------------------------------------------------------------------------------------------

    @Slot(object)
    def _took(self, news: tuple[DownloadProgress, ...]) -> None:
        failed_before = {each.ref for each in self._state.downloads if each.state == "failed"}
        self._state.downloads = news
        for each in news:
            if each.ref not in self._plans:
                self._state.planning.pop(each.ref, None)
        self._window.show_download_progress(self._state.share(), any(each.state == "failed" for each in news))
        self._show()
        self.news_came.emit()
        for each in news:
            gated = each.problem is not None and each.problem.code == GATED
            if each.problem is not None and gated and each.ref not in failed_before:
                self._ask_token(_repo_of(each.ref), lambda ref=each.ref: self.resume(ref), each.problem)  # type: ignore[misc]  # a lambda's default

    def _failed(self, error: BaseException) -> None:
        self._page.show_problem(problem_of(error))


def _open(dialog: Dialog) -> None:
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()


def _repo_of(ref: str) -> str:
    """OWNER/REPO of a ref, for people to read."""
    from backends.models.catalogue import find
    from backends.models.references import HubRef, parse_ref

    try:
        wanted = parse_ref(ref)
        return wanted.repo if isinstance(wanted, HubRef) else find(ref)[1].repo
    except NearfarError:
        return ref


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
