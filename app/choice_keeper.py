"""Keeps the lanes and parameters of this window in the settings soon after they change. Must not paint.

Soon, because a program that is killed says no last words; only what changed here, because another window has lanes and
parameters of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

from PySide6.QtCore import QObject, QTimer, Slot

from app.engine_thread import EngineThread
from backends.errors import Problem
from backends.workbench import Workbench
from widgets.compare_page import ComparePage

PAUSE_MS = 500  # a person who turns a field passes many values


class ChoiceKeeper(QObject):
    """Make it when the page shows what was kept; `saved` hears how each save went."""

    def __init__(
        self, page: ComparePage, engine: EngineThread, bench: Workbench, saved: Callable[[Problem | None], None]
    ) -> None:
        super().__init__(page)
        self._page = page
        self._engine = engine
        self._bench = bench
        self._saved = saved
        self._noted = self._choices()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self._keep)
        page.prompt_box.parameters.changed.connect(self.touched)

    @Slot()
    def touched(self) -> None:
        """Something may be another now, lanes or parameters."""
        self._timer.start()

    def end(self) -> None:
        """Before the close, which saves."""
        self._timer.stop()
        self._note()

    @Slot()
    def _keep(self) -> None:
        if self._note():
            self._engine.ask(self._bench.save(), self._saved)

    def _note(self) -> bool:
        """Change in the settings what is another since; False where nothing is."""
        chosen = self._choices()
        changes = {key: value for key, value in chosen.items() if value != self._noted[key]}
        self._noted = chosen
        if changes:
            self._bench.change(**changes)
        return bool(changes)

    def _choices(self) -> dict[str, object]:
        """As they are set now; the seed belongs to one question and is not kept."""
        sampling = replace(self._page.prompt_box.sampling(), seed=None)
        parameters = {field.name: getattr(sampling, field.name) for field in fields(sampling)}
        return {"lanes": tuple(self._page.lane(lane_id).target for lane_id in self._page.lane_ids), **parameters}
