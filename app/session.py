"""One run of the window: makes the pages, wires the controllers, ends everything at the close. Must not paint."""

from __future__ import annotations

import asyncio

from PySide6.QtCore import QObject, Qt, QTimer, QUrl, Slot
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QApplication, QMessageBox

from app.assistant_controller import AssistantController
from app.choice_keeper import ChoiceKeeper
from app.choices import FIRST_LANES, choice_for, target_choices
from app.compare_controller import CompareController
from app.contacts_controller import ContactsController
from app.costs_controller import CostsController
from app.engine_thread import EngineThread
from app.estimate_controller import EstimateController
from app.history_controller import HistoryController
from app.keys_controller import KeysController
from app.load_guard import LoadGuard
from app.models_controller import ModelsController
from app.samples import sample_prompts
from app.server_choices import actions
from app.servers_controller import ServersController
from app.settings_controller import SettingsController
from app.settings_watch import SettingsWatch
from app.status_controller import StatusController
from backends.errors import NearfarError, Problem
from backends.records import Target
from backends.targets import parse_target
from backends.workbench import Workbench
from widgets import theme
from widgets.compare_page import ComparePage
from widgets.history_page import HistoryPage
from widgets.main_window import MODELS, MainWindow
from widgets.models_page import ModelsPage
from widgets.settings_page import SettingsPage
from widgets.values import MAX_LANES, StoredComparison


