"""Lays an answer out at another width: what is visible first, the rest in slices. Must not know what the text says.

A whole layout of 128k tokens takes 180 ms. Qt can lay a document out from its beginning as far as it is asked to, and
goes on by a timer in steps that double; that timer is kept quiet here and the steps are ours. Until the layout has
reached what is read, a picture of it stands in its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QAbstractEventDispatcher, QEvent, QObject, Qt, QTimer, QTimerEvent, Signal
from PySide6.QtGui import QPainter, QPixmap, QTextCursor
from PySide6.QtWidgets import QTextEdit

from widgets.answer_paint import block_at

RESIZE_SETTLE_MS = 120
LONG_CHARS = 10_000
"""From here a width change is laid out once it has settled: 1000 characters take 0.4 ms."""
SLICE_MS = 4.0
STEP_BLOCKS = 2

_NO_MOUSE = (
    Qt.WidgetAttribute.WA_TransparentForMouseEvents
)  # what is under the mouse could only be told by a whole layout


class WidthFit(QObject):
    """Keeps a view's text as wide as the view. Its owner calls `work` while it is `busy`, and writes nothing then."""

    wanted = Signal()
    """`work` has something to do."""
    done = Signal(int)
    """The text is laid out; with the position in the text that stood at the top before."""

    def __init__(self, view: QTextEdit, fit_tables: Callable[[], None]) -> None:
        super().__init__(view)
        self._view = view
        self._fit_tables = fit_tables
        self._settle = QTimer(self, interval=RESIZE_SETTLE_MS, singleShot=True)
        self._settle.timeout.connect(self._settled)
        self._due = False
        self._next: int | None = None
        """The block that is laid out next, while some are not."""
        self._top = 0
        self._picture: QPixmap | None = None

    @property
    def busy(self) -> bool:
        """Whether the text is not yet as wide as it should be, and the width has settled."""
        return self._due or self._next is not None

    def resized(self) -> None:
        """The view has another size now, or may have."""
        if self._view.viewport().width() in (0, self._view.lineWrapColumnOrWidth()):
            return
        if self._next is None and (self._is_short() or self._view.lineWrapColumnOrWidth() <= 0):
            self._begin()
            self._work_until(None)
        else:
            self._settle.start()

    def work(self) -> None:
        """Lay out for at most about SLICE_MS."""
        until = time.perf_counter() + SLICE_MS / 1e3
        if self._due:
            self._due = False
            self._begin()
        self._work_until(until)

    def cancel(self) -> None:
        """The text goes: nothing of it is to be laid out."""
        self._settle.stop()
        self._due = False
        if self._next is not None:
            self._release()

    def paint_picture(self, painter: QPainter) -> bool:
        """Draw what stood there before the change, if the layout has not come so far. True where it did."""
        if self._picture is None:
            return False
        painter.fillRect(self._view.viewport().rect(), self._view.palette().base())
        painter.drawPixmap(0, 0, self._picture)
        return True

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Qt's own timer would lay out ever longer pieces; its other one, of 0 ms, only tells of a new size."""
        if not isinstance(event, QTimerEvent):
            return False
        timers = QAbstractEventDispatcher.instance().registeredTimers(watched)
        return any(timer.timerId == event.timerId() and timer.interval > 0 for timer in timers)

    @property
    def blocks(self) -> int:
        """How many text blocks are laid out; asking where others are would lay out all that is before them."""
        return self._view.document().blockCount() if self._next is None else max(1, self._next)

    def _position_at_top(self) -> int:
        y = self._view.verticalScrollBar().value()
        block = block_at(self._view.document(), y, self.blocks)
        lines, above = block.layout(), block.document().documentLayout().blockBoundingRect(block).top()
        for index in range(lines.lineCount()):
            line = lines.lineAt(index)
            if above + line.y() + line.height() > y:
                return block.position() + line.textStart()
        return block.position()

    def _is_short(self) -> bool:
        return self._view.document().characterCount() <= LONG_CHARS

    def _settled(self) -> None:
        self._due = True
        self.wanted.emit()

    def _begin(self) -> None:
        view, document = self._view, self._view.document()
        layout = document.documentLayout()
        width = view.viewport().width()
        if width <= 0 or width == view.lineWrapColumnOrWidth():
            return
        if self._next is None:
            self._top = self._position_at_top()
            if self._top > LONG_CHARS:
                self._picture = view.viewport().grab()
            layout.blockSignals(True)
            layout.installEventFilter(self)
            view.viewport().setAttribute(_NO_MOUSE, True)
        # Switched on again, the layout begins anew; while it is off, the tables do not move what is below them.
        document.setLayoutEnabled(False)
        view.setLineWrapColumnOrWidth(width)
        cursor = QTextCursor(document)
        cursor.beginEditBlock()
        self._fit_tables()
        cursor.endEditBlock()
        document.setLayoutEnabled(True)
        view.viewport().update()
        self._next = 0

    def _work_until(self, until: float | None) -> None:
        """`until` in seconds of the performance counter, None for to the end."""
        if self._next is None:
            return
        document = self._view.document()
        layout, blocks = document.documentLayout(), document.blockCount()
        while self._next < blocks:
            layout.blockBoundingRect(document.findBlockByNumber(self._next))  # lays out as far as this block
            self._next += STEP_BLOCKS
            if until is not None and time.perf_counter() >= until:
                return
        layout.blockBoundingRect(document.lastBlock())
        self._release()
        layout.documentSizeChanged.emit(layout.documentSize())
        self._view.viewport().update()
        self.done.emit(self._top)

    def _release(self) -> None:
        layout = self._view.document().documentLayout()
        layout.blockSignals(False)
        layout.removeEventFilter(self)
        self._view.viewport().setAttribute(_NO_MOUSE, False)
        self._next = self._picture = None
