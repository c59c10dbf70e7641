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
from app.models_view import download_lines, machine_view, model_rows
from backends.errors import Problem
from backends.workbench import Workbench
from widgets.assistant import Assistant
from widgets.assistant_values import AssistantView
from widgets.main_window import MainWindow
from widgets.model_values import DownloadLine

if TYPE_CHECKING:
    from backends.devices.records import Machine
    from backends.fit.records import Choice


@dataclass(frozen=True, slots=True)
class _Found:
    """What a look at the machine brought."""

    machine: Machine
    choices: tuple[Choice, ...]
    headline: str
    free_bytes: int | None


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
        self._before: frozenset[str] | None = None  # what was on this disk when an import was begun
        models.downloads.news_came.connect(self._downloads_changed)
        models.downloads.refused.connect(self._refused)
        models.library.troubled.connect(self._import_failed)
        models.installed_changed.connect(self._installed_changed)

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
        self._sheet = sheet = Assistant(self._window)
        sheet.download_requested.connect(self._download)
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
        self._before = None
        self._done()
        self._window.open_page("compare")

    def _done(self) -> None:
        self._save(first_start_done=True)

    # -- the machine and what fits ---------------------------------------------------------------------------------

    def _look(self) -> None:
        self._engine.ask(self._find(), self._found, self._not_found)

    async def _find(self) -> _Found:
        """The machine, its memory's speed where that is not known, and the catalogue judged on it."""
        from backends.fit.recommend import headline

        local, models = self._bench.local, self._bench.models
        machine = await local.machine()
        if machine.cpu.bandwidth_gb_s is None and not self._is_busy():
            await local.measure_memory(patience_s=4.0)
            machine = await local.machine()
        question = Question(machine, local.wish(), await local.plans.learned(), await models.installed())
        ranking = await asyncio.to_thread(lambda: ranked(question, models.catalogue()))
        free = await asyncio.to_thread(free_bytes, models.folder)
        return _Found(machine, ranking.choices, headline(ranking.choices), free)

    def _found(self, found: _Found) -> None:
        models = {model.id: model for model in self._bench.models.catalogue()}
        installed = {model.ref for model in self._bench.models.library.models() if not model.missing_parts}
        offered = sorted((each for each in found.choices if each.rank is not None), key=lambda each: each.rank or 0)
        rows = [
            row
            for row in model_rows(offered, models, installed=installed, downloading=(), levers={})
            if row.rank is not None
        ]
        self._tell(
            machine=machine_view(found.machine, None),
            offers=tuple(rows),
            no_offer="" if rows else found.headline,
            folder_free_bytes=found.free_bytes,
        )

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

    @Slot()
    def _downloads_changed(self) -> None:
        line = next((each for each in download_lines(self._models.state.downloads) if each.ref == self._started), None)
        if line is None:
            return
        shown = None if line.state == "cancelled" else line
        if self._sheet is not None:
            self._tell(download=shown)
        if line.state == "done":
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
        self._before = frozenset(model.ref for model in self._models.state.installed)
        self._tell(problem=None)
        self._models.library.ask_import(paths)

    @Slot(object)
    def _import_failed(self, problem: Problem) -> None:
        if self._before is not None:
            self._tell(problem=problem)

    @Slot()
    def _installed_changed(self) -> None:
        """What was imported from here goes into the first lane, and the first steps are done."""
        if self._sheet is None or self._before is None:
            return
        fresh = [model.ref for model in self._models.state.installed if model.ref not in self._before]
        if fresh:
            self._sheet.accept()
            self.use_wanted.emit(fresh[0])
            self._closed()
