"""Everything that can have the focus has a name, and everything can be reached by Tab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible, QAccessibleInterface
from PySide6.QtWidgets import QAbstractButton, QApplication, QWidget
from pytestqt.qtbot import QtBot

from tests.widgets import samples
from tests.widgets.conftest import Show
from tests.widgets.gallery import CLOUD, LOCAL
from widgets.key_dialog import KeyDialog


def walk(node: QAccessibleInterface) -> Iterator[QAccessibleInterface]:
    yield node
    for at in range(node.childCount()):
        child = node.child(at)
        if child is not None and child.isValid():
            yield from walk(child)


def unnamed(root: QWidget) -> list[str]:
    """Focusable things in sight whose name a screen reader cannot say."""
    top = QAccessible.queryAccessibleInterface(root)
    assert top is not None
    found = []
    for node in walk(top):
        state = node.state()
        owner = node.object()
        inner = isinstance(owner, QWidget) and owner.focusProxy() is not None
        if not state.focusable or state.invisible or inner:
            continue
        if not node.text(QAccessible.Text.Name).strip():
            found.append(f"{type(owner).__name__} {owner.objectName() if owner else ''} {node.role()}")
    return found


def test_the_walk_finds_an_unnamed_control(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo")
    shown.compare.prompt_box.editor.setAccessibleName("")
    assert len(unnamed(shown.window)) == 1


@pytest.mark.parametrize("page", ["compare", "history", "settings"])
def test_every_control_has_a_name(show: Show, page: str) -> None:
    shown = show(LOCAL, CLOUD)
    shown.compare.prompt_box.toggle_parameters()
    shown.compare.lane(shown.compare.lane_ids[0]).show_events(samples.whole_run(LOCAL, samples.local_result(), 0))
    shown.history.show_lines(samples.history(), samples.NOW)
    shown.settle()
    shown.window.open_page(page)
    QApplication.processEvents()
    assert unnamed(shown.window) == []


def test_every_control_of_the_popups_has_a_name(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo")
    picker = shown.compare.lane(shown.compare.lane_ids[0]).head.picker
    picker.open()
    rows = picker.target_list()
    assert rows is not None
    assert unnamed(rows) == []
    rows.hide()
    dialog = KeyDialog("openai", "OpenAI", "api.openai.com")
    qtbot.addWidget(dialog)
    dialog.show()
    assert unnamed(dialog) == []


def test_icon_buttons_say_in_a_tooltip_what_they_do(show: Show) -> None:
    shown = show(LOCAL, CLOUD)
    for page in ("compare", "history", "settings"):
        shown.window.open_page(page)
        for made in shown.window.findChildren(QAbstractButton):
            if made.isVisible() and not made.text() and made.focusPolicy() != Qt.FocusPolicy.NoFocus:
                assert made.toolTip(), made.accessibleName()


def test_tab_reaches_every_control_of_the_compare_page_and_comes_round(show: Show, qtbot: QtBot) -> None:
    shown = show(LOCAL, "practice")
    wanted = {
        widget
        for widget in shown.window.findChildren(QWidget)
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        and widget.isVisible()
        and widget.isEnabled()
        and widget.focusProxy() is None
        and widget.accessibleName() != "Lane order: Race"  # arrows move inside a group of segments
    }
    shown.compare.prompt_box.editor.setFocus()
    reached: list[QWidget] = []
    for _ in range(80):
        focused = QApplication.focusWidget()
        assert focused is not None
        if reached and focused is reached[0]:
            break
        reached.append(focused)
        qtbot.keyClick(focused, Qt.Key.Key_Tab)
    else:
        pytest.fail("Tab never came round")
    names = [widget.accessibleName() for widget in reached]
    names = names[names.index("Compare page") :] + names[: names.index("Compare page")]
    assert names.index("Target: Practice") < names.index("Add lane") < names.index("Parameters")
    assert names.index("Compare page") < names.index("History page") < names.index("Settings page")
    missed = [f"{type(w).__name__} {w.accessibleName()}" for w in wanted - set(reached)]
    assert missed == []


def test_figures_are_spoken_in_one_sentence(show: Show) -> None:
    shown = show("practice")
    lane = shown.compare.lane(shown.compare.lane_ids[0])
    lane.show_events(samples.whole_run("practice", samples.practice_result(), 0))
    spoken = lane.strip.accessibleDescription()
    assert spoken == "TTFT 40 ms, tok/s 410, tokens 212, time 560 ms, would cost $0.0022"
