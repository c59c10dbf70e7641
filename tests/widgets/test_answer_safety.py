"""Nothing in an answer opens a file, a connection or a page, however it is written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt, QUrl
from PySide6.QtGui import QColor, QImage, QTextCursor, QTextDocument
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QTextBrowser
from pytestqt.qtbot import QtBot

from widgets.answer_inline import safe_href
from widgets.answer_view import AnswerView

CALLS = "openat,open,stat,newfstatat,statx,access,connect,execve"
CANARY = QColor(255, 0, 255)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    picture = QImage(40, 40, QImage.Format.Format_RGB32)
    picture.fill(CANARY)
    path = tmp_path / "canary.png"
    assert picture.save(str(path))
    return path


def hostile(path: Path) -> str:
    url = path.as_uri()
    return f"""
![a]({url}) ![b]({path}) ![c](<{path}>) [d]({url}) <img src="{url}"> <{url}> {url}
![e](//host/share/x.png) ![f](file://host/share/x.png) ![g](\\\\\\\\host\\\\share\\\\x.png) ![h](http://127.0.0.1:9/x.png)
![i](data:image/png;base64,iVBORw0KGgo=) ![j](qrc:/x.png) ![k][ref]

![n](relative/x.png) [o](../page.html) ![p](https://127.0.0.1:9/x.png) [q](\\\\\\\\host\\share\\x.png)
[r](http://127.0.0.1:9/) <iframe src="http://127.0.0.1:9/"></iframe> [s](smb://host/x.png) [t](javascript:open(1))

[ref]: {url}

| t |
|---|
| ![l]({url}) <img src="{path}"> |

- ![m]({url})

> <object data="{url}"></object>

```html
<img src="{url}">
```

<style>body {{ background: url({url}) }}</style>
"""


def shows_canary(widget: QTextBrowser) -> bool:
    picture = widget.grab().toImage()
    return any(picture.pixelColor(x, y) == CANARY for x in range(picture.width()) for y in range(picture.height()))


def fill(view: AnswerView, text: str) -> None:
    view.resize(500, 700)
    view.show()
    view.set_answer(text)
    while view.flush():
        pass


def test_pictures_are_never_shown(qtbot: QtBot, canary: Path) -> None:
    view = AnswerView()
    qtbot.addWidget(view)
    fill(view, hostile(canary))
    assert not shows_canary(view)
    assert "[image: a]" in view.toPlainText()


def test_the_canary_would_be_seen(qtbot: QtBot, canary: Path) -> None:
    """The control: Qt's own browser does read the file, so the test above can fail."""
    browser = QTextBrowser()
    qtbot.addWidget(browser)
    browser.resize(500, 700)
    browser.show()
    browser.setMarkdown(hostile(canary))
    assert shows_canary(browser)


def test_even_an_image_in_the_document_reads_nothing(qtbot: QtBot, canary: Path) -> None:
    view = AnswerView()
    qtbot.addWidget(view)
    fill(view, "words")
    QTextCursor(view.document()).insertHtml(f'<img src="{canary.as_uri()}"><img src="{canary}">')
    assert not shows_canary(view)
    kinds = QTextDocument.ResourceType
    for address in (canary.as_uri(), str(canary), "http://127.0.0.1:9/x", "//host/share/x", "data:,x"):
        for kind in (kinds.ImageResource, kinds.HtmlResource, kinds.StyleSheetResource, kinds.MarkdownResource):
            found = view.loadResource(kind.value, QUrl(address))
            assert isinstance(found, QImage)
            assert found.width() == 1


def test_a_view_goes_nowhere(qtbot: QtBot, canary: Path) -> None:
    view = AnswerView()
    qtbot.addWidget(view)
    fill(view, "words")
    page = canary.with_suffix(".html")
    page.write_text("<p>another page</p>", encoding="utf-8")
    assert not view.openLinks()
    view.setSource(QUrl.fromLocalFile(str(page)))
    assert view.toPlainText() == "words"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("http://example.org/a?b=c", True),
        ("HTTPS://example.org", True),
        ("mailto:a@example.org", True),
        ("file:///etc/passwd", False),
        ("//host/share", False),
        ("\\\\host\\share", False),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("smb://host/share", False),
        ("ms-settings:x", False),
        ("relative/page", False),
        ("http:", False),
        ("https:///x", False),
        ("http://[bad", False),
        ("http://example.org/" + "x" * 3000, False),
    ],
)
def test_which_addresses_are_links(link: str, expected: bool) -> None:
    assert bool(safe_href(link)) is expected


@pytest.mark.qt_log_ignore("Mouse event .* not accepted")
def test_a_click_reports_a_web_link_and_nothing_else(qtbot: QtBot) -> None:
    view = AnswerView()
    qtbot.addWidget(view)
    fill(view, "[web](https://example.org/x)\n\n[file](file:///etc/passwd)\n\n[js](javascript:x) <b>html</b>")
    clicked: list[str] = []
    view.link_clicked.connect(clicked.append)
    for number in range(3):
        place = view.cursorRect(QTextCursor(view.document().findBlockByNumber(number)))
        QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place.center() + QPoint(6, 0))
    view.anchorClicked.emit(QUrl("file:///etc/passwd"))
    assert clicked == ["https://example.org/x"]
    assert view.toPlainText() == "web\nfile\njs <b>html</b>"


