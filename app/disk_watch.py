"""Looks at the models folder again whenever a person looks at the window. Must not paint, nor read a file itself.

Other programs and the command line bring, move and remove models too; a look costs a walk over names and sizes, and
one that is wanted while another goes on is made once after it.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Slot

from app.engine_thread import EngineThread
from app.models_state import problem_of
from backends.errors import Problem
from backends.models.manager import Models


class DiskWatch(QObject):
    """The list itself comes as `Models.on_installed`; what is wrong with the folder is told once, until it changes."""

    def __init__(
        self,
        engine: EngineThread,
        models: Models,
        *,
        show_problem: Callable[[Problem | None], None],
        show_notice: Callable[[str], None],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._engine = engine
        self._models = models
        self._show_problem = show_problem
        self._show_notice = show_notice
        self._begun = self._looking = self._again = False
        self._told: Problem | None = None
        self._noticed = ""

    def begin(self) -> None:
        """The engine thread runs."""
        self._begun = True
        self.look()

    @Slot()
    def look(self) -> None:
        """Soon, off this thread."""
        if not self._begun:
            return
        if self._looking:
            self._again = True
            return
        self._looking, self._again = True, False
        self._engine.ask(self._models.installed(), self._looked, self._failed)

    def remind(self) -> None:
        """Look again, and tell what is wrong although it was told before: its words may have been taken away."""
        self._told = None
        self.look()

    def _looked(self, _models: object) -> None:
        self._looking = False
        library = self._models.library
        if library.problem != self._told:
            self._told = library.problem
            self._show_problem(library.problem)
        elif library.problem is None and library.notice not in ("", self._noticed):
            self._noticed = library.notice
            self._show_notice(library.notice)
        if self._again:
            self.look()

    def _failed(self, error: BaseException) -> None:
        self._looking = False
        self._show_problem(problem_of(error))
