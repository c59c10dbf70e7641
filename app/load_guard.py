"""A model that would not fit now: says so with figures, and does what the person decides. Must not plan loads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from app.engine_thread import EngineThread
from app.models_view import holders, lever_lines
from backends.errors import NearfarError
from backends.targets import parse_target
from backends.workbench import Workbench
from widgets.load_warning_dialog import LoadWarningDialog
from widgets.main_window import MainWindow
from widgets.model_values import LeverLine, LoadWarning

if TYPE_CHECKING:
    from backends.fit.records import Fit, Lever
    from backends.models.records import CatalogueModel, CatalogueQuant, ModelFacts

    Looked = tuple[Fit, tuple[Lever, ...]] | None


class LoadGuard(QObject):
    """`retry` asks a lane again, `choose` gives a lane another target, `save` changes settings by name."""

    def __init__(
        self,
        window: MainWindow,
        engine: EngineThread,
        bench: Workbench,
        *,
        retry: Callable[[str], None],
        choose: Callable[[str, str], None],
        save: Callable[..., None],
    ) -> None:
        super().__init__(window)
        self._window = window
        self._engine = engine
        self._bench = bench
        self._retry = retry
        self._choose = choose
        self._save = save
        self._dialog: LoadWarningDialog | None = None
        self._waiting: deque[tuple[str, str, str]] = deque()

    @property
    def dialog(self) -> LoadWarningDialog | None:
        """The open warning."""
        return self._dialog

    def refused(self, lane_id: str, name: str, run_id: str) -> None:
        """A lane's model was not loaded since it would not fit; several lanes are told of one after the other."""
        self._waiting.append((lane_id, name, run_id))
        if len(self._waiting) == 1:
            self._next()

    # -- inside --------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        if self._waiting:
            lane_id, name, _run_id = self._waiting[0]
            self._look(name, partial(self._warn, lane_id, name))

    def _done(self) -> None:
        self._dialog = None
        if self._waiting:
            self._waiting.popleft()
        self._next()

    def _look(self, name: str, then: Callable[[Looked], None]) -> None:
        ref = self._ref(name)
        if ref is None:
            self._done()
            return
        self._engine.ask(self._look_again(ref, self._other_quants(ref)), then, lambda _error: then(None))

    async def _look_again(self, ref: str, others: list[ModelFacts]) -> Looked:
        """With what idle models of ours hold counted as free: they are closed before the next load."""
        machine = await self._bench.machine_as_released()
        return await self._bench.local.plans.look_again(ref, others, machine)

    def _ref(self, name: str) -> str | None:
        try:
            return self._bench.local.ref_of(parse_target(name))
        except NearfarError:
            return None

    def _other_quants(self, ref: str) -> list[ModelFacts]:
        """Of the same model, those that are on this disk: only they can take its place at once."""
        from backends.fit.ranking import facts_of

        found = _in_catalogue(ref)
        here = {model.ref for model in self._bench.models.library.models() if not model.missing_parts}
        if found is None:
            return []
        return [facts_of(found[0], quant) for quant in found[0].quants if quant.ref in here and quant.ref != ref]

    def _warn(self, lane_id: str, name: str, looked: Looked) -> None:
        if looked is None:
            self._done()  # the lane itself says why the run failed
            return
        if looked[0].verdict != "no":  # something was freed meanwhile
            self._retry(lane_id)
            self._done()
            return
        ref = self._ref(name) or ""
        dialog = LoadWarningDialog(self._warning(ref, *looked), parent=self._window)
        dialog.load_anyway.connect(lambda: self._load_anyway(lane_id, ref))
        dialog.lever_chosen.connect(lambda lever: self._pull(lane_id, lever))
        dialog.recheck_requested.connect(lambda: self._look(name, partial(self._rechecked, dialog, lane_id, ref)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.finished.connect(lambda _code: self._done())
        self._dialog = dialog
        dialog.open()

    def _rechecked(self, dialog: LoadWarningDialog, lane_id: str, ref: str, looked: Looked) -> None:
        if self._dialog is not dialog or looked is None:
            return
        if looked[0].verdict == "no":
            dialog.show_warning(self._warning(ref, *looked))
            return
        dialog.accept()
        self._retry(lane_id)

    def _load_anyway(self, lane_id: str, ref: str) -> None:
        self._engine.call(lambda: self._bench.local.plans.allow(ref))
        self._retry(lane_id)

    def _pull(self, lane_id: str, lever: LeverLine) -> None:
        if lever.kind == "context":
            self._save(n_ctx=int(lever.value))
        elif lever.kind == "kv_type":
            self._save(kv_type=lever.value)
        elif lever.ref is not None:
            self._choose(lane_id, f"local:{lever.ref}")
        self._retry(lane_id)

    def _warning(self, ref: str, fit: Fit, levers: tuple[Lever, ...]) -> LoadWarning:
        plan = self._bench.local.plans.plan_of(ref)
        found = _in_catalogue(ref)
        device = fit.tightest.device
        return LoadWarning(
            model=plan.facts.name if plan is not None else ref,
            device=device.name if device.kind == "gpu" else "this machine's memory",
            needs_bytes=fit.tightest_needs_bytes,
            free_bytes=device.free_bytes or 0,
            in_use_by=holders(device),
            levers=lever_lines(levers, found[0] if found is not None else None),
            missing_bytes=fit.missing_bytes,
        )


def _in_catalogue(ref: str) -> tuple[CatalogueModel, CatalogueQuant] | None:
    from backends.models.catalogue import find

    try:
        return find(ref)
    except NearfarError:
        return None
