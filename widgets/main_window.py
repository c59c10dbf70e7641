"""The window: rail, top bar and pages. Must not know what a page does; pages are handed to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QMainWindow, QStackedWidget, QVBoxLayout, QWidget

from widgets import theme
from widgets.screen_room import keep_inside, largest

if TYPE_CHECKING:  # the bare window stands before what fills it is imported: see `_fit_out`
    from widgets.device_chip import DeviceChip
    from widgets.nav_rail import NavRail
    from widgets.privacy_chip import PrivacyChip
    from widgets.values import DeviceLine, PrivacyState

SIZE = (1280, 800)
SMALLEST = (800, 560)
MODELS = "models"  # the key of the page that downloads belong to


class MainWindow(QMainWindow):
    """`page_chosen` carries a page's key; `closing` comes before the window goes; `shown` after its first paint.

    `devices_watched` says whether figures of devices are in sight now: the device card, or a page added as `watching`;
    `activated` that the person came back to this window from another. With a word for `opening` the window is that word
    alone until the first page is added.
    """

    page_chosen = Signal(str)
    local_only_toggled = Signal(bool)
    contacts_requested = Signal()
    devices_watched = Signal(bool)
    closing = Signal()
    shown = Signal()
    activated = Signal()

    _rail: NavRail
    _devices: DeviceChip
    _privacy: PrivacyChip
    _title: QLabel

    def __init__(self, opening: str = "") -> None:
        super().__init__()
        self.setWindowTitle("Nearfar")
        room = largest(self)
        self.resize(QSize(*SIZE).boundedTo(room))
        self.setMinimumSize(QSize(*SMALLEST).boundedTo(room))
        self._pages: dict[str, QWidget] = {}
        self._titles: dict[str, str] = {}
        self._watching_pages: set[str] = set()
        self._card_open = self._watched = False
        self._painted = self._was_shown = self._fitted = False
        if opening:
            self.setCentralWidget(QLabel(opening, alignment=Qt.AlignmentFlag.AlignCenter))
        else:
            self._fit_out()

    @property
    def was_shown(self) -> bool:
        """Whether `shown` has been emitted."""
        return self._was_shown

    def _fit_out(self) -> None:
        """Rail, top bar and room for pages. Imports what it needs by itself: the bare window does not wait for it."""
        from widgets import icons, parts
        from widgets.device_chip import DeviceChip
        from widgets.nav_rail import NavRail
        from widgets.privacy_chip import LOCAL_ONLY_KEY, PrivacyChip

        self._fitted = True
        self._icons = icons
        self._rail = NavRail()
        self._rail.chosen.connect(self.open_page)
        self._stack = QStackedWidget()
        self._title = parts.label("", "heading")
        self._devices = DeviceChip()
        self._devices.watched.connect(self._card_watched)
        self._privacy = PrivacyChip()
        self._privacy.local_only_toggled.connect(self.local_only_toggled)
        self._privacy.contacts_requested.connect(self.contacts_requested)
        switch = QShortcut(QKeySequence(LOCAL_ONLY_KEY), self)
        switch.activated.connect(self._privacy.toggle)
        self._lay_out(parts.card("bar"))
        if self._was_shown:
            icons.load()

    def _lay_out(self, bar: QFrame) -> None:
        line = QHBoxLayout(bar)
        line.setContentsMargins(theme.ROOM, theme.TIGHT, theme.ROOM, theme.TIGHT)
        line.setSpacing(theme.TIGHT)
        line.addWidget(self._title)
        line.addStretch(1)
        line.addWidget(self._devices)
        line.addWidget(self._privacy)
        right = QVBoxLayout()
        right.setSpacing(0)
        right.addWidget(bar)
        right.addWidget(self._stack, 1)
        whole = QWidget()
        layout = QHBoxLayout(whole)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._rail)
        layout.addLayout(right, 1)
        self.setCentralWidget(whole)

    def add_page(
        self, key: str, title: str, icon: str, page: QWidget, *, at_bottom: bool = False, watching: bool = False
    ) -> None:
        """Put a page on the rail; `icon` is a name of the icon set. The first one added is open.

        `watching` pages show figures of devices, so that these are read anew while the page is open.
        """
        if watching:
            self._watching_pages.add(key)
        if not self._fitted:
            self._fit_out()
        self._rail.add(key, title, icon, at_bottom=at_bottom)
        self._pages[key] = page
        self._titles[key] = title
        self._stack.addWidget(page)
        shortcut = QShortcut(QKeySequence(f"Ctrl+{len(self._pages)}"), self)
        shortcut.activated.connect(lambda: self._go(key))
        if len(self._pages) == 1:
            self._show_page(key)
            if self._was_shown:
                self._focus_page()

    def open_page(self, key: str) -> None:
        """Bring a page to the front and say so."""
        if self._pages[key] is not self._stack.currentWidget():
            self._show_page(key)
            self.page_chosen.emit(key)

    def _go(self, key: str) -> None:
        """By keyboard: the page gets the focus too, on its main field."""
        self.open_page(key)
        self._focus_page()

    def current_page(self) -> str:
        """The key of the page in front; empty before there is one."""
        return next((key for key, page in self._pages.items() if page is self._stack.currentWidget()), "")

    def show_devices(self, devices: Sequence[DeviceLine]) -> None:
        self._devices.show_devices(devices)

    def show_download_progress(self, share: float | None, failed: bool, *, done: bool = False) -> None:
        """On the rail's Models entry: all downloads together, from 0 to 1 (None while none runs), if one failed, and if
        one is done that the person has not seen yet."""
        if MODELS in self._pages:
            self._rail.show_downloads(MODELS, share, failed=failed, done=done)

    def show_privacy(self, state: PrivacyState) -> None:
        self._privacy.show_state(state)

    def _show_page(self, key: str) -> None:
        self._stack.setCurrentWidget(self._pages[key])
        self._rail.show_current(key)
        self._title.setText(self._titles[key])
        self.setWindowTitle(f"Nearfar: {self._titles[key]}")
        self._watch()

    def _card_watched(self, opened: bool) -> None:
        self._card_open = opened
        self._watch()

    def _watch(self) -> None:
        """Say it when the answer is another one."""
        watched = self._card_open or self.current_page() in self._watching_pages
        if watched != self._watched:
            self._watched = watched
            self.devices_watched.emit(watched)

    def _focus_page(self) -> None:
        """Pages say by `focus_main` where typing goes; a focus proxy would take the page out of the Tab order."""
        focus = getattr(self._stack.currentWidget(), "focus_main", None)
        if focus is not None:
            focus()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self._painted:
            self._painted = True
            QTimer.singleShot(0, self, self._after_first_paint)

    def _after_first_paint(self) -> None:
        keep_inside(self)
        if self._fitted:
            self._icons.load()
            self._focus_page()
        self._was_shown = True
        self.shown.emit()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self._fitted:
            self._icons.recolour()
        elif event.type() == QEvent.Type.ActivationChange and self.isActiveWindow():
            self.activated.emit()

    def closeEvent(self, event: QCloseEvent) -> None:
        self.closing.emit()
        super().closeEvent(event)
