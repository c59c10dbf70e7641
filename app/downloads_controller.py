"""Downloads as the window asks for them: licence, token, pause, resume. Must not fetch, nor paint."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from concurrent.futures import Future

from PySide6.QtCore import QObject, Qt, Signal, Slot

from app.engine_thread import EngineThread
from app.hub_host import hub_host
from app.hub_talk import HubTalk
from app.keyring_words import problem_of_state, tell_keyring
from app.models_state import ModelsState, problem_of
from app.models_view import title_of
from app.repos_controller import HIDDEN, WANTS_TOKEN, ReposController
from backends.errors import NearfarError, Problem
from backends.key_ring import KeyState
from backends.keys import parse_key
from backends.models.records import DownloadPlan, DownloadProgress
from backends.workbench import Workbench
from widgets import format as fmt
from widgets.dialog import Dialog
from widgets.download_doubt import DownloadDoubt
from widgets.file_words import lack_of_room
from widgets.licence_dialog import LicenceDialog
from widgets.main_window import MODELS, MainWindow
from widgets.model_values import LicenceView
from widgets.models_page import ModelsPage
from widgets.token_dialog import TokenDialog

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
        self.hub = HubTalk(bench.models, self)
        self.hub.changed.connect(self.settings_touched)
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
        self.repos = ReposController(page, window, engine, bench, self)

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
        """Asks first where that looks like a mistake: what does not fit, or what the disk cannot hold."""
        fit, choice = self._state.fit(ref), self._state.choice(ref)
        doubts = []
        if fit is not None and fit.verdict == "no":
            doubts.append(
                f"It does not fit this machine now: {fmt.byte_size(fit.missing_bytes)} of memory are missing."
            )
        if choice is not None and (lack := lack_of_room(choice.file_bytes, self._state.folder_free_bytes)):
            doubts.append(f"It takes {fmt.byte_size(choice.file_bytes)}. {lack}")
        if not doubts or self._bench.settings.local_only:
            self._begin_download(ref)
            return
        dialog = DownloadDoubt(title_of(*self._state.name_of(ref)), tuple(doubts), parent=self._window)
        dialog.confirmed.connect(lambda: self._begin_download(ref))
        _open(dialog)

    def _begin_download(self, ref: str) -> None:
        """The click is the consent to contact the hub. Plans, asks for the licence once, then downloads."""
        if ref in self._plans:
            return
        name, quant = self._state.name_of(ref)
        self._page.show_problem(None)
        self._state.planning[ref] = DownloadProgress(ref, name, quant, "queued", 0, None)
        self._state.asking_hub.add(ref)
        planned = self._engine.ask(self._plan(ref), self._ask_licence, lambda error: self._not_planned(ref, error))
        self._plans[ref] = planned
        self._tell()

    def _tell(self) -> None:
        """Downloads stand otherwise, those that are being planned included."""
        self._show()
        self.news_came.emit()

    @Slot(str)
    def resume(self, ref: str) -> None:
        self._page.show_problem(None)
        self._do(self._go_on(ref))

    @Slot(str, bool)
    def cancel(self, ref: str, discard: bool) -> None:
        planned = self._plans.pop(ref, None)
        self._state.forget_plan(ref)
        if planned is not None:
            planned.cancel()
            self._tell()
        else:
            self._do(self._cancel(ref, discard=discard))

    def hosts(self) -> tuple[str, ...]:
        """Other machines that are being contacted for models now."""
        busy = any(each.state in ("queued", "running") for each in self._state.downloads)
        host = self.hub.known_host() if busy else self.hub.host
        return (host,) if host else ()

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
        return await self.hub.during(lambda: self._models.plan_for(ref))

    async def _start(self, plan: DownloadPlan) -> Problem | None:
        problem = await self._models.permissions.accept(plan)
        self._models.start(plan)
        return problem

    async def _pause(self, ref: str) -> None:
        await self._models.downloads.pause(ref)

    async def _go_on(self, ref: str) -> None:
        async def resume() -> None:
            await self._models.permissions.load_token()
            self._models.resume(ref)

        await self.hub.during(resume)

    async def _cancel(self, ref: str, *, discard: bool) -> None:
        await self._models.downloads.cancel(ref, discard=discard)
        if discard:
            self._models.downloads.forget(ref)

    def _do(self, work: Coroutine[object, object, None]) -> None:
        self._engine.ask(work, lambda _none: None, self._failed)

    # -- licence and token -------------------------------------------------------------------------------------------

    def _ask_licence(self, plan: DownloadPlan) -> None:
        if plan.ref not in self._plans:
            return
        self._state.asking_hub.discard(plan.ref)
        self._tell()
        if self._models.permissions.is_accepted(plan):
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
        self._state.forget_plan(ref)
        self._tell()

    def _not_planned(self, ref: str, error: BaseException) -> None:
        if ref not in self._plans:
            return
        self._planned(ref)
        problem = problem_of(error)
        if problem.code in WANTS_TOKEN:
            self.ask_token(_repo_of(ref), lambda: self._begin_download(ref), problem, ref)
        else:
            self._page.show_problem(problem)
            self.refused.emit(ref, problem)

    def ask_token(self, repo: str, again: Callable[[], None], problem: Problem, ref: str = "") -> None:
        """`ref` is the download that ends where no token is given."""
        dialog = TokenDialog(repo, hidden=problem.code == HIDDEN, host=hub_host(), parent=self._window)

        def give(_repo: str, pasted: str) -> None:
            try:
                token = parse_key(pasted)
            except NearfarError as error:
                end(error.problem)
                return
            self._models.permissions.keep_token(token)  # at once: the download need not wait for the keyring
            if dialog.keeps_in_keyring():
                self._engine.ask(self._models.permissions.keep_token_for_good(token), self._token_kept)
            again()

        def end(why: Problem) -> None:
            self._page.show_problem(why)
            if ref:
                self.refused.emit(ref, why)

        dialog.token_entered.connect(give)
        dialog.rejected.connect(lambda: end(problem))
        tell_keyring(self._engine, dialog)
        _open(dialog)

    def _token_kept(self, state: KeyState) -> None:
        problem = problem_of_state(state)
        if problem is not None:
            self._page.show_problem(problem)

    # -- news --------------------------------------------------------------------------------------------------------

    @Slot(object)
    def _took(self, news: tuple[DownloadProgress, ...]) -> None:
        failed_before = {each.ref for each in self._state.downloads if each.state == "failed"}
        hosts = self.hosts()
        self._state.downloads = news
        if self.hosts() != hosts:
            self.settings_touched.emit()
        for each in news:
            if each.ref not in self._plans:
                self._state.forget_plan(each.ref)
        self.show_on_rail()
        self._tell()
        for each in news:
            gated = each.problem is not None and each.problem.code in WANTS_TOKEN
            if each.problem is not None and gated and each.ref not in failed_before:
                self.ask_token(_repo_of(each.ref), lambda ref=each.ref: self.resume(ref), each.problem)  # type: ignore[misc]  # a lambda's default

    def show_on_rail(self) -> None:
        """How far downloads are, for whoever looks at another page; one that is done is marked until this one opens."""
        states = {each.state for each in self._state.downloads}
        done = "done" in states and self._window.current_page() != MODELS
        self._window.show_download_progress(self._state.share(), "failed" in states, done=done)

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
