"""The Settings page: shows what is set, hands on what changes, tells what went wrong there. Must not keep settings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from PySide6.QtCore import QObject, QUrl, Slot
from PySide6.QtGui import QDesktopServices

from app.engine_thread import EngineThread
from app.library_controller import LibraryController, free_bytes
from app.settings_view import changes, settings_view
from backends.errors import Problem
from backends.workbench import Workbench
from widgets.main_window import MainWindow
from widgets.settings_page import SettingsPage
from widgets.values import SettingsView

PAGE = "settings"
NO_FOLDER = Problem("models_folder", "The models folder is not there yet.", "", "The first download makes it.")


class SettingsController(QObject):
    """`save` changes settings by name, writes them and has them shown everywhere."""

    def __init__(
        self,
        page: SettingsPage,
        window: MainWindow,
        engine: EngineThread,
        bench: Workbench,
        library: LibraryController,
        *,
        save: Callable[..., None],
    ) -> None:
        super().__init__(page)
        self._page = page
        self._window = window
        self._engine = engine
        self._bench = bench
        self._save = save
        self._free_bytes: int | None = None
        self._shown = self._view()
        page.changed.connect(self._changed)
        page.folder_chosen.connect(library.choose_folder)
        page.folder_open_requested.connect(self._open_folder)
        library.troubled.connect(self.take)
        library.settings_touched.connect(self._look_at_folder)
        window.page_chosen.connect(self._page_chosen)

    def show(self) -> None:
        """As the settings are now."""
        self._shown = self._view()
        self._page.show_settings(self._shown)

    @Slot(object)
    def take(self, problem: Problem) -> bool:
        """Show a problem where the page is open; False where another one is."""
        here = self._window.current_page() == PAGE
        if here:
            self._page.show_problem(problem)
        return here

    @Slot(object)
    def _changed(self, view: SettingsView) -> None:
        """What is another than was shown: settings may have been taken over that the page does not show yet."""
        self._save(**changes(self._shown, view))

    def _view(self) -> SettingsView:
        return settings_view(self._bench, self._free_bytes)

    @Slot(str)
    def _page_chosen(self, key: str) -> None:
        if key == PAGE:
            self._page.show_problem(None)
            self._look_at_folder()

    @Slot()
    def _look_at_folder(self) -> None:
        def read(free: int | None) -> None:
            self._free_bytes = free
            self.show()

        self._engine.ask(asyncio.to_thread(free_bytes, self._bench.models.folder), read)

    @Slot()
    def _open_folder(self) -> None:
        folder = self._bench.models.folder
        if folder.is_dir():
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
        else:
            self._page.show_problem(NO_FOLDER)
