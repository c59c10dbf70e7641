"""The streaming Markdown answer: a read-only browser that paints what is queued in slices, and opens nothing.

Knows no lane, engine or theme helper. Text goes in by `append` and is painted by `flush`, which a timer of the owner
calls; what it costs does not grow with the answer.
"""

from __future__ import annotations

import time
from collections import deque

from PySide6.QtCore import QMimeData, QPoint, QRectF, Qt, QUrl, Signal
from PySide6.QtGui import (
    QAction,
    QContextMenuEvent,
    QGuiApplication,
    QImage,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QTextDocument,
)
from PySide6.QtWidgets import QFrame, QTextBrowser, QTextEdit, QWidget

from widgets.answer_blocks import BlockMachine, Update
from widgets.answer_disposal import dispose
from widgets.answer_drain import Drain
from widgets.answer_formats import Formats
from widgets.answer_inline import safe_href
from widgets.answer_paint import dressed, paint_ground
from widgets.answer_plain import code_around, plain_data, plain_text, selected
from widgets.answer_render import AnswerWriter
from widgets.answer_style import LIGHT, AnswerStyle
from widgets.answer_width import LONG_CHARS, WidthFit
from widgets.code_colours import CodeColours
from widgets.code_highlight import LexerShelf

SLICE_CHARS = 500
FLUSH_BUDGET_MS = 4.0
"""A flush takes no further slice after this; painting comes on top."""

_shelf = LexerShelf()


