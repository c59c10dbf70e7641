"""The History page: stored comparisons, searched and reopened. Must not know where they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from PySide6.QtCore import QModelIndex, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QKeySequence, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QLineEdit, QListView, QStackedWidget, QVBoxLayout, QWidget

from backends.errors import Problem
from widgets import format as fmt
from widgets import parts, theme
from widgets.banner import Banner
from widgets.history_rows import LINE, HistoryRowDelegate
from widgets.values import HistoryLine

SEARCH_AFTER_MS = 200
KEEP_NOTHING = (
    "Keep nothing is on: new runs are not written to this machine. What was kept before stays until you delete it; "
    "the list of connections is deleted under Show what was sent."
)


class HistoryPage(QWidget):
    """`search_changed` comes a moment after typing; `open_requested` and `delete_requested` carry a comparison's id."""

    search_changed = Signal(str)
    open_requested = Signal(str)
    delete_requested = Signal(str)
    keep_history_toggled = Signal(bool)
    more_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._search = QLineEdit()
        self._search.setPlaceholderText("Search prompts and answers")
        self._search.setAccessibleName("Search history")
        self._search.setToolTip("Words in prompts and answers (Ctrl+F)")
        self._search.setClearButtonEnabled(True)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(SEARCH_AFTER_MS)
        self._later.timeout.connect(lambda: self.search_changed.emit(self._search.text().strip()))
        self._search.textChanged.connect(self._later.start)
        self._keep = parts.Switch("Keep history", "While this is off, new runs are not written to this machine.")
        self._keep.clicked.connect(self.keep_history_toggled)
        self._banner = Banner(closable=True)
        self._notice = Banner()
        self._model = QStandardItemModel(self)
        self._list = QListView()
        self._empty_title = parts.label("", "heading")
        self._empty_text = parts.label("", tone="muted", wrap=True)
        self._stack = QStackedWidget()
        self._set_up_list()
        self._lay_out()
        self.set_keep_history(True)
        self.show_lines((), datetime.now().astimezone())

    def _set_up_list(self) -> None:
        self._list.setModel(self._model)
        self._list.setItemDelegate(HistoryRowDelegate(self._list))
        self._list.setAccessibleName("Comparisons")
        self._list.setMouseTracking(True)
        self._list.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self._list.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self._list.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self._list.activated.connect(self._opened)
        self._list.clicked.connect(self._opened)
        self._list.verticalScrollBar().valueChanged.connect(self._scrolled)
        delete = QAction("Delete this comparison", self._list)
        delete.setShortcut(QKeySequence(QKeySequence.StandardKey.Delete))
        delete.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        delete.triggered.connect(self._delete_current)
        self._list.addAction(delete)
        find = QAction("Search", self)
        find.setShortcut(QKeySequence(QKeySequence.StandardKey.Find))
        find.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        find.triggered.connect(self._search.setFocus)
        self.addAction(find)

    def _lay_out(self) -> None:
        top = parts.row(self._search, gap=theme.GAP)
        top.setStretch(0, 1)
        top.addWidget(parts.label("Keep history"))
        top.addWidget(self._keep)
        shelf = parts.card()
        inside = QVBoxLayout(shelf)
        inside.setContentsMargins(theme.HAIR, theme.HAIR, theme.HAIR, theme.HAIR)
        inside.addWidget(self._list)
        self._stack.addWidget(shelf)
        self._stack.addWidget(self._empty())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.ROOM, theme.GAP, theme.ROOM, theme.ROOM)
        layout.setSpacing(theme.GAP)
        layout.addLayout(top)
        layout.addWidget(self._notice)
        layout.addWidget(self._banner)
        layout.addWidget(self._stack, 1)

    def _empty(self) -> QWidget:
        page = parts.card()
        layout = QVBoxLayout(page)
        layout.setSpacing(theme.TIGHT)
        layout.addStretch(2)
        for text in (self._empty_title, self._empty_text):
            text.setAlignment(Qt.AlignmentFlag.AlignCenter)
            layout.addWidget(text)
        layout.addStretch(3)
        return page

    def show_lines(self, lines: Sequence[HistoryLine], now: datetime) -> None:
        """Newest first, as they come; `now` decides what is called today. Keeps the selected row where it still is."""
        chosen = self._current_id()
        self._model.clear()
        for line in lines:
            self._model.appendRow(self._item(line, now))
        self._choose(chosen)
        self._say_empty()
        self._stack.setCurrentIndex(0 if lines else 1)

    def add_lines(self, lines: Sequence[HistoryLine], now: datetime) -> None:
        """Append older ones after `more_requested`."""
        for line in lines:
            self._model.appendRow(self._item(line, now))

    def shown_ids(self) -> tuple[str, ...]:
        """The comparisons in the list, from top to bottom."""
        rows = (self._model.index(row, 0).data(LINE) for row in range(self._model.rowCount()))
        return tuple(line.comparison_id for line, _when in rows)

    def set_keep_history(self, keep: bool) -> None:
        """Show whether new runs are kept, without a signal."""
        self._keep.setChecked(keep)
        self._say_empty()
        self._notice.show_notice("" if keep else KEEP_NOTHING)

    def show_problem(self, problem: Problem | None) -> None:
        self._banner.show_problem(problem)

    def focus_main(self) -> None:
        """Where typing goes when the page is opened."""
        self._search.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def search_text(self) -> str:
        return self._search.text().strip()

    def _say_empty(self) -> None:
        typed = self.search_text()
        self._empty_title.setText("Nothing found" if typed else "No comparisons yet")
        if typed:
            text = f"No prompt or answer contains “{fmt.one_line(typed, 60)}”."
        elif self._keep.isChecked():
            text = "Every comparison you run is kept here, with its answers and figures, on this machine only."
        else:
            text = "Comparisons are kept here once Keep history is on."
        self._empty_text.setText(text)

    def _item(self, line: HistoryLine, now: datetime) -> QStandardItem:
        prompt = fmt.one_line(line.prompt) or "(empty prompt)"
        item = QStandardItem(prompt)
        when = fmt.moment(line.started_at, now)
        item.setData((line, when), LINE)
        item.setData(
            f"{prompt}. {when}. {', '.join(line.targets)}. {line.summary}",
            Qt.ItemDataRole.AccessibleTextRole,
        )
        return item

    def _current_id(self) -> str | None:
        data = self._list.currentIndex().data(LINE)
        return data[0].comparison_id if data else None

    def _choose(self, comparison_id: str | None) -> None:
        for at in range(self._model.rowCount()):
            index = self._model.index(at, 0)
            if index.data(LINE)[0].comparison_id == comparison_id:
                self._list.setCurrentIndex(index)

    def _opened(self, index: QModelIndex) -> None:
        data = index.data(LINE)
        if data:
            self.open_requested.emit(data[0].comparison_id)

    def _delete_current(self) -> None:
        comparison_id = self._current_id()
        if comparison_id is not None:
            self.delete_requested.emit(comparison_id)

    def _scrolled(self, value: int) -> None:
        if value > 0 and value == self._list.verticalScrollBar().maximum():
            self.more_requested.emit()