class Session(QObject):
    """Owns the window, the engine thread and the workbench. The engine thread starts after the first paint."""

    def __init__(
        self, qt: QApplication, bench: Workbench, *, first_steps: bool = False, window: MainWindow | None = None
    ) -> None:
        """`first_steps`: open the assistant where this is the first start. `window` may stand already, empty."""
        super().__init__()
        self._qt = qt
        self.bench = bench
        theme.apply(qt, bench.settings.theme)
        self.engine = EngineThread(self)
        self.window = window or MainWindow()
        self.compare = ComparePage()
        self.models_page = ModelsPage()
        self.history = HistoryPage()
        self.settings = SettingsPage()
        self.window.add_page("compare", "Compare", "columns", self.compare)
        self.window.add_page(MODELS, "Models", "models", self.models_page, watching=True)
        self.window.add_page("history", "History", "history", self.history)
        self.window.add_page("settings", "Settings", "settings", self.settings, at_bottom=True)
        self.status = StatusController(
            self.window,
            self.engine,
            bench,
            lane_targets=self._lane_targets,
            other_hosts=lambda: self.models.downloads.hosts(),
        )
        self.runs = CompareController(
            self.compare,
            self.engine,
            bench,
            ask_key=self._ask_key,
            changed=self._runs_changed,
            would_not_fit=lambda *refused: self.guard.refused(*refused),
        )
        self.guard = LoadGuard(
            self.window, self.engine, bench, retry=self.runs.retry, choose=self._choose, save=self._save
        )
        self.past = HistoryController(self.history, self.engine, bench, reopen=self._reopen)
        self.models = ModelsController(
            self.models_page,
            self.window,
            self.engine,
            bench,
            save=self._save,
            is_busy=lambda: self.runs.busy,
            open_link=self._open_link,
        )
        self.first_steps = AssistantController(
            self.window, self.engine, bench, self.models, save=self._save, is_busy=lambda: self.runs.busy
        )
        self.watch = SettingsWatch(self.window, self.engine, bench)
        self.contacts = ContactsController(self.window, self.engine, bench)
        self._opens_first_steps = first_steps
        self.chosen = SettingsController(
            self.settings, self.window, self.engine, bench, self.models.library, save=self._save
        )
        self.keys = KeysController(self.settings.keys, self.window, self.engine, bench)
        self.estimates = EstimateController(self.compare, self.engine, bench)
        self.costs = CostsController(self.settings, self.window, self.engine, bench, changed=self._prices_changed)
        self.servers = ServersController(
            self.window,
            self.compare,
            self.settings,
            self.engine,
            bench,
            ask_key=self._ask_key,
            save=self._save,
            changed=self._settings_touched,
        )
        bench.known_models.read_later()
        self._fill()
        self.keeper = ChoiceKeeper(self.compare, self.engine, bench, self._saved)
        self._connect()

    def _fill(self) -> None:
        settings = self.bench.settings
        self._show_targets()
        for target in settings.lanes or FIRST_LANES:
            self.compare.add_lane(target)
        self._show_targets()
        self.compare.set_samples(sample_prompts())
        self.compare.prompt_box.parameters.set_sampling(settings.sampling)
        self.compare.prompt_box.set_mode(settings.lane_order)
        self.chosen.show()
        self.history.set_keep_history(settings.keep_history)
        self.status.show_privacy()
        if self.bench.warnings:
            self.compare.show_problem(Problem("settings", " ".join(self.bench.warnings), "", "Look at Settings."))

    def _connect(self) -> None:
        if self.window.was_shown:
            QTimer.singleShot(0, self, self._begin)
        else:
            self.window.shown.connect(self._begin)
        self.window.closing.connect(self.end)
        self.watch.changed.connect(self._taken_over)
        self.window.local_only_toggled.connect(self._set_local_only)
        self.window.contacts_requested.connect(self.contacts.open)
        self.settings.contacts_requested.connect(self.contacts.open)
        self.window.page_chosen.connect(self._page_chosen)
        self.compare.target_chosen.connect(self._target_chosen)
        self.compare.lane_added.connect(self._lanes_changed)
        self.compare.lane_removed.connect(self._lanes_changed)
        self.compare.link_requested.connect(self._open_link)
        self.compare.mode_chosen.connect(lambda mode: self._save(lane_order=mode))
        self.past.troubled.connect(self.compare.show_problem, Qt.ConnectionType.QueuedConnection)
        self.models.use_wanted.connect(self._use_model)
        self.models.installed_changed.connect(self._show_targets)
        self.models.settings_touched.connect(self._settings_touched)
        self.models.machine_read.connect(lambda machine: self.status.show_devices((*machine.gpus, machine.cpu)))
        self.first_steps.use_wanted.connect(self._put_in_lane)
        self.keys.changed.connect(self._show_targets)
        self.keys.changed.connect(self.status.show_privacy)  # a test of a key may have contacted somebody
        self.keys.troubled.connect(self._saved)
        self.settings.first_steps_requested.connect(self.first_steps.open)
        self.history.keep_history_toggled.connect(lambda keep: self._save(keep_history=keep))
        hints = self._qt.styleHints()
        hints.colorSchemeChanged.connect(lambda _scheme: theme.apply(self._qt, self.bench.settings.theme))

    @Slot()
    def _begin(self) -> None:
        """After the first paint: the slow world may start."""
        self.engine.start()
        self.engine.ask(asyncio.to_thread(self.bench.known_models.read), lambda _none: self._show_targets())
        self.status.begin()
        self.watch.begin()
        self.past.begin()
        self.models.begin()
        if self._opens_first_steps:
            self.first_steps.begin()
        self.compare.prompt_box.editor.textChanged.connect(self._warm_up, Qt.ConnectionType.SingleShotConnection)

    @Slot()
    def _warm_up(self) -> None:
        """The cloud client takes 50 MB and a second: it is imported while the first prompt is written, not before."""
        targets = [parse_target(name) for name in self._lane_targets()]
        self.engine.ask(self.bench.warm_up(targets), lambda _none: None)

    @Slot()
    def end(self) -> None:
        """Stop runs, close workers, finish writing. At most five seconds."""
        self.watch.end()
        self.models.end()
        self.keeper.end()
        self.engine.stop(self.bench.close())

    def _lane_targets(self) -> tuple[str, ...]:
        return tuple(self.compare.lane(lane_id).target for lane_id in self.compare.lane_ids)

    # -- targets and keys ----------------------------------------------------------------------------------------

    def _show_targets(self) -> None:
        choices = target_choices(self.bench)
        known = {choice.name for choice in choices}
        for lane_id in self.compare.lane_ids:
            name = self.compare.lane(lane_id).target
            extra = choice_for(self.bench, parse_target(name)) if name not in known else None
            if extra is not None:
                choices.append(extra)
        self.compare.set_targets(choices, actions(self.bench))

    @Slot(str, str)
    def _target_chosen(self, lane_id: str, name: str) -> None:
        try:
            target = parse_target(name)
            # A dialog that was cancelled is no consent; under local only the refusal comes first.
            may_ask = not self.bench.settings.local_only and self.bench.access.needs_key(target)
            if (not may_ask or self._ask_key(target)) and self.bench.access.consent([target]):
                self._save(local_only=False)
        except NearfarError as error:
            self.compare.show_problem(error.problem)
        self._lanes_changed(lane_id)

    @Slot(str)
    def _lanes_changed(self, _lane_id: str) -> None:
        self._take_back_hosts()
        self.keeper.touched()
        self._show_targets()
        self.estimates.refresh()
        self.status.show_privacy()

    def _take_back_hosts(self) -> None:
        """What no lane names any more may not be contacted any more; what still runs is left to its end."""
        if not self.runs.busy:
            self.bench.access.keep_only(self._lane_targets())

    def _ask_key(self, target: Target) -> bool:
        return self.keys.ask(target)

    @Slot(str)
    def _open_link(self, url: str) -> None:
        """A link in an answer opens only when the person has seen where it leads."""
        box = QMessageBox(
            QMessageBox.Icon.Question, "Open link", "Open this address in your browser?", parent=self.window
        )
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setInformativeText(url)
        box.setStandardButtons(QMessageBox.StandardButton.Open | QMessageBox.StandardButton.Cancel)
        box.setDefaultButton(QMessageBox.StandardButton.Cancel)
        if box.exec() == QMessageBox.StandardButton.Open:
            QDesktopServices.openUrl(QUrl(url))

    @Slot(str)
    def _use_model(self, ref: str) -> None:
        if self.runs.busy:
            running = Problem("busy", "A comparison is running.", "", "Stop it, then use this model.")
            self.models.show_problem(running)
            return
        self._put_in_lane(ref)
        self.window.open_page("compare")

    @Slot(str)
    def _put_in_lane(self, ref: str) -> None:
        """A model of this disk goes into the first lane that runs here, else into a new one."""
        here = [lane_id for lane_id in self.compare.lane_ids if self.compare.lane(lane_id).target.startswith("local:")]
        name = str(Target("local", ref))
        if here:
            lane_id = here[0]
        elif len(self.compare.lane_ids) < MAX_LANES:
            lane_id = self.compare.add_lane(name)
        else:
            lane_id = self.compare.lane_ids[0]
        self._choose(lane_id, name)

    def _choose(self, lane_id: str, name: str) -> None:
        self._show_targets()
        self.compare.lane(lane_id).set_target(name)
        self._lanes_changed(lane_id)

    # -- settings ------------------------------------------------------------------------------------------------

    @Slot(bool)
    def _set_local_only(self, on: bool) -> None:
        self._save(local_only=on)

    def _save(self, **changes: object) -> None:
        self.bench.change(**changes)
        if "theme" in changes:
            theme.apply(self._qt, self.bench.settings.theme)
        self.engine.ask(self.bench.save(), self._saved)
        self._settings_touched()

    @Slot(object)
    def _taken_over(self, changed: frozenset[str]) -> None:
        """Another window or a command changed these; the lanes of this one stay as they are."""
        if "theme" in changed:
            theme.apply(self._qt, self.bench.settings.theme)
        self._settings_touched()
        self.estimates.refresh()

    @Slot()
    def _settings_touched(self) -> None:
        """Settings are others now, whoever changed them."""
        self.chosen.show()
        self.keys.show()
        self.history.set_keep_history(self.bench.settings.keep_history)
        self.compare.prompt_box.set_mode(self.bench.settings.lane_order)
        self.models.settings_changed()
        self._show_targets()
        self.status.show_privacy()

    def _prices_changed(self) -> None:
        self.estimates.refresh()
        self.status.show_privacy()

    def _saved(self, problem: Problem | None) -> None:
        if problem is not None and not self.chosen.take(problem):
            self.compare.show_problem(problem)

    # -- pages ---------------------------------------------------------------------------------------------------

    @Slot(str)
    def _page_chosen(self, key: str) -> None:
        if key == "history":
            self.past.refresh()

    def _runs_changed(self) -> None:
        self._take_back_hosts()
        self.status.runs_changed(self.runs.busy)
        self.first_steps.settle()
        self.costs.runs_changed()
        if not self.runs.busy:
            self.models.disk.look()  # when a model was used last is another time now
        if self.window.current_page() == "history":
            self.past.refresh()

    def _reopen(self, stored: StoredComparison) -> None:
        if self.runs.busy:
            self.history.show_problem(Problem("busy", "A comparison is running.", "", "Stop it, then open this one."))
            return
        self.compare.show_comparison(stored)
        self.runs.adopt(stored)
        self._show_targets()
        self.status.show_privacy()
        self.window.open_page("compare")
