"""The models on this disk as the window asks for them: verify, remove, import, find, another folder. Must not paint.

What takes long runs in threads that no task's cancelling ends, so each work has a flag that it looks at.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal, Slot
from PySide6.QtWidgets import QFileDialog

from app.engine_thread import EngineThread
from app.models_state import ModelsState, problem_of
from app.models_view import OWN, OWNERS
from app.work import POLL_MS, Work
from backends.errors import Problem
from backends.models.errors import InUse
from backends.models.records import InstalledModel
from backends.workbench import Workbench
from widgets import format as fmt
from widgets.ask_dialog import ImportDialog, MoveFolderDialog, RemoveDialog
from widgets.assistant_values import ImportAsk, MoveAsk
from widgets.dialog import Dialog
from widgets.main_window import MainWindow
from widgets.models_page import ModelsPage

if TYPE_CHECKING:
    from backends.models.foreign import Search
    from backends.models.importing import How

Brought = Callable[[tuple[str, ...], Problem | None], None]
WAYS: dict[str, How] = {"copy": "copy", "in_place": "use in place"}


class LibraryController(QObject):
    """`settings_touched` says that the models folder is another one now; `troubled` carries a failure's Problem."""

    settings_touched = Signal()
    troubled = Signal(object)

    def __init__(
        self,
        page: ModelsPage,
        window: MainWindow,
        engine: EngineThread,
        bench: Workbench,
        state: ModelsState,
        show: Callable[[], None],
    ) -> None:
        super().__init__(page)
        self._page = page
        self._window = window
        self._engine = engine
        self._bench = bench
        self._models = bench.models
        self._state = state
        self._show = show
        self._stops: dict[str, threading.Event] = {}
        self._works: set[Work] = set()
        self._poll = QTimer(self)
        self._poll.setInterval(POLL_MS)
        self._poll.timeout.connect(show)
        page.verify_requested.connect(self.verify)
        page.stop_verify_requested.connect(self.stop_verify)
        page.remove_requested.connect(self.ask_remove)
        page.import_requested.connect(self.ask_import)
        page.find_requested.connect(self.find)
        page.folder_requested.connect(self._ask_folder)

    def end(self) -> None:
        """The window closes: nothing goes on."""
        for stop in (*self._stops.values(), *(work.stop for work in self._works)):
            stop.set()

    # -- verify ------------------------------------------------------------------------------------------------------

    @Slot(str)
    def verify(self, ref: str) -> None:
        if ref in self._stops:
            return
        stop = self._stops[ref] = threading.Event()
        self._state.checking[ref] = 0.0

        def progress(done: int, total: int) -> None:
            if ref in self._state.checking:
                self._state.checking[ref] = done / total if total else 1.0

        self._page.show_problem(None)
        self._poll.start()
        self._show()
        self._engine.ask(
            self._models.verify(ref, progress, stop.is_set),
            lambda _model: self._verified(ref, None),
            lambda error: self._verified(ref, error),
        )

    @Slot(str)
    def stop_verify(self, ref: str) -> None:
        if ref in self._stops:
            self._stops[ref].set()

    def _verified(self, ref: str, error: BaseException | None) -> None:
        self._stops.pop(ref, None)
        self._state.checking.pop(ref, None)
        if not self._stops:
            self._poll.stop()
        self._state.installed = self._models.library.models()
        self._show()
        if error is not None:
            self._failed(error)

    # -- remove ------------------------------------------------------------------------------------------------------

    @Slot(str)
    def ask_remove(self, ref: str) -> None:
        """Says what it frees, which takes a look at the disk, and asks."""
        work = asyncio.to_thread(self._models.library.what_remove_frees, ref)
        self._engine.ask(work, lambda freed: self._sure(ref, freed), self._failed)

    def _sure(self, ref: str, frees_bytes: int) -> None:
        line = next((each for each in self._state.lines() if each.ref == ref), None)
        model = self._state.model(ref)
        if line is None or model is None:
            return
        line = replace(line, size_bytes=frees_bytes)
        if model.in_place and not line.origin:  # a file of the person's own, which is only taken off the list
            line = replace(line, can_remove=False, origin="you")
        dialog = RemoveDialog(line, parent=self._window)
        dialog.remove_confirmed.connect(self._remove)
        _open(dialog)

    @Slot(str)
    def _remove(self, ref: str) -> None:
        def removed(freed_bytes: int) -> None:
            if freed_bytes:
                self._page.show_notice(f"Removed. {fmt.byte_size(freed_bytes)} are free again.")

        self._page.show_problem(None)
        self._engine.ask(self._models.remove(ref), removed, self._failed)

    # -- import and find ---------------------------------------------------------------------------------------------

    @Slot(list)
    def ask_import(self, paths: Sequence[str], then: Brought | None = None) -> None:
        """`then` is for who asked: the refs that came of it, none while nothing did, and what went wrong."""
        wanted = tuple(paths)
        folder = self._models.folder
        self._engine.ask(
            asyncio.to_thread(_size_and_room, wanted, folder),
            lambda found: self._ask_way(ImportAsk(wanted, found[0], str(folder), found[1]), then),
            self._failed,
        )

    def _ask_way(self, ask: ImportAsk, then: Brought | None) -> None:
        dialog = ImportDialog(ask, parent=self._window)
        dialog.import_chosen.connect(lambda paths, way: self.bring_in(paths, way, then))
        _open(dialog)

    def bring_in(self, paths: Sequence[str], way: str, then: Brought | None = None) -> None:
        """Import files one after the other; `way` is "copy" or "in_place", `then` as of `ask_import`."""
        self._page.show_problem(None)
        work = self._work("Importing", "Reading the file…", "Stop; your file stays as it is")

        async def bring() -> list[InstalledModel]:
            models = []
            for path in paths:
                work.says = f"Importing {Path(path).name}"
                model = await self._models.import_file(Path(path), WAYS[way], work.progress, work.stop.is_set)
                if model is None:
                    break
                models.append(model)
            return models

        def brought(models: list[InstalledModel]) -> None:
            if models:
                names = models[0].name if len(models) == 1 else fmt.plural(len(models), "model")
                self._page.show_section("disk")
                self._page.show_notice(f"{names} can be used now.")
            if then is not None:
                then(tuple(model.ref for model in models), None)

        def failed(error: BaseException) -> None:
            self._failed(error)
            if then is not None:
                then((), problem_of(error))

        work.run(bring(), brought, failed)

    @Slot()
    def find(self) -> None:
        """Look for models that other programs keep; they are used where they lie."""
        self._page.show_problem(None)
        says = "Looking where LM Studio, Jan, GPT4All, the Hugging Face cache and Ollama keep theirs…"
        work = self._work("Finding models of other programs", says, "Stop looking")
        work.run(self._models.find_foreign(work.stop.is_set), self._found, self._failed)

    def _found(self, search: Search) -> None:
        programs = dict.fromkeys(OWNERS.get(model.origin, model.origin) for model in self._models.library.models()
                                 if model.origin not in OWN)  # fmt: skip
        ended = "" if search.complete else " The search ended before it had looked everywhere."
        if not search.models:
            self._page.show_notice(f"No models of other programs were found.{ended}")
            return
        self._page.show_section("disk")
        n = len(search.models)
        of = f" of {' and '.join(programs)}" if programs else ""
        self._page.show_notice(f"Found {fmt.plural(n, 'model')}{of}. Used where they lie; no file is copied.{ended}")

    # -- the folder --------------------------------------------------------------------------------------------------

    @Slot()
    def _ask_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self._window, "Choose a folder for models", self._state.folder)
        if chosen:
            self.choose_folder(chosen)

    @Slot(str)
    def choose_folder(self, chosen: str) -> None:
        """Another folder for models; asks what becomes of those in the present one, where there are any."""
        old, new = self._models.folder, Path(os.path.abspath(Path(chosen).expanduser()))
        if old == new:
            self._page.show_problem(None)
            self._engine.ask(self._start_anew(), lambda _none: self.settings_touched.emit(), self._failed)
            return
        inside = [model for model in self._state.installed if model.origin in OWN and not model.in_place]
        size = sum(model.size_bytes for model in inside)

        def ask(found: tuple[int, int | None]) -> None:
            if not inside:
                self._change_folder(str(new), "switch")
                return
            dialog = MoveFolderDialog(MoveAsk(str(old), str(new), len(inside), size, found[1]), parent=self._window)
            dialog.move_chosen.connect(self._change_folder)
            _open(dialog)

        self._engine.ask(asyncio.to_thread(_size_and_room, (), new), ask, self._failed)

    def _change_folder(self, new: str, way: str) -> None:
        self._page.show_problem(None)
        work = self._work("Moving the models", f"To {new}", "Stop; everything is then as it was")
        move = way == "move"

        def moved(done: bool) -> None:
            self.settings_touched.emit()
            if done:
                self._page.show_notice(f"Models are kept in {new} now.")

        work.run(
            self._models.move_folder(Path(new), work.progress, work.stop.is_set) if move else self._switch(Path(new)),
            moved,
            self._failed,
        )

    async def _switch(self, new: Path) -> bool:
        """Only new downloads go to the other folder. Raises InUse, DiskFull or FolderUnusable."""
        from backends.models.disk import make_room

        if any(each.state in ("queued", "running") for each in self._state.downloads):
            raise InUse("A download into the models folder is running.", fix="Pause it, then change the folder.")
        await asyncio.to_thread(make_room, new, 0)
        self._bench.change(models_folder=str(new))
        await self._bench.save()
        await self._start_anew()
        return True

    async def _start_anew(self) -> None:
        """The folder in use, chosen once more: as it is now, also where its models are gone."""
        await asyncio.to_thread(self._models.library.start_anew)
        await self._models.installed()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _work(self, title: str, says: str, stop_tip: str) -> Work:
        work = Work(self._window, self._engine, title, says, stop_tip)
        self._works.add(work)
        work.ended.connect(lambda: self._works.discard(work))
        return work

    def _failed(self, error: BaseException) -> None:
        problem = problem_of(error)
        self._page.show_problem(problem)
        self.troubled.emit(problem)


def _open(dialog: Dialog) -> None:
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()


def _size_and_room(paths: Sequence[str], folder: Path) -> tuple[int, int | None]:
    """What these files take together, and what is free for them. Files that are gone take nothing."""
    return sum(os.stat(path).st_size for path in paths if os.path.isfile(path)), free_bytes(folder)


def free_bytes(folder: Path) -> int | None:
    """What is free where models are kept; a folder that is not made yet will lie on its parent's disk."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return None
