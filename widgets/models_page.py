"""The Models page: this machine, what to take on it, the catalogue, downloads, files here. Must not know engines.

Values come in by `show_view`, wishes go out as signals. Showing a view again is cheap: parts keep what did not change.
"""

from __future__ import annotations

from datetime import datetime

from PySide6.QtCore import QMimeData, QRect, Qt, Signal
from PySide6.QtGui import QAction, QDragEnterEvent, QDragLeaveEvent, QDropEvent, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QScrollArea, QVBoxLayout, QWidget
from shiboken6 import isValid

from backends.errors import Problem
from widgets import parts, theme
from widgets.banner import Banner
from widgets.catalogue import Catalogue
from widgets.download_list import DownloadList
from widgets.installed_list import InstalledList
from widgets.machine_card import MachineCard
from widgets.model_values import ModelsView
from widgets.models_head import CATALOGUE, ON_DISK, ModelsHead

DOWNLOADS_SHARE = 0.28  # of the page's height, at most
SCROLL_BAR = 12  # its width in the style sheet
LOW = 720  # under this height one download is in sight, and the others are scrolled to
NARROW = 900  # under this width parts stand one above the other


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
    stop_exact_requested = Signal(str)
    link_requested = Signal(str)
    fix_copied = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAcceptDrops(True)
        self._view = ModelsView()
        self._banner = Banner(closable=True)
        self._notice = Banner()
        self._machine = MachineCard()
        self._head = ModelsHead()
        self._catalogue = Catalogue()
        self._installed = InstalledList()
        self._downloads = DownloadList()
        self._lay_out()
        self._drop = self._make_drop()
        self._connect()
        find = QAction("Search", self)
        find.setShortcut(QKeySequence(QKeySequence.StandardKey.Find))
        find.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        find.triggered.connect(self._search)
        self.addAction(find)
        self.show_section(CATALOGUE)
        self.show_view(self._view)

    def _lay_out(self) -> None:
        body = QWidget()
        body.setProperty("ground", "clear")
        stack = QVBoxLayout(body)
        stack.setContentsMargins(theme.ROOM, theme.GAP, theme.ROOM, theme.GAP)
        stack.setSpacing(theme.GAP)
        for part in (self._banner, self._notice, self._machine, self._head):
            stack.addWidget(part)
        stack.addWidget(self._catalogue, 1)
        stack.addWidget(self._installed, 1)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # Tab brings each control into sight by itself
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidget(body)
        self._stack = stack
        self._scroll.verticalScrollBar().rangeChanged.connect(self._make_room)
        pinned = QVBoxLayout()
        pinned.setContentsMargins(theme.ROOM, 0, theme.ROOM, theme.GAP)
        pinned.addWidget(self._downloads)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._scroll, 1)
        layout.addLayout(pinned)

    def _make_room(self, _least: int, most: int) -> None:
        """A scroll bar takes its room from the margin, so that nothing moves when it comes."""
        if isValid(self._stack):  # ranges change once more while a page is being taken down
            edge = theme.ROOM - SCROLL_BAR if most else theme.ROOM
            self._stack.setContentsMargins(theme.ROOM, theme.GAP, edge, theme.GAP)

    def _make_drop(self) -> QFrame:
        """What lies over the page while a model file is dragged."""
        made = parts.card("drop")
        made.setParent(self)
        text = parts.label("Drop to add this file to your models", "heading", "accent")
        text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        QVBoxLayout(made).addWidget(text)
        made.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        made.hide()
        return made

    def _connect(self) -> None:
        self._machine.fix_copied.connect(self.fix_copied)
        self._head.section_chosen.connect(self.show_section)
        self._head.add_repo_requested.connect(self.add_repo_requested)
        self._head.find_requested.connect(self.find_requested)
        self._head.import_wanted.connect(self._ask_files)
        catalogue, installed, downloads = self._catalogue, self._installed, self._downloads
        for name in ("context_changed", "kv_type_changed", "download_requested", "use_requested", "exact_requested",
                     "stop_exact_requested", "link_requested"):  # fmt: skip
            getattr(catalogue, name).connect(getattr(self, name))
        catalogue.selected.connect(self._selected)
        for name in ("use_requested", "verify_requested", "stop_verify_requested", "remove_requested",
                     "find_requested", "folder_requested"):  # fmt: skip
            getattr(installed, name).connect(getattr(self, name))
        installed.import_wanted.connect(self._ask_files)
        for name in ("pause_requested", "resume_requested", "cancel_requested", "use_requested"):
            getattr(downloads, name).connect(getattr(self, name))

    def show_view(self, view: ModelsView, now: datetime | None = None) -> None:
        """The whole page; `now` decides what is called today. Selection, scrolling and focus stay where they are."""
        self._view = view
        self._head.show_counts(len(view.installed))
        self._notice.show_notice(
            "Local only is on: nothing can be downloaded. Turn it off at the top right, or import a file."
            if view.local_only
            else ""
        )
        self._catalogue.show_view(view, self._show_machine)
        self._installed.show_lines(
            view.installed, view.folder, view.folder_free_bytes, now or datetime.now().astimezone()
        )
        self._downloads.show_lines(view.downloads)

    def show_problem(self, problem: Problem | None) -> None:
        self._banner.show_problem(problem)
        if problem is not None:
            self._scroll.verticalScrollBar().setValue(0)

    def show_notice(self, text: str) -> None:
        """One sentence of what was done, where a problem would stand."""
        self._banner.show_notice(text)
        self._scroll.verticalScrollBar().setValue(0)

    def problem_text(self) -> str:
        """What the banner at the top says, or empty."""
        return self._banner.text()

    def show_section(self, section: str) -> None:
        """`catalogue` or `disk`."""
        self._head.choose(section)
        self._catalogue.setVisible(section == CATALOGUE)
        self._installed.setVisible(section == ON_DISK)
        self._scroll.verticalScrollBar().setValue(0)

    def section(self) -> str:
        return self._head.section()

    def select(self, ref: str) -> None:
        """Show a row and its details, without a signal."""
        self.show_section(CATALOGUE)
        self._catalogue.select(ref)
        self._show_machine()

    def selected_ref(self) -> str | None:
        """The row that the person selected, else the one that is recommended."""
        return self._catalogue.shown_ref()

    def focus_main(self) -> None:
        """Where the keyboard is when the page is opened: the main button, or the search where it cannot be pressed."""
        self._catalogue.focus_main() if self.section() == CATALOGUE else self._head.focus_section()

    def _show_machine(self) -> None:
        ref = self._view.wanted_ref
        chosen = self._catalogue.selected_ref()
        words = "selected model" if chosen is not None and ref in (None, chosen) else "recommended model"
        if ref is not None and ref != chosen:
            row = next((row for row in self._view.rows if row.ref == ref), None)
            if row is not None and row.rank != 1:
                words = f"{row.model}, {row.quant}"
        self._machine.show_machine(self._view.machine, words)

    def _selected(self, ref: str) -> None:
        self.selected.emit(ref)
        self._show_machine()

    def _search(self) -> None:
        self.show_section(CATALOGUE)
        self._catalogue.focus_search()

    def _ask_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Choose model files", "", "GGUF models (*.gguf);;All files (*)")
        if paths:
            self.import_requested.emit(paths)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._catalogue.set_narrow(self.width() < NARROW)
        low = self.height() < LOW  # there the catalogue and the recommendation's button need the room more
        self._downloads.set_limit(0 if low else round(self.height() * DOWNLOADS_SHARE))
        edge = theme.GAP
        self._drop.setGeometry(QRect(self.rect()).adjusted(edge, edge, -edge, -edge))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if dropped_models(event.mimeData()):
            event.acceptProposedAction()
            self._drop.show()
            self._drop.raise_()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._drop.hide()

    def dropEvent(self, event: QDropEvent) -> None:
        self._drop.hide()
        paths = dropped_models(event.mimeData())
        if paths:
            event.acceptProposedAction()
            self.import_requested.emit(paths)