class AnswerView(QTextBrowser):
    """One answer. Links are reported and never followed; pictures and HTML in the text are words."""

    link_clicked = Signal(str)
    """An http, https or mailto address that was clicked; ask before opening it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setOpenLinks(False)
        self.setUndoRedoEnabled(False)
        self.setAcceptDrops(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setLineWrapMode(QTextEdit.LineWrapMode.FixedPixelWidth)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.anchorClicked.connect(self._anchor_clicked)
        self.verticalScrollBar().valueChanged.connect(self._scrolled)
        self._drain = Drain(self, self.flush)
        self._width = WidthFit(self, lambda: self._writer.fit_tables())
        self._width.wanted.connect(self._drain.start)
        self._width.done.connect(self._laid_out)
        self._source: list[str] = []
        self._return_to: int | None = None
        self._follow = True
        self._painting = self._ended = self._complete = False
        self._formats = Formats(LIGHT)
        self._restart()
        self._dress()

    # What its owner calls

    def append(self, text: str) -> None:
        """Queue a piece of the answer; nothing is painted. Not after `finish`: clear the answer first."""
        if self._ended:
            raise RuntimeError("the answer has ended; call clear_answer() before a new one")
        if text:
            self._source.append(text)
            self._enqueue(text)

    def flush(self, max_chars: int = 3000) -> bool:
        """Paint up to `max_chars` of the queue, less where they are slow to paint. True while more is queued."""
        if not self._busy:
            return False
        if self._drain.has_just_run():
            return True
        if self._width.busy:
            self._painting = True
            self._width.work()
            self._painting = False
        else:
            self._paint_queued(max_chars)
        self._drain.ran(busy=self._busy)
        return self._busy

    def _paint_queued(self, max_chars: int) -> None:
        selection = self._selection()
        follow = self._follow
        self._painting = True
        began = time.perf_counter()
        while (time.perf_counter() - began) * 1e3 < FLUSH_BUDGET_MS:
            piece = self._take(min(SLICE_CHARS, max_chars)) if max_chars > 0 and not self._colours.behind else ""
            max_chars -= len(piece)
            if piece:
                self._write(self._machine.feed(piece))
            elif self._ended and not self._queue and not self._complete:
                self._complete = True
                self._write(self._machine.finish())
                self._colours.close()
            if not self._colours.work() and not piece:
                break
        self._restore(selection)
        if follow:
            self.verticalScrollBar().setValue(self.verticalScrollBar().maximum())
        self._painting = False

    def finish(self) -> None:
        """The answer has ended: what is queued is still painted by `flush`, then nothing of it can change any more."""
        self._ended = True
        if self._queue or self.flush():
            self._drain.start()

    def clear_answer(self) -> None:
        """Show nothing, ready for a new answer."""
        self._source.clear()
        self._restart()

    def set_answer(self, text: str) -> None:
        """Show a whole answer, in slices."""
        self.clear_answer()
        self.append(text)
        self.finish()

    def source_text(self) -> str:
        """The Markdown exactly as it came, painted or not."""
        return "".join(self._source)

    def apply_style(self, style: AnswerStyle) -> None:
        """Take other colours or type; the answer is painted anew, in slices."""
        if style == self._formats.style:
            return
        ended, follow = self._ended, self._follow
        place = self.verticalScrollBar().value()
        self._formats = Formats(style)
        self._dress()
        self._restart()
        source = self.source_text()
        self._source = [source] if source else []
        self._enqueue(source)
        self._ended = ended
        self._follow = follow
        self._return_to = None if follow else place
        self._drain.start()

    @property
    def queued(self) -> int:
        """How many characters wait to be painted."""
        return self._queued_chars

    # Security: nothing in an answer may open anything

    def loadResource(self, kind: int, name: QUrl | str) -> object:
        """An empty picture for whatever is asked: returning None would make Qt read the file itself."""
        return _NOTHING

    def doSetSource(self, name: QUrl | str, /, *args: object, **kwargs: object) -> None:
        """A view never goes anywhere."""

    def _anchor_clicked(self, url: QUrl) -> None:
        address = safe_href(url.toString())
        if address:
            self.link_clicked.emit(address)

    # Queue

    @property
    def _busy(self) -> bool:
        return bool(self._queue) or (self._ended and not self._complete) or self._colours.busy or self._width.busy

    def _restart(self) -> None:
        self._width.cancel()
        before = self.document()
        document = QTextDocument(self) if before.characterCount() > LONG_CHARS else before
        document.clear()
        document.setIndentWidth(24)
        self._machine = BlockMachine()
        self._colours = CodeColours(document, self._formats, _shelf)
        self._writer = AnswerWriter(document, self._formats, self._colours.add)
        if document is not before:
            before.setParent(None)  # or the view would delete it at once
            document.setUndoRedoEnabled(False)
            self.setDocument(document)
            self._dress()
            dispose(before)
        self._queue: deque[str] = deque()
        self._queued_chars = 0
        self._painting = self._ended = self._complete = False
        self._follow = True
        self._return_to = None
        self._drain.stop()

    def _write(self, update: Update) -> None:
        self._writer.write(update.final, update.rest)

    def _take(self, count: int) -> str:
        """The next characters, at most `count`: small pieces are joined, since each writing lays out anew."""
        pieces: list[str] = []
        while self._queue and count > 0:
            piece = self._queue.popleft()
            if len(piece) > count:
                self._queue.appendleft(piece[count:])
                piece = piece[:count]
            count -= len(piece)
            pieces.append(piece)
        taken = "".join(pieces)
        self._queued_chars -= len(taken)
        return taken

    def _enqueue(self, text: str) -> None:
        self._queue.extend(text[at : at + SLICE_CHARS] for at in range(0, len(text), SLICE_CHARS))
        self._queued_chars += len(text)

    # Place and selection

    def _selection(self) -> tuple[int, int] | None:
        cursor = self.textCursor()
        return (cursor.anchor(), cursor.position()) if cursor.hasSelection() else None

    def _restore(self, selection: tuple[int, int] | None) -> None:
        """Text written at the selection's end would join it, and text written anew would end it."""
        if selection is not None and selection != self._selection():
            self.setTextCursor(selected(self.document(), *selection))
        if self._return_to is not None:
            bar = self.verticalScrollBar()
            bar.setValue(min(self._return_to, bar.maximum()))
            if bar.value() == self._return_to or not self._queue:
                self._return_to = None

    def _scrolled(self, value: int) -> None:
        if not self._painting:
            self._follow = value >= self.verticalScrollBar().maximum() - 4

    def resizeEvent(self, event: QResizeEvent) -> None:
        painting, self._painting = self._painting, True
        super().resizeEvent(event)
        if self._follow:
            self.verticalScrollBar().setValue(self.verticalScrollBar().maximum())
        self._painting = painting
        self._width.resized()

    def _laid_out(self, top: int) -> None:
        bar = self.verticalScrollBar()
        painting, self._painting = self._painting, True
        if self._follow:
            bar.setValue(bar.maximum())
        else:
            self._bring_to_top(top)
        self._painting = painting

    def _bring_to_top(self, position: int) -> None:
        cursor = selected(self.document(), position, position)
        self.verticalScrollBar().setValue(self.verticalScrollBar().value() + self.cursorRect(cursor).top())

    # Looks

    def _dress(self) -> None:
        style = self._formats.style
        self.setPalette(dressed(self.palette(), style))
        self.document().setDefaultFont(self._formats.body)
        self.document().setDocumentMargin(style.margin_px)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        if self._width.paint_picture(painter):
            return
        shift = self.verticalScrollBar().value()
        painter.translate(0, -shift)
        seen = QRectF(event.rect()).translated(0, shift)
        paint_ground(painter, self.document(), self._formats, seen, self._width.blocks)
        painter.end()
        super().paintEvent(event)

    # Copying

    def createMimeDataFromSelection(self) -> QMimeData:
        """Plain text: what is pasted elsewhere brings no fonts, colours or addresses along."""
        return plain_data(plain_text(self.textCursor()))

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = self.createStandardContextMenu(event.pos())
        code = self.code_at(event.pos())
        if code:
            action = QAction(self.tr("Copy code"), menu)
            action.triggered.connect(lambda: QGuiApplication.clipboard().setText(code))
            menu.insertAction(menu.actions()[0], action)
        menu.exec(event.globalPos())
        menu.deleteLater()

    def code_at(self, point: QPoint) -> str:
        """The whole code block under a point of the viewport, or an empty string."""
        return code_around(self.cursorForPosition(point).block())


def _empty_picture() -> QImage:
    picture = QImage(1, 1, QImage.Format.Format_ARGB32)
    picture.fill(Qt.GlobalColor.transparent)
    return picture


_NOTHING = _empty_picture()
