"""The Models page: this machine, what to take on it, the catalogue, downloads, files here. Must not know engines nor disk.

Values come in by `show_view`, wishes go out as signals. Showing a view again costs little: parts keep what did not change.
"""

from __future__ import annotations

from datetime import datetime

from PySide6.QtCore import QMimeData, QSignalBlocker, Qt, Signal
from PySide6.QtGui import QAction, QDragEnterEvent, QDragLeaveEvent, QDropEvent, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QFileDialog, QLabel, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from backends.errors import Problem
from widgets import parts, theme
from widgets.banner import Banner
from widgets.catalogue import Catalogue
from widgets.download_list import DownloadList
from widgets.installed_list import InstalledList
from widgets.machine_card import MachineCard
from widgets.model_values import ModelsView
from widgets.models_head import CATALOGUE, ON_DISK, ModelsHead

NARROW = 900
"""Under this width parts stand one above the other."""


def dropped_models(mime: QMimeData) -> list[str]:
    """The .gguf files on this machine among what is dragged."""
    paths = [url.toLocalFile() for url in mime.urls() if url.isLocalFile()]
    return [path for path in paths if path.casefold().endswith(".gguf")]


class ModelsPage(QWidget):
    """Signals carry a ref unless their name says otherwise; `cancel_requested` also whether to delete what arrived."""

    context_changed = Signal(int)
    kv_type_changed = Signal(str)
    selected = Signal(str)
    download_requested = Signal(str)
    pause_requested = Signal(str)
    resume_requested = Signal(str)
    cancel_requested = Signal(str, bool)
    use_requested = Signal(str)
    verify_requested = Signal(str)
    stop_verify_requested = Signal(str)
    remove_requested = Signal(str)
    import_requested = Signal(list)
    add_repo_requested = Signal()
    find_requested = Signal()
    folder_requested = Signal()
    exact_requested = Signal(str)
    link_requested = Signal(str)
    fix_copied = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAcceptDrops(True)
        self._banner = Banner(closable=True)
        self._machine = MachineCard()
        self._head = ModelsHead()
        self._catalogue = Catalogue()
        self._installed = InstalledList()
        self._downloads = DownloadList()
        self._sections = QStackedWidget()
        self._drop = self._make_drop()
        self._lay_out()
        self._connect()
        find = QAction("Search", self)
        find.setShortcut(QKeySequence(QKeySequence.StandardKey.Find))
        find.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        find.triggered.connect(self.focus_main)
        self.addAction(find)
        self.show_view(ModelsView())
