"""The real window on its Models page beside the hub's stand-in, and clicks in its dialogs. Must not know tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from PySide6.QtWidgets import QApplication, QCheckBox, QDialog, QPushButton
from pytestqt.qtbot import QtBot

from app.session import Session
from backends.paths import app_paths
from backends.workbench import Workbench
from tests.app.models_command import FILE, REPO, hub_with_models
from tests.fakes.hub_server import HubServer
from tests.gguf_factory import write_script
from widgets import theme
from widgets.dialog import Dialog
from widgets.model_values import DownloadLine, InstalledLine, ModelRow

LIMIT_MS = 60_000
REF = f"hf:{REPO}/{FILE}"
TALKER = "talker-Q8_0.gguf"
TALKS = f"hf:{REPO}/{TALKER}"
D = TypeVar("D", bound=QDialog)


@contextmanager
def hub(folder: Path, **options: object) -> Iterator[HubServer]:
    """The repo of the command line's tests, and a model that answers."""
    words = tuple(f" word{number}".encode() for number in range(40))
    with hub_with_models(folder) as server:
        write_script(folder / REPO / TALKER, words, n_ctx_train=4096)
        for name, value in options.items():
            setattr(server, name, value)
        yield server


class ModelsWindow:
    """A session whose Models page is open."""

    def __init__(self, qtbot: QtBot, qapp: QApplication) -> None:
        self.qtbot = qtbot
        self.session = Session(qapp, Workbench(app_paths()))
        self.page = self.session.models_page
        self.state = self.session.models.state
        self.session.window.show()
        qtbot.waitUntil(lambda: self.session.status.begun)
        self.session.window.open_page("models")

    def wait(self, done: Callable[[], object]) -> None:
        self.qtbot.waitUntil(lambda: bool(done()), timeout=LIMIT_MS)

    def close(self, qapp: QApplication) -> None:
        self.session.window.close()
        self.session.window.deleteLater()
        theme.apply(qapp, "light")

    # -- what the page shows -------------------------------------------------------------------------------------

    @property
    def rows(self) -> dict[str, ModelRow]:
        return {row.ref: row for row in self.page._view.rows}

    @property
    def downloads(self) -> dict[str, DownloadLine]:
        return {line.ref: line for line in self.page._view.downloads}

    @property
    def installed(self) -> dict[str, InstalledLine]:
        return {line.ref: line for line in self.page._view.installed}

    def said(self) -> str:
        return self.page.problem_text()

    # -- dialogs -------------------------------------------------------------------------------------------------

    def dialog(self, kind: type[D]) -> D:
        """The one that comes up."""
        self.wait(lambda: self.open_dialogs(kind))
        return self.open_dialogs(kind)[0]

    def open_dialogs(self, kind: type[D]) -> list[D]:
        return [each for each in self.session.window.findChildren(kind) if each.isVisible()]

    def accept_licence(self, kind: type[Dialog]) -> None:
        dialog = self.dialog(kind)
        dialog.findChildren(QCheckBox)[0].setChecked(True)
        press(dialog, "Download")

    def download(self, ref: str) -> None:
        from widgets.licence_dialog import LicenceDialog

        self.page.download_requested.emit(ref)
        if not self.session.bench.settings.accepted_licences:
            self.accept_licence(LicenceDialog)


def press(dialog: QDialog, words: str) -> None:
    """The button that begins with these words."""
    button = next(each for each in dialog.findChildren(QPushButton) if each.text().startswith(words))
    assert button.isEnabled(), words
    button.click()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
