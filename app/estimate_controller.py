"""What a question may cost, worked out while it is typed, off the GUI thread. Must not paint or know prices."""

from __future__ import annotations

import asyncio

from PySide6.QtCore import QObject, QTimer, Slot

from app.engine_thread import EngineThread
from app.estimates import estimates, may_cost
from backends.records import Prompt
from backends.workbench import Workbench
from widgets import estimate_words
from widgets.compare_page import ComparePage
from widgets.values import Ask, LaneEstimate

SETTLE_MS = 250


class EstimateController(QObject):
    """Asks the engine thread a moment after the last change, one question at a time; the newest answer is shown.

    The table of prices is read for the first lane that costs something, and nothing is shown until it is there.
    """

    def __init__(self, page: ComparePage, engine: EngineThread, bench: Workbench) -> None:
        super().__init__(page)
        self._page = page
        self._engine = engine
        self._bench = bench
        self._busy = False
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self._ask)
        page.prompt_box.editor.textChanged.connect(self.refresh)
        page.prompt_box.parameters.changed.connect(self.refresh)
        page.target_chosen.connect(self.refresh)
        page.lane_added.connect(self.refresh)
        page.lane_removed.connect(self.refresh)

    @Slot()
    def refresh(self, *_news: object) -> None:
        """Something that the estimate rests on is another now."""
        self._settle.start()

    @Slot()
    def _ask(self) -> None:
        if self._busy:
            self._settle.start()
            return
        ask = self._page.ask()
        if not ask.prompt or not any(may_cost(lane.target) for lane in ask.lanes):
            self._page.prompt_box.show_estimate("")
            return
        self._busy = True
        future = self._engine.ask(asyncio.to_thread(_estimates, self._bench, ask), self._show, self._not_done)
        if future.cancelled():  # the engine does not run yet, or no more
            self._busy = False

    def _show(self, lanes: list[LaneEstimate]) -> None:
        self._busy = False
        self._page.prompt_box.show_estimate(estimate_words.words(lanes), estimate_words.tip(lanes))

    def _not_done(self, _error: BaseException) -> None:
        self._busy = False
        self._page.prompt_box.show_estimate("")


def _estimates(bench: Workbench, ask: Ask) -> list[LaneEstimate]:
    """Runs in a thread."""
    prompt = Prompt.ask(ask.prompt, ask.system)
    return estimates(bench, (lane.target for lane in ask.lanes), prompt, ask.sampling)
