"""The first start: looks at the machine, offers models that fit, ends on a comparison that works. Must not paint.

Downloads and imports are those of the Models page; this only starts them and says how they stand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot

from app.engine_thread import EngineThread
from app.hub_host import hub_host
from app.library_controller import free_bytes
from app.models_controller import ModelsController
from app.models_ranking import Question, ranked
from app.models_state import problem_of
from app.models_view import machine_view, placed
from backends.errors import Problem
from backends.workbench import Workbench
from widgets.assistant import Assistant
from widgets.assistant_values import AssistantView
from widgets.main_window import MainWindow
from widgets.model_values import DownloadLine, ModelRow

if TYPE_CHECKING:
    from backends.devices.records import Machine


@dataclass(frozen=True, slots=True)
class _Weighed:
    """The catalogue judged on a machine. `sure`: the speed of its memory is known, without which little can be said;
    `unmeasured`: what is offered is a careful choice until it is."""

    rows: tuple[ModelRow, ...]
    headline: str
    free_bytes: int | None
    sure: bool
    unmeasured: bool


class AssistantController(QObject):
    """`use_wanted` carries the ref of a model for the first lane; `is_busy` says whether runs are under way."""

    use_wanted = Signal(str)

    def __init__(
        self,
        window: MainWindow,
        engine: EngineThread,
        bench: Workbench,
        models: ModelsController,
        *,
        save: Callable[..., None],
        is_busy: Callable[[], bool],
    ) -> None:
        super().__init__(window)
        self._window = window
        self._engine = engine
        self._bench = bench
        self._models = models
        self._save = save
        self._is_busy = is_busy
        self._sheet: Assistant | None = None
        self._view = AssistantView()
        self._ready = ""  # a ref whose download is done, until it has its lane
        self._started = ""  # the ref whose download was started here
        self._measured = False
        models.downloads.news_came.connect(self._downloads_changed)
        models.downloads.refused.connect(self._refused)

    @property
    def sheet(self) -> Assistant | None:
        """The open assistant."""
        return self._sheet

    def begin(self) -> None:
        """Open it at the first start: never after it was gone through or skipped, nor where there is a history."""
        if self._bench.settings.first_start_done:
            return
        self._engine.ask(self._bench.history.list(1), lambda seen: self._done() if seen else self.open())

    @Slot()
    def open(self) -> None:
        """Show the first steps, from the first one on."""
        if self._sheet is not None:
            return
        self._view = AssistantView(local_only=self._bench.settings.local_only is True, hub_host=hub_host())
        self._started = ""
        self._measured = False
        self._sheet = sheet = Assistant(self._window)
        sheet.download_requested.connect(self._download)
        sheet.cancel_requested.connect(self._cancel)
        sheet.use_requested.connect(self.use_wanted)
        sheet.import_requested.connect(self._import)
        sheet.skipped.connect(self._closed)
        sheet.completed.connect(self._closed)
        sheet.show_view(self._view)
        sheet.open()
        self._look()

    def _closed(self) -> None:
        sheet, self._sheet = self._sheet, None
        if sheet is not None:
            sheet.deleteLater()
        self._done()
        self._window.open_page("compare")

    def _done(self) -> None:
        self._save(first_start_done=True)

    # -- the machine and what fits ---------------------------------------------------------------------------------

    def _look(self) -> None:
        """The machine first, then what fits, and what fits once more when the memory's speed is known."""
        self._engine.ask(self._bench.local.machine(), self._saw, self._not_found)

    def _saw(self, machine: Machine) -> None:
        self._tell(machine=machine_view(machine, None))
        self._engine.ask(self._weigh(), self._weighed, self._not_found)

    async def _weigh(self) -> _Weighed:
        from backends.fit.recommend import headline

        local, models = self._bench.local, self._bench.models
        machine = await self._bench.machine_as_released()
        question = Question(machine, local.wish(), await local.plans.learned(), await models.installed())
        ranking = await asyncio.to_thread(lambda: ranked(question, models.catalogue()))
        free = await asyncio.to_thread(free_bytes, models.folder)
        installed = {model.ref for model in question.installed if not model.missing_parts}
        offered = sorted((row for row in ranking.rows if row.rank is not None), key=lambda row: row.rank or 0)
        rows = placed(offered, installed=installed)
        sure = machine.cpu.bandwidth_gb_s is not None
        return _Weighed(rows, headline(ranking.choices), free, sure, ranking.unmeasured)

    def _weighed(self, found: _Weighed) -> None:
        may_measure = not (found.sure or self._measured or self._is_busy())
        final = bool(found.rows) and not found.unmeasured
        if final or not may_measure:  # else the measurement may change what is offered, or that nothing is
            self._tell(
                offers=found.rows,
                no_offer="" if found.rows else found.headline,
                folder_free_bytes=found.free_bytes,
            )
        if may_measure:
            self._measured = True
            self._engine.ask(self._measure(), self._weighed, self._not_found)

    async def _measure(self) -> _Weighed:
        await self._bench.local.measure_memory(patience_s=4.0)
        return await self._weigh()

    def _not_found(self, error: BaseException) -> None:
        self._tell(offers=(), problem=problem_of(error))

    def _tell(self, **news: object) -> None:
        self._view = replace(self._view, **news)  # type: ignore[arg-type]  # mypy cannot follow ** into replace
        if self._sheet is not None:
            self._sheet.show_view(self._view)

    # -- a download or an import -------------------------------------------------------------------------------------

    @Slot(str)
    def _download(self, ref: str) -> None:
        self._started = ref
        self._tell(download=None, problem=None)
        self._models.downloads.download(ref)

    @Slot(str)
    def _cancel(self, ref: str) -> None:
        self._models.downloads.cancel(ref, True)

    @Slot()
    def _downloads_changed(self) -> None:
        if not self._started:
            return
        line = next((each for each in self._models.state.download_lines() if each.ref == self._started), None)
        shown = self._view.download
        if line is not None:
            shown = None if line.state == "cancelled" else line
        elif shown is not None and shown.state != "failed":
            shown = None  # it was thought better of before it began
        if shown != self._view.download:
            self._tell(download=shown)
        if line is not None and line.state == "done":
            self._started, self._ready = "", line.ref
            self.settle()

    def settle(self) -> None:
        """Runs have ended, or a model is ready: what was fetched at the first start takes its lane between runs."""
        if self._ready and not self._is_busy():
            ref, self._ready = self._ready, ""
            self.use_wanted.emit(ref)

    @Slot(str, object)
    def _refused(self, ref: str, problem: Problem) -> None:
        if ref == self._started:
            name, quant = self._models.state.name_of(ref)
            failed = DownloadLine(ref, f"{name} {quant}".strip(), "failed", 0, None, problem=problem)
            self._tell(download=failed)

    @Slot(object)
    def _import(self, paths: tuple[str, ...]) -> None:
        self._tell(problem=None)
        self._models.library.ask_import(paths, self._imported)

    def _imported(self, refs: tuple[str, ...], problem: Problem | None) -> None:
        """What was imported from here goes into the first lane, and the first steps are done."""
        if self._sheet is None:
            return
        if problem is not None:
            self._tell(problem=problem)
        elif refs:
            self._sheet.accept()
            self.use_wanted.emit(refs[0])
            self._closed()
