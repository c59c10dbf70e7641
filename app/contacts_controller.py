"""Shows what went where, from the network's own log, while the person looks. Must not paint, nor open connections."""

from __future__ import annotations

import asyncio
from datetime import datetime

from PySide6.QtCore import QObject, QTimer, Slot

from app.engine_thread import EngineThread
from backends.egress import Contact
from backends.errors import Problem
from backends.workbench import Workbench
from widgets.contacts_dialog import ContactsDialog
from widgets.main_window import MainWindow
from widgets.values import ContactLine

LOOK_MS = 1000


class ContactsController(QObject):
    """Opens the dialog and keeps it true; a file is read for it on a thread of the engine."""

    def __init__(self, window: MainWindow, engine: EngineThread, bench: Workbench) -> None:
        super().__init__(window)
        self._window = window
        self._engine = engine
        self._bench = bench
        self._dialog: ContactsDialog | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look)

    @Slot()
    def open(self) -> None:
        if self._dialog is not None:
            return
        self._dialog = ContactsDialog(self._window)
        self._dialog.finished.connect(self._closed)
        self._dialog.forget_wanted.connect(self._forget)
        self._look()
        self._timer.start()
        self._dialog.open()

    @Slot()
    def _closed(self) -> None:
        self._timer.stop()
        if self._dialog is not None:
            self._dialog.deleteLater()
            self._dialog = None

    def _look(self) -> None:
        self._engine.ask(asyncio.to_thread(self._bench.contacts), self._show)

    @Slot()
    def _forget(self) -> None:
        self._engine.ask(asyncio.to_thread(self._bench.forget_contacts), self._forgotten, self._not_forgotten)

    def _forgotten(self, _none: None) -> None:
        if self._dialog is not None:
            self._dialog.show_problem(None)
        self._look()

    def _not_forgotten(self, error: BaseException) -> None:
        why = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
        fix = "Check that Nearfar's data folder can be written, then delete it again."
        if self._dialog is not None:
            self._dialog.show_problem(Problem("not_deleted", f"The list could not be deleted{why}.", "", fix))

    def _show(self, contacts: tuple[Contact, ...]) -> None:
        if self._dialog is not None:
            self._dialog.show_lines([_line(contact) for contact in contacts], datetime.now().astimezone())


def _line(contact: Contact) -> ContactLine:
    return ContactLine(
        at=contact.at.astimezone(),
        purpose=contact.purpose,
        host=contact.host,
        outcome=contact.outcome,
        is_here=contact.on_this_machine,
        via=contact.via,
        bytes_sent=contact.bytes_sent,
        bytes_received=contact.bytes_received,
    )
