"""The Models page: reads the machine while it is shown, judges the catalogue, hands wishes on. Must not paint.

Downloads and files have controllers of their own, which share its state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from app.disk_watch import DiskWatch
from app.downloads_controller import DownloadsController
from app.engine_thread import EngineThread
from app.exact_controller import ExactController
from app.library_controller import LibraryController, free_bytes
from app.models_ranking import Question, Ranking, ranked, shown_by_default
from app.models_state import ModelsState, problem_of
from backends.errors import Problem
from backends.models.records import InstalledModel
from backends.own_loads import OwnLoad, as_released, without_own_users
from backends.workbench import Workbench
from widgets.main_window import MODELS, MainWindow
from widgets.models_page import ModelsPage

if TYPE_CHECKING:
    from backends.devices.records import Device, Machine
    from backends.fit.learned import Learned

LOOK_MS = 2000
SAVE_MS = 600  # after the slider has come to rest
ACTIONS = (
    "download_requested", "pause_requested", "resume_requested", "cancel_requested", "use_requested",
    "verify_requested", "remove_requested", "import_requested", "add_repo_requested", "find_requested",
    "folder_requested", "exact_requested",
)  # fmt: skip
KV_TYPES: dict[str, Literal["f16", "q8_0", "q4_0"]] = {"f16": "f16", "q8_0": "q8_0", "q4_0": "q4_0"}

ROUGHLY_BYTES = 32 * 2**20  # free memory moves all the time; a verdict is made anew only where it moved by so much

_Look = tuple["Machine", tuple[OwnLoad, ...], "Learned", int | None]


class ModelsController(QObject):
    """`use_wanted` carries the ref of a model to compare with; `machine_read` the machine, whenever it was looked at;
    `settings_touched` that a setting is another now."""

    use_wanted = Signal(str)
    machine_read = Signal(object)
    settings_touched = Signal()
    installed_changed = Signal()
    _installed_news = Signal(object)

    def __init__(
        self,
        page: ModelsPage,
        window: MainWindow,
        engine: EngineThread,
        bench: Workbench,
        *,
        save: Callable[..., None],
        is_busy: Callable[[], bool],
        open_link: Callable[[str], None],
    ) -> None:
        """`save` changes settings by name and writes them; `is_busy` says whether runs are under way."""
        super().__init__(page)
        self._page = page
        self._window = window
        self._engine = engine
        self._bench = bench
        self._save = save
        self._is_busy = is_busy
        self.state = ModelsState(wish=bench.local.wish(), folder=str(bench.models.folder))
        self._begun = self._watched = self._reading = self._ranking = self._rank_again = self._measured = False
        self._here = False  # this page is the open one
        self._learned: Learned | None = None
        self._looking = QTimer(self)
        self._looking.setInterval(LOOK_MS)
        self._looking.timeout.connect(self._look)
        self._saving = QTimer(self)
        self._saving.setSingleShot(True)
        self._saving.setInterval(SAVE_MS)
        self._saving.timeout.connect(self._save_wish)
        for action in ACTIONS:  # before the controllers, whose own words come after
            getattr(page, action).connect(self._clear_words)
        self.downloads = DownloadsController(page, window, engine, bench, self.state, self.show, open_link=open_link)
        self.library = LibraryController(page, window, engine, bench, self.state, self.show)
        self.exact = ExactController(page, engine, bench, self.state, self.downloads.hub, self.show)
        self.disk = DiskWatch(
            engine, bench.models, show_problem=page.show_problem, show_notice=page.show_notice, parent=self
        )
        self._connect(open_link)
        self.show()

    def _connect(self, open_link: Callable[[str], None]) -> None:
        page = self._page
        page.context_changed.connect(self._context_changed)
        page.kv_type_changed.connect(self._kv_type_changed)
        page.selected.connect(self._selected)
        page.use_requested.connect(self._use)
        page.link_requested.connect(open_link)
        self._window.devices_watched.connect(self._watch)
        self._window.page_chosen.connect(self._page_chosen)
        self.exact.answered.connect(self._rank)
        self.exact.failed.connect(self._failed)
        self._window.activated.connect(self.disk.look)
        self.downloads.settings_touched.connect(self.settings_touched)
        self.library.settings_touched.connect(self._folder_moved)
        # Called on the engine thread; everything that shows it lives on this one.
        self._installed_news.connect(self._installed, Qt.ConnectionType.QueuedConnection)
        self._bench.models.on_installed = self._installed_news.emit

    def begin(self) -> None:
        """The engine thread runs: list what is on this disk, and downloads that an earlier session left."""
        self.disk.begin()
        self.downloads.begin()
        self._begun = True
        if self._watched:
            self._look()

    def end(self) -> None:
        """Before the close: keep what is set, and stop what only a thread could go on with."""
        self.library.end()
        if self._saving.isActive():
            self._saving.stop()
            self._save_wish()

    def settings_changed(self) -> None:
        """Somebody changed settings: those that this page shows may be others now."""
        wish = self._bench.local.wish()
        if not self._saving.isActive() and wish != self.state.wish:
            self.state.wish = wish
            self.exact.wish_changed()
            self._rank()
        self.downloads.set_limit(self._bench.settings.download_limit_mb_s)
        self.state.folder = str(self._bench.models.folder)
        self.show()

    @Slot()
    def show(self) -> None:
        """Bring the page up to date with the state; where another page is open, as soon as this one is."""
        if self._window.current_page() != MODELS:
            return
        shown = self._page.selected_ref()
        if shown is None and self.state.ranking is not None:
            default = shown_by_default(self.state.ranking.choices)
            shown = default.ref if default is not None else None
        local_only = self._bench.settings.local_only is True
        self._page.show_view(self.state.view(shown, local_only=local_only))

    # -- the machine -----------------------------------------------------------------------------------------------

    @Slot(bool)
    def _watch(self, watched: bool) -> None:
        self._watched = watched
        if watched:
            self._looking.start()
            self._look()
        else:
            self._looking.stop()

    @Slot()
    def _look(self) -> None:
        if not self._begun or self._reading or self._window.isMinimized():
            return
        self._reading = True
        self._engine.ask(self._read(), self._was_read, self._failed, self._read_ended)

    async def _read(self) -> _Look:
        machine = await self._bench.local.machine()
        learned = await self._bench.local.plans.learned()
        own = await self._bench.own_loads()
        return machine, own, learned, await asyncio.to_thread(free_bytes, self._bench.models.folder)

    def _read_ended(self) -> None:
        self._reading = False

    def _was_read(self, found: _Look) -> None:
        machine, self.state.own, learned, self.state.folder_free_bytes = found
        self.state.machine, self._learned, self.state.seen = machine, learned, learned.seen
        self.machine_read.emit(without_own_users(machine, self.state.own))
        judged = self.state.ranking.question if self.state.ranking is not None else None
        now = as_released(machine, self.state.own)
        if judged is None or learned is not judged.learned or roughly(now) != roughly(judged.machine):
            self._rank()
        self.show()
        if not self._measured and machine.cpu.bandwidth_gb_s is None and not self._is_busy():
            self._measured = True  # once: without it nothing can be said of the CPU's speed
            measure = self._bench.local.measure_memory(patience_s=20.0)
            self._engine.ask(measure, lambda _none: self._look(), self._failed)

    # -- the catalogue ---------------------------------------------------------------------------------------------

    def _rank(self) -> None:
        """Judge anew, off this thread; of wishes that come meanwhile only the newest is worked on."""
        state = self.state
        if state.machine is None or self._learned is None or self._window.current_page() != MODELS:
            return
        if self._ranking:
            self._rank_again = True
            return
        self._ranking, self._rank_again = True, False
        question = Question(
            as_released(state.machine, state.own),
            state.wish,
            self._learned,
            state.installed,
            dict(state.exact),
            self._page.selected_ref(),
        )
        self._engine.ask(self._judge(question), self._was_ranked, self._failed, self._rank_ended)

    async def _judge(self, question: Question) -> Ranking:
        return await asyncio.to_thread(lambda: ranked(question, self._bench.models.catalogue()))

    def _rank_ended(self) -> None:
        self._ranking = False

    def _was_ranked(self, found: Ranking) -> None:
        asked_with = found.question.exact
        self.state.ranking = found
        # What came in meanwhile was not asked about, so it stays.
        self.state.exact = {
            ref: fit for ref, fit in self.state.exact.items() if ref in found.exact or ref not in asked_with
        }
        self.show()
        if self._rank_again or self._page.selected_ref() not in (None, found.question.ref):
            self._rank()

    @Slot(int)
    def _context_changed(self, n_ctx: int) -> None:
        self.state.wish = replace(self.state.wish, n_ctx=n_ctx)
        self._wish_changed()

    @Slot(str)
    def _kv_type_changed(self, kv_type: str) -> None:
        self.state.wish = replace(self.state.wish, kv_type=KV_TYPES[kv_type])
        self._wish_changed()

    @Slot(str)
    def _selected(self, _ref: str) -> None:
        self.state.exact_notes.clear()
        self._rank()

    def _wish_changed(self) -> None:
        self._saving.start()
        self.exact.wish_changed()
        self._rank()

    @Slot()
    def _save_wish(self) -> None:
        self._save(n_ctx=self.state.wish.n_ctx, kv_type=self.state.wish.kv_type)

    # -- what is here ----------------------------------------------------------------------------------------------

    @Slot(object)
    def _installed(self, models: tuple[InstalledModel, ...]) -> None:
        if models == self.state.installed:
            return
        self.state.installed = models
        self.installed_changed.emit()
        self._rank()
        self.show()

    @Slot()
    def _folder_moved(self) -> None:
        self.state.folder = str(self._bench.models.folder)
        self.settings_touched.emit()
        self._look()
        self.show()

    @Slot(str)
    def _use(self, ref: str) -> None:
        self.downloads.dismiss(ref)
        self.use_wanted.emit(ref)

    @Slot(str)
    def _page_chosen(self, key: str) -> None:
        if key == MODELS:
            self.disk.remind()
            self.show()
            self._rank()
        elif self._here:  # whoever leaves has seen what is done; whoever was elsewhere has not
            self._clear_words()
            self.downloads.dismiss_done()
        self._here = key == MODELS
        self.downloads.show_on_rail()

    def _clear_words(self, *_wish: object) -> None:
        """What was said of the last action has been read, now that another one is begun."""
        self._page.show_problem(None)

    def _failed(self, error: BaseException) -> None:
        self.show_problem(problem_of(error))

    def show_problem(self, problem: Problem) -> None:
        self._page.show_problem(problem)


def roughly(machine: Machine) -> Machine:
    """The machine as far as verdicts go: free memory in steps, and not who uses the rest."""

    def rough(device: Device) -> Device:
        free = None if device.free_bytes is None else device.free_bytes // ROUGHLY_BYTES
        return replace(device, free_bytes=free, used_bytes=None, in_use_by=())

    return replace(machine, gpus=tuple(rough(each) for each in machine.gpus), cpu=rough(machine.cpu))
