"""A process of its own that shows a hostile answer and does all that a reader can do with it, watched by an audit hook.

    python -m tests.widgets.answer_visitor PICTURE MARK [control]

Prints the audit events that could be an opening, as JSON. The files MARK.begin and MARK.end say where to look in a
trace of system calls. With `control`, Qt's own browser shows the same text, and Python opens a file and a connection.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QAccessible, QGuiApplication, QHelpEvent, QTextCursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QTextBrowser

from tests.widgets.test_answer_safety import fill, hostile
from widgets import answer_view
from widgets.answer_view import AnswerView

WATCHED = (
    "open", "os.listdir", "os.scandir", "os.posix_spawn", "os.system", "os.startfile", "subprocess.Popen",
    "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.__new__", "webbrowser.open",
    "urllib.Request", "ctypes.dlopen",
)  # fmt: skip
HARMLESS = (
    "words [web](https://example.org/x) `code` **b** *i*\n\n| t |\n|---|\n| x |\n\n- i\n\n> q\n\n```html\n<b>\n```\n"
)


def read_and_touch(view: AnswerView) -> None:
    """Hover over it, click, select, copy, ask what a screen reader asks."""
    view.grab()
    QApplication.processEvents()
    for position in range(0, view.document().characterCount(), 3):
        cursor = QTextCursor(view.document())
        cursor.setPosition(position)
        point = view.cursorRect(cursor).center() + QPoint(2, 0)
        QTest.mouseMove(view.viewport(), point)
        QApplication.sendEvent(view.viewport(), QHelpEvent(QEvent.Type.ToolTip, point, view.mapToGlobal(point)))
        QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=point)
        QTest.mouseClick(view.viewport(), Qt.MouseButton.MiddleButton, pos=point)
        view.code_at(point)
        view.document().documentLayout().anchorAt(QPointF(point))
    view.createStandardContextMenu().deleteLater()
    view.selectAll()
    view.copy()
    copied = QGuiApplication.clipboard().mimeData()
    assert copied.formats() == ["text/plain"], copied.formats()
    view.canInsertFromMimeData(copied)
    interface = QAccessible.queryAccessibleInterface(view)
    text = interface.textInterface()
    text.text(0, text.characterCount())
    for position in range(0, text.characterCount(), 7):
        text.text(position, position + 1)
        text.characterRect(position)
    for index in range(interface.childCount()):
        child = interface.child(index)
        child.text(QAccessible.Text.Name)
        child.text(QAccessible.Text.Description)
    QApplication.processEvents()


def main(picture: str, mark: str, *rest: str) -> None:
    QApplication([])
    seen: list[str] = []
    watching = False

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event in WATCHED:
            seen.append(f"{event} {arguments!r}"[:200])

    text = f"{hostile(Path(picture))}\n{HARMLESS}"
    view = AnswerView()
    fill(view, HARMLESS)  # fonts, styles and a lexer are loaded by the first answer, whatever it says
    read_and_touch(view)
    answer_view._shelf.wait()
    sys.addaudithook(hook)
    Path(f"{mark}.begin").touch()
    watching = True
    fill(view, text)
    read_and_touch(view)
    if rest == ("control",):
        open_all(picture, text)
    watching = False
    Path(f"{mark}.end").touch()
    print(json.dumps(seen))


def open_all(picture: str, text: str) -> None:
    """What must never happen, so that those who look for it can be seen to find it."""
    browser = QTextBrowser()
    browser.resize(500, 700)
    browser.show()
    browser.setMarkdown(text)
    browser.grab()
    Path(picture).read_bytes()
    with socket.socket() as connection:
        connection.connect_ex(("127.0.0.1", 9))


if __name__ == "__main__":
    main(*sys.argv[1:])
