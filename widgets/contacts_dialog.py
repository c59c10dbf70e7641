"""Shows what went where: a line for each connection, newest first. Must not know how connections are made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from backends.errors import Problem
from widgets import format as fmt
from widgets import parts, theme
from widgets.banner import Banner
from widgets.check_line import CheckLine
from widgets.dialog import Dialog
from widgets.values import ContactLine

HEADS = ("When", "What for", "With", "Result", "Sent", "Received")
SAYS = (
    "Every connection that Nearfar made, tried or refused. Bytes are those of the requests and answers, inside any "
    "encryption. What was in them is not kept here."
)
RESULTS = {
    "connecting": "connecting",
    "open": "open now",
    "closed": "done",
    "failed": "failed",
    "refused": "refused",
    "cut": "cut off",
}
NONE_AWAY = "Nothing went to another machine."
NO_LINES = "No connection yet."
WIDTH, ROWS_HEIGHT = 760, 320


def summary(lines: Sequence[ContactLine]) -> str:
    """How much went to other machines, in one sentence."""
    away = [line for line in lines if not line.is_here and line.outcome != "refused"]
    refused = sum(line.outcome == "refused" for line in lines)
    tail = f" {fmt.plural(refused, 'attempt was', 'attempts were')} refused." if refused else ""
    if not away:
        return NONE_AWAY + tail
    hosts = list(dict.fromkeys(line.host for line in away))
    more = f" and {len(hosts) - 3} more" if len(hosts) > 3 else ""
    sent = fmt.byte_size(sum(line.bytes_sent for line in away))
    return f"{fmt.plural(len(away), 'connection')} to {', '.join(hosts[:3])}{more}: {sent} sent.{tail}"


def as_text(lines: Sequence[ContactLine], now: datetime) -> str:
    """The table for the clipboard, columns parted by tabs."""
    rows = [HEADS, *(_cells(line, now) for line in lines)]
    return "\n".join("\t".join(row) for row in rows) + "\n"


def _cells(line: ContactLine, now: datetime) -> tuple[str, ...]:
    place = f"{line.host} (this machine)" if line.is_here else line.host
    return (
        fmt.moment(line.at, now),
        line.purpose,
        f"{place}, through {line.via}" if line.via else place,
        RESULTS[line.outcome],
        fmt.byte_size(line.bytes_sent),
        fmt.byte_size(line.bytes_received),
    )


class ForgetDialog(Dialog):
    """Asks before the kept list goes; `accepted` where it shall."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Delete the list of connections?", parent=parent)
        self.say(
            "This deletes what earlier runs and this one have kept of their connections on this machine. "
            "Those of this run stay in sight until Nearfar is closed. Your history and your costs are not touched."
        )
        sure = parts.button("Delete", "Delete the kept list", kind="stop")
        sure.clicked.connect(self.accept)
        self.add_button(sure, left=True)
        self.add_cancel("Keep it (Esc)", default=True)


class ContactsDialog(Dialog):
    """`show_lines` fills it, oldest first, as often as there is news; the scroll position stays.

    `forget_wanted`: the person wants the kept list deleted, and was asked.
    """

    forget_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("What was sent", width=WIDTH, parent=parent)
        self._lines: tuple[ContactLine, ...] = ()
        self._now = datetime.now().astimezone()
        self._summary = parts.label("Reading…", "strong", wrap=True)
        self.body.addWidget(self._summary)
        self.say(SAYS, "caption", "muted")
        self._trouble = Banner()
        self.body.addWidget(self._trouble)
        self._here = CheckLine("Show connections within this machine too")
        self._here.toggled.connect(lambda _on: self._fill())
        self._model = QStandardItemModel(self)
        self._table = self._made_table()
        self.body.addWidget(self._table)
        self.body.addWidget(self._here)
        copy = parts.button("Copy", "Copy the table as text")
        copy.clicked.connect(self._copy)
        self.add_button(copy, left=True)
        forget = parts.button("Delete…", "Delete what was kept of connections on this machine; asks first")
        forget.clicked.connect(self._ask_to_forget)
        self.add_button(forget, left=True)
        close = self.add_cancel("Close (Esc)", text="Close", default=True)
        parts.tab_order([self._table, self._here, copy, forget, close])

    def _made_table(self) -> QTableView:
        table = QTableView()
        table.setModel(self._model)
        table.setAccessibleName("Connections")
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(theme.ICON + theme.GAP)
        table.horizontalHeader().setHighlightSections(False)
        table.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        table.setFixedHeight(ROWS_HEIGHT)
        return table

    def show_lines(self, lines: Sequence[ContactLine], now: datetime) -> None:
        if tuple(lines) == self._lines and self._model.rowCount():
            return
        self._lines, self._now = tuple(lines), now
        self._fill()

    def shown(self) -> tuple[ContactLine, ...]:
        """The lines in sight, newest first."""
        return tuple(line for line in reversed(self._lines) if self._here.isChecked() or not line.is_here)

    def text(self) -> str:
        """All that is in sight, as a screen reader would say it."""
        return f"{self._summary.text()}\n{as_text(self.shown(), self._now)}"

    def _fill(self) -> None:
        self._summary.setText(summary(self._lines) if self._lines else f"{NO_LINES} {NONE_AWAY}")
        at = self._table.verticalScrollBar().value()
        self._model.clear()
        self._model.setHorizontalHeaderLabels(list(HEADS))
        for line in self.shown():
            self._model.appendRow([_item(text, line) for text in _cells(line, self._now)])
        header = self._table.horizontalHeader()
        self._table.resizeColumnsToContents()
        for column in range(len(HEADS)):
            header.resizeSection(column, header.sectionSize(column) + theme.GAP)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        self._table.verticalScrollBar().setValue(at)

    def show_problem(self, problem: Problem | None) -> None:
        """What came of deleting the list."""
        self._trouble.show_problem(problem)

    def _ask_to_forget(self) -> None:
        ask = ForgetDialog(self)
        ask.accepted.connect(self.forget_wanted)
        ask.finished.connect(ask.deleteLater)
        ask.open()

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(as_text(self.shown(), self._now))


def _item(text: str, line: ContactLine) -> QStandardItem:
    made = QStandardItem(text)
    made.setToolTip(parts.tip(text))
    if line.outcome in ("failed", "refused"):
        made.setForeground(theme.color("caution"))
    return made
