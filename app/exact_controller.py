"""Asks llama.cpp itself what a row takes, and ends that where the question no longer stands. Must not paint."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot

from app.engine_thread import EngineThread
from app.exact_numbers import exact_here, exact_remote, refuse_unseen
from app.hub_talk import HubTalk
from app.models_state import ModelsState
from backends.errors import NearfarError
from backends.workbench import Workbench
from widgets.models_page import ModelsPage

if TYPE_CHECKING:
    from backends.fit.records import Fit

OVERTAKEN = "llama.cpp was no longer asked: the context or its memory was changed meanwhile."


class ExactController(QObject):
    """`answered` says that an exact fit has come, `failed` carries why none did."""

    answered = Signal()
    failed = Signal(object)

    def __init__(
        self,
        page: ModelsPage,
        engine: EngineThread,
        bench: Workbench,
        state: ModelsState,
        hub: HubTalk,
        show: Callable[[], None],
    ) -> None:
        super().__init__(page)
        self._engine = engine
        self._bench = bench
        self._state = state
        self._hub = hub
        self._show = show
        self._asked: dict[str, Future[Fit]] = {}
        page.exact_requested.connect(self.ask)
        page.stop_exact_requested.connect(self.stop)

    @Slot(str)
    def ask(self, ref: str) -> None:
        """Replace the estimate of a row by llama.cpp's own numbers, for as long as nothing else is wished."""
        state = self._state
        planned, machine, wish = state.fit(ref), state.machine, state.wish
        if planned is None or machine is None or ref in self._asked:
            return
        try:
            refuse_unseen(planned, machine)
        except NearfarError as error:
            self.failed.emit(error)
            return
        model, models, paths = state.model(ref), self._bench.models, self._bench.paths
        work: Coroutine[object, object, Fit]
        if model is not None and not model.missing_parts:
            work = exact_here(model, planned, wish)
        else:
            work = self._hub.during(lambda: exact_remote(ref, planned, wish, models, paths))

        def answered(fit: Fit) -> None:
            state.exact[ref] = fit
            self.answered.emit()

        state.exact_notes.pop(ref, None)
        state.asking.add(ref)
        self._asked[ref] = self._engine.ask(work, answered, self.failed.emit, lambda: self._ended(ref))
        self._show()

    @Slot(str)
    def stop(self, ref: str) -> None:
        """The person does not want to wait for it; the estimate stands."""
        asked = self._asked.get(ref)
        if asked is not None:
            asked.cancel()

    def wish_changed(self) -> None:
        """What was asked is no longer wished: end it, and say so where the answer would have stood."""
        for ref in tuple(self._asked):
            self._state.exact_notes[ref] = OVERTAKEN
            self.stop(ref)

    def _ended(self, ref: str) -> None:
        self._asked.pop(ref, None)
        self._state.asking.discard(ref)
        self._show()
