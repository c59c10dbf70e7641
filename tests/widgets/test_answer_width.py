"""A long answer at another width: laid out in slices, the same as at once, with the reader where they were."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from PySide6.QtCore import QObject, QPoint
from PySide6.QtGui import QTextDocument
from pytestqt.qtbot import QtBot

from tests.widgets.answer_outline import outline, styles
from tests.widgets.test_answer_view import settle, stream
from widgets.answer_drain import REST_MS, Drain
from widgets.answer_view import AnswerView
from widgets.answer_width import LONG_CHARS

LONG = "".join(
    f"## Part {n}\n\n{'Some *words* that run on. ' * 12}\n\n- one\n  - two\n\n> said\n\n```py\nx = {n}\n```\n\n"
    f"| a | b |\n|---|---|\n| {n} | {'cell ' * 9} |\n\n"
    for n in range(90)
)


@pytest.fixture
def view(qtbot: QtBot) -> AnswerView:
    made = AnswerView()
    qtbot.addWidget(made)
    made.resize(480, 400)
    made.show()
    return made


def places(document: QTextDocument) -> list[tuple[float, float, float]]:
    layout, found, block = document.documentLayout(), [], document.begin()
    while block.isValid():
        area = layout.blockBoundingRect(block)
        found.append((area.top(), area.left(), area.height()))
        block = block.next()
    return found


def narrow(view: AnswerView, qtbot: QtBot) -> None:
    """To another width, until that has settled and the first slice is due."""
    view.resize(360, 400)
    qtbot.waitUntil(lambda: view._width.busy)


def finish_layout(view: AnswerView) -> int:
    slices = 0
    while view._width.busy:
        view._width.work()
        slices += 1
    return slices


def test_the_same_as_at_once(view: AnswerView, qtbot: QtBot) -> None:
    stream(view, [LONG])
    narrow(view, qtbot)
    assert finish_layout(view) > 1
    other = AnswerView()
    qtbot.addWidget(other)
    other.resize(360, 400)
    other.show()
    stream(other, [LONG])
    assert view.viewport().width() == other.viewport().width()
    assert places(view.document()) == places(other.document())
    assert view.verticalScrollBar().maximum() == other.verticalScrollBar().maximum()
    assert (outline(view.document()), styles(view.document())) == (outline(other.document()), styles(other.document()))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_the_reader_stays_at_the_same_text(view: AnswerView, qtbot: QtBot, share: float) -> None:
    stream(view, [LONG])
    bar = view.verticalScrollBar()
    bar.setValue(int(bar.maximum() * share))
    before = view.cursorForPosition(QPoint(20, 6)).block().blockNumber()
    narrow(view, qtbot)
    finish_layout(view)
    assert abs(view.cursorForPosition(QPoint(20, 6)).block().blockNumber() - before) <= 1


def test_until_the_layout_is_there_a_picture_stands_in_its_place(view: AnswerView, qtbot: QtBot) -> None:
    stream(view, [LONG])
    seen = view.viewport().grab().toImage()
    narrow(view, qtbot)
    view._width.work()
    assert view._width.busy
    now = view.viewport().grab().toImage()
    area = seen.rect() & now.rect()
    assert now.copy(area) == seen.copy(area)
    finish_layout(view)
    assert view.viewport().grab().toImage().copy(area) != seen.copy(area)


def test_nothing_but_slices_lays_it_out(view: AnswerView, qtbot: QtBot) -> None:
    """Qt's own timer would, in steps that double."""
    stream(view, [LONG])
    view.verticalScrollBar().setValue(0)
    narrow(view, qtbot)
    view._width.work()
    view._drain.stop()
    assert view._width.busy
    qtbot.wait(200)
    assert view.document().lastBlock().layout().lineCount() == 0
    assert view.document().firstBlock().layout().lineCount() == 1, "what is visible is laid out first"


def test_text_that_comes_meanwhile_is_painted_after_it(view: AnswerView, qtbot: QtBot) -> None:
    stream(view, [LONG], until_end=False)
    narrow(view, qtbot)
    view._width.work()
    view.append("The end of it.")
    assert view.flush()
    settle(view)
    assert view.toPlainText().endswith("The end of it.")
    bar = view.verticalScrollBar()
    assert bar.value() == bar.maximum() > 0
    assert view.lineWrapColumnOrWidth() == view.viewport().width()


def test_another_width_while_it_is_laid_out(view: AnswerView, qtbot: QtBot) -> None:
    stream(view, [LONG])
    view.verticalScrollBar().setValue(view.verticalScrollBar().maximum() // 2)
    before = view.cursorForPosition(QPoint(20, 6)).block().blockNumber()
    narrow(view, qtbot)
    view._width.work()
    view.resize(420, 400)
    finish_layout(view)
    qtbot.waitUntil(lambda: view.lineWrapColumnOrWidth() == view.viewport().width() and not view._width.busy)
    assert abs(view.cursorForPosition(QPoint(20, 6)).block().blockNumber() - before) <= 1


def test_a_new_answer_while_it_is_laid_out(view: AnswerView, qtbot: QtBot) -> None:
    stream(view, [LONG])
    narrow(view, qtbot)
    view._width.work()
    view.clear_answer()
    assert not view._width.busy
    stream(view, ["# Another\n\n" + LONG])
    assert not view.document().documentLayout().signalsBlocked()
    assert view.toPlainText().startswith("Another")
    assert view.lineWrapColumnOrWidth() == view.viewport().width()


def test_a_long_answer_that_goes_is_freed(view: AnswerView, qtbot: QtBot) -> None:
    stream(view, [LONG])
    assert len(LONG) > LONG_CHARS
    before = view.document()
    with qtbot.waitSignal(before.destroyed, timeout=10_000):
        view.clear_answer()
    assert view.document() is not before
    stream(view, ["words"])
    fresh = AnswerView()
    qtbot.addWidget(fresh)
    stream(fresh, ["words"])
    assert styles(view.document()) == styles(fresh.document())
    assert view.document().documentMargin() == fresh.document().documentMargin()
    assert not view.document().isUndoRedoEnabled()


def test_two_views_do_not_paint_in_one_turn(qtbot: QtBot) -> None:
    owner = QObject()
    runs: list[tuple[int, float, float]] = []
    drains: list[Drain] = []

    def flush(number: int) -> bool:
        began = time.perf_counter()
        qtbot.wait(0)
        busy = sum(run[0] == number for run in runs) < 5
        drains[number].ran(busy=busy)
        runs.append((number, began, time.perf_counter()))
        return busy

    drains += [Drain(owner, lambda: flush(0)), Drain(owner, lambda: flush(1))]
    for drain in drains:
        drain.start()
    qtbot.waitUntil(lambda: not any(drain.active for drain in drains))
    assert sorted(number for number, _, _ in runs) == [0] * 6 + [1] * 6
    pauses = [(after[1] - before[2]) * 1e3 for before, after in pairwise(runs)]
    assert min(pauses) > REST_MS - 1
