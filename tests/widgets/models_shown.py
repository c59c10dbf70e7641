"""A window with the Models page and an ear on each of its signals, for the tests of the page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QToolButton, QWidget
from pytestqt.qtbot import QtBot

from tests.widgets import model_samples as ms
from tests.widgets import samples
from tests.widgets.models_gallery import ShownModels
from widgets.model_values import ModelsView
from widgets.models_page import ModelsPage

SIGNALS = (
    "context_changed", "kv_type_changed", "selected", "download_requested", "pause_requested", "resume_requested",
    "cancel_requested", "use_requested", "verify_requested", "stop_verify_requested", "remove_requested",
    "import_requested", "add_repo_requested", "find_requested", "folder_requested", "exact_requested",
    "stop_exact_requested",
    "link_requested", "fix_copied",
)  # fmt: skip
W = TypeVar("W", bound=QWidget)
Heard = list[tuple[object, ...]]


class Models(ShownModels):
    """`heard` has every signal of the page in order: its name, then what it carried."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: Heard = []
        for name in SIGNALS:
            getattr(self.page, name).connect(partial(self._hear, name))

    def _hear(self, name: str, *carried: object) -> None:
        self.heard.append((name, *carried))

    def show_view(self, view: ModelsView) -> None:
        self.page.show_view(view, samples.NOW)
        settle()


def settle() -> None:
    for _ in range(4):
        QApplication.processEvents()


def models(qtbot: QtBot, view: ModelsView | None = None, size: tuple[int, int] = (1280, 800)) -> Models:
    """The page in a shown window; a 4090 partly used by others unless another view is given."""
    shown = Models()
    qtbot.addWidget(shown.window)
    shown.window.resize(*size)
    with qtbot.waitExposed(shown.window):
        shown.window.show()
    settle()
    shown.show_view(ms.on_4090() if view is None else view)
    return shown


def the(root: QWidget, kind: type[W]) -> W:
    """The one child of this class, or the first of several."""
    found = root.findChild(kind)
    assert isinstance(found, kind)
    return found


def buttons(root: QWidget) -> list[QPushButton | QToolButton]:
    found: list[QPushButton | QToolButton] = [*root.findChildren(QPushButton), *root.findChildren(QToolButton)]
    return [made for made in found if made.isVisible()]


def button(root: QWidget, name: str) -> QPushButton | QToolButton:
    """The button in sight that a screen reader calls so."""
    found = [made for made in buttons(root) if made.accessibleName() == name]
    assert len(found) == 1, (name, sorted(made.accessibleName() for made in buttons(root)))
    return found[0]


def press(qtbot: QtBot, root: QWidget, name: str) -> None:
    qtbot.mouseClick(button(root, name), Qt.MouseButton.LeftButton)


def said(root: QWidget) -> str:
    """All text in sight."""
    return "\n".join(made.text() for made in root.findChildren(QLabel) if made.isVisible() and made.text())


def plain(text: str) -> str:
    """Without the marks that keep a figure and its unit on one line."""
    return text.replace("\u2060", "").replace("\u00a0", " ")


def drop(page: ModelsPage, paths: list[str], *, over: Callable[[], None] | None = None) -> tuple[bool, bool]:
    """Drag files over the page and let go; whether the page took the drag and the drop."""
    data = QMimeData()
    data.setUrls([QUrl(path) if "://" in path else QUrl.fromLocalFile(path) for path in paths])
    copy, left, none = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(50, 50), copy, data, left, none)
    enter.ignore()
    QApplication.sendEvent(page, enter)
    if over is not None:
        over()
    if not enter.isAccepted():
        return False, False
    let_go = QDropEvent(QPointF(50, 50), copy, data, left, none)
    let_go.ignore()
    QApplication.sendEvent(page, let_go)
    return True, let_go.isAccepted()
