"""Keys in the window: the dialog that asks for one, and the Keys section of Settings. Must not paint or keep them."""

from __future__ import annotations

import os
from concurrent.futures import Future

from PySide6.QtCore import QObject, Signal, Slot
from shiboken6 import isValid

from app.engine_thread import EngineThread
from app.keyring_words import note_of, problem_of_state, tell_keyring
from backends.cloud.key_test import KeyTest
from backends.cloud.providers import Endpoint
from backends.egress_policy import on_this_machine
from backends.errors import NearfarError
from backends.key_holders import HUB, key_holder, key_holders
from backends.key_ring import KeyState
from backends.keyring_state import KeyringState, find_keyring
from backends.keys import Secret, key_from_env, parse_key, usual_variable
from backends.records import Target
from backends.workbench import Workbench
from widgets.key_dialog import WITH_DOWNLOADS, WITH_PROMPTS, KeyDialog
from widgets.key_values import KeyLine, Tone
from widgets.main_window import MainWindow
from widgets.settings_keys import KeySettings

PAGE = "settings"
TONES: dict[str, Tone] = {"works": "here", "refused": "danger"}


class KeysController(QObject):
    """`changed` when somebody has a key now or has none any more; `troubled` carries a Problem to show."""

    changed = Signal()
    troubled = Signal(object)

    def __init__(self, section: KeySettings, window: MainWindow, engine: EngineThread, bench: Workbench) -> None:
        super().__init__(section)
        self._section = section
        self._window = window
        self._engine = engine
        self._bench = bench
        self._tests: dict[str, Future[KeyTest]] = {}
        section.enter_requested.connect(self._enter)
        section.test_requested.connect(self._test)
        section.test_cancelled.connect(self._stop_test)
        section.delete_requested.connect(self._delete)
        window.page_chosen.connect(self._page_chosen)
        self.show()

    @Slot()
    def show(self) -> None:
        """Whose key is where, as far as it is known without asking the keyring."""
        self._section.show_keys([self._line(each) for each in key_holders(self._bench.settings)])

    def ask(self, target: Target) -> bool:
        """Show the dialog for a target's server until it closes; True where nobody needs to be asked now."""
        endpoint = self._bench.access.endpoint(target)
        if endpoint is None:
            return True
        self._ask(endpoint)
        return not self._bench.access.needs_key(target)

    def _ask(self, endpoint: Endpoint) -> None:
        sent = WITH_DOWNLOADS if endpoint.key_name == HUB else WITH_PROMPTS
        dialog = KeyDialog(
            endpoint.key_name,
            endpoint.label,
            endpoint.host,
            sent=sent,
            in_the_clear=_goes_in_the_clear(endpoint),
            parent=self._window,
        )
        tests: list[Future[KeyTest]] = []

        def stop() -> None:
            while tests:
                tests.pop().cancel()

        def shown(done: KeyTest) -> None:
            if tests and isValid(dialog):
                dialog.show_test(done.sentence, TONES.get(done.outcome, "caution"))

        def test(pasted: str) -> None:
            stop()
            try:
                tests.append(self._engine.ask(self._bench.access.try_key(endpoint, parse_key(pasted)), shown))
            except NearfarError as error:
                dialog.show_test(error.problem.sentence, "danger")

        dialog.key_entered.connect(lambda _name, key: self._took(endpoint, key, in_keyring=dialog.keeps_in_keyring()))
        dialog.variable_chosen.connect(
            lambda name: self._took_variable(endpoint, name, in_keyring=dialog.keeps_in_keyring())
        )
        dialog.test_requested.connect(test)
        dialog.test_cancelled.connect(stop)
        self._offer_variable(dialog, endpoint)
        tell_keyring(self._engine, dialog)
        dialog.exec()
        stop()
        dialog.deleteLater()
        self._told()

    def _offer_variable(self, dialog: KeyDialog, endpoint: Endpoint) -> None:
        """Once: what was not taken when it was offered is not offered again."""
        name = usual_variable(endpoint.key_name)
        offered = self._bench.settings.offered_variables
        if name in offered or not os.environ.get(name, "").strip():
            return
        dialog.offer_variable(name)
        self._bench.change(offered_variables=(*offered, name))
        self._engine.ask(self._bench.save(), self.troubled.emit)

    def _took(self, endpoint: Endpoint, pasted: str, *, in_keyring: bool) -> None:
        try:
            self._keep(endpoint, parse_key(pasted), in_keyring=in_keyring)
        except NearfarError as error:
            self.troubled.emit(error.problem)

    def _took_variable(self, endpoint: Endpoint, name: str, *, in_keyring: bool) -> None:
        try:
            self._keep(endpoint, key_from_env(name), in_keyring=in_keyring)
        except NearfarError as error:
            self.troubled.emit(error.problem)

    def _keep(self, endpoint: Endpoint, key: Secret, *, in_keyring: bool) -> None:
        """In memory at once, so that a run need not wait for the keyring."""
        self._bench.keys.put(endpoint.key_entry, key)
        if in_keyring:
            self._engine.ask(self._bench.keys.keep(endpoint.key_entry, key), self._kept)

    def _kept(self, state: KeyState) -> None:
        self._told()
        problem = problem_of_state(state)
        if problem is not None:
            self.troubled.emit(problem)

    # -- the section of Settings -------------------------------------------------------------------------------------

    def _line(self, endpoint: Endpoint) -> KeyLine:
        state = self._bench.keys.state(endpoint.key_entry)
        in_the_clear = _goes_in_the_clear(endpoint)
        return KeyLine(endpoint.key_name, endpoint.label, endpoint.host, state.place, state.reason, in_the_clear)

    @Slot(str)
    def _page_chosen(self, page: str) -> None:
        if page == PAGE:
            self.show()
            self._engine.ask(find_keyring(), self._found)

    def _found(self, state: KeyringState) -> None:
        self._section.show_keyring(note_of(state))

    @Slot(str)
    def _enter(self, name: str) -> None:
        endpoint = self._holder(name)
        if endpoint is not None:
            self._ask(endpoint)

    @Slot(str)
    def _test(self, name: str) -> None:
        endpoint = self._holder(name)
        if endpoint is None:
            return

        def tested(done: KeyTest) -> None:
            if self._tests.pop(name, None) is not None:
                self._told()  # first: a row whose key has gone forgets the outcome of its test
                self._section.show_test(name, done.sentence, TONES.get(done.outcome, "caution"))

        self._stop_test(name)
        self._tests[name] = self._engine.ask(self._bench.access.try_key(endpoint), tested)

    @Slot(str)
    def _stop_test(self, name: str) -> None:
        future = self._tests.pop(name, None)
        if future is not None:
            future.cancel()

    @Slot(str)
    def _delete(self, name: str) -> None:
        endpoint = self._holder(name)
        if endpoint is not None:
            self._engine.ask(self._bench.keys.forget(endpoint.key_entry), self._kept)

    def _holder(self, name: str) -> Endpoint | None:
        try:
            return key_holder(name, self._bench.settings)
        except NearfarError as error:
            self.troubled.emit(error.problem)
            return None

    def _told(self) -> None:
        self.show()
        self.changed.emit()


def _goes_in_the_clear(endpoint: Endpoint) -> bool:
    return not endpoint.encrypted and not on_this_machine(endpoint.host)
