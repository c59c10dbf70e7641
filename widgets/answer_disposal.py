"""Takes a long document apart in slices: Qt needs 15 ms to free 128k tokens at once. Must not know views."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QTimer
from PySide6.QtGui import QTextCursor, QTextDocument

SLICE_CHARS = 4_000  # half a millisecond: two documents may go while a third is painted in the same turn
PAUSE_MS = 8


def dispose(document: QTextDocument) -> None:
    """The document is shown nowhere and nobody uses it any more.

    Its layout stays: one that is switched off half-way looks for ever for a place that is gone.
    """
    document.setParent(QCoreApplication.instance())  # which owns it until it is gone
    timer = QTimer(document, interval=PAUSE_MS)
    timer.timeout.connect(lambda: _take_slice(document, timer))
    timer.start()


def _take_slice(document: QTextDocument, timer: QTimer) -> None:
    chars = document.characterCount()
    cursor = QTextCursor(document)
    cursor.setPosition(max(0, chars - SLICE_CHARS))
    cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
    cursor.removeSelectedText()
    if not SLICE_CHARS < document.characterCount() < chars:
        timer.stop()
        document.deleteLater()