def visit(canary: Path, *extra: str, trace: Path | None = None) -> list[str]:
    """The audit events of a visitor, see `answer_visitor`; with the system calls of that time left in `trace`."""
    mark = canary.parent / "mark"
    visitor = [sys.executable, "-m", "tests.widgets.answer_visitor", str(canary), str(mark), *extra]
    watched = ["strace", "-f", "-qq", "-e", f"trace={CALLS}", "-o", str(trace)] if trace else []
    done = subprocess.run(
        [*watched, *visitor],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        cwd=Path(__file__).parents[2],
    )
    if trace and "ptrace" in done.stderr:
        pytest.skip("this machine does not let strace look")
    assert done.returncode == 0, done.stderr
    if trace:
        calls = trace.read_text(encoding="utf-8", errors="replace")
        trace.write_text(calls[calls.index("mark.begin") : calls.index("mark.end")], encoding="utf-8")
    return list(json.loads(done.stdout.splitlines()[-1]))


def test_python_sees_no_file_opened_and_no_connection(canary: Path) -> None:
    """Shown, hovered over, clicked, copied and read aloud; Qt's own opens are seen by the kernel only."""
    assert visit(canary) == []


def test_python_would_see_them(canary: Path) -> None:
    seen = " ".join(visit(canary, "control"))
    assert "canary.png" in seen
    assert "socket.connect" in seen


needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace, to see what Qt's own code opens")


@needs_strace
def test_the_kernel_sees_no_file_opened_and_no_connection(canary: Path, tmp_path: Path) -> None:
    visit(canary, trace=tmp_path / "trace")
    shown = (tmp_path / "trace").read_text(encoding="utf-8")
    assert not [word for word in ("canary", "host/", "x.png", "page.html", "qrc") if word in shown]
    assert opened_in(shown) == []


@needs_strace
def test_the_kernel_would_see_them(canary: Path, tmp_path: Path) -> None:
    visit(canary, "control", trace=tmp_path / "trace")
    shown = (tmp_path / "trace").read_text(encoding="utf-8")
    assert "canary.png" in shown
    assert [line for line in opened_in(shown) if "connect(" in line]
    assert [line for line in opened_in(shown) if "open" in line]


def opened_in(shown: str) -> list[str]:
    """Files opened and sockets connected, of any kind."""
    opens = ("open(", "openat(", "connect(", "execve(")
    return [line for line in shown.splitlines()[1:-1] if any(call in line for call in opens)]
