"""The context slider: doubling stops, words beside it, few signals, and never jumping under the hand."""

from __future__ import annotations

from itertools import pairwise

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QAccessible, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QSlider
from pytestqt.qtbot import QtBot

from tests.widgets.models_shown import button, press
from widgets.context_slider import EVERY_MS, SETTLE_MS, STOPS, ContextSlider

pytestmark = pytest.mark.usefixtures("dressed")
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def context(qtbot: QtBot, dressed: None) -> ContextSlider:
    made = ContextSlider()
    qtbot.addWidget(made)
    made.resize(900, 80)
    made.show()
    made.show_values(8192, "f16")
    return made


@pytest.fixture
def heard(context: ContextSlider) -> list[int]:
    told: list[int] = []
    context.context_changed.connect(told.append)
    return told


def at(context: ContextSlider, n_ctx: int) -> QPoint:
    return QPoint(round(context.slider().spot(n_ctx)), 10)


def shown_words(context: ContextSlider) -> str:
    return " ".join(label.text() for label in context.findChildren(QLabel))


def test_it_says_tokens_and_pages_and_its_name_says_them_too(context: ContextSlider) -> None:
    assert "8,192 tokens, about 12 pages of text" in shown_words(context)
    assert context.slider().accessibleName() == "Context: 8,192 tokens, about 12 pages of text"


def test_stops_double_and_lie_evenly(context: ContextSlider) -> None:
    assert STOPS[0] == 256
    assert STOPS[-1] == 131072
    spots = [context.slider().spot(stop) for stop in STOPS]
    steps = [b - a for a, b in pairwise(spots)]
    assert max(steps) - min(steps) < 0.01


def test_keys_move_it_by_stops(context: ContextSlider, heard: list[int], qtbot: QtBot) -> None:
    slider = context.slider()
    qtbot.keyClick(slider, Qt.Key.Key_Right)
    assert heard == [16384]
    assert "about 25 pages" in shown_words(context)
    qtbot.keyClick(slider, Qt.Key.Key_End)
    qtbot.waitUntil(lambda: heard[-1] == 131072)
    qtbot.keyClick(slider, Qt.Key.Key_Home)
    qtbot.waitUntil(lambda: heard[-1] == 256)


def test_a_click_on_the_line_goes_to_the_nearest_stop(context: ContextSlider, heard: list[int], qtbot: QtBot) -> None:
    spot = at(context, 32768)
    qtbot.mouseClick(context.slider(), LEFT, pos=QPoint(spot.x() + 9, spot.y()))
    assert heard == [32768]
    assert context.n_ctx() == 32768


def test_dragging_tells_a_bounded_number_and_always_the_last(
    context: ContextSlider, heard: list[int], qtbot: QtBot
) -> None:
    slider = context.slider()
    qtbot.mousePress(slider, LEFT, pos=at(context, 256))
    for stop in (*STOPS, *reversed(STOPS), *STOPS):
        qtbot.mouseMove(slider, at(context, stop))
    assert heard == [256], "one at once; the others wait for the pace, however many came"
    assert "131,072 tokens" in shown_words(context), "the words do not wait"
    qtbot.mouseRelease(slider, LEFT, pos=at(context, 131072))
    assert heard == [256, 131072]
    QTest.qWait(3 * EVERY_MS)
    assert heard == [256, 131072]


def test_during_a_long_drag_signals_keep_coming(context: ContextSlider, heard: list[int], qtbot: QtBot) -> None:
    slider = context.slider()
    qtbot.mousePress(slider, LEFT, pos=at(context, 256))
    qtbot.mouseMove(slider, at(context, 512))
    qtbot.waitUntil(lambda: heard == [256, 512])
    qtbot.mouseMove(slider, at(context, 1024))
    qtbot.waitUntil(lambda: heard == [256, 512, 1024])
    qtbot.mouseRelease(slider, LEFT, pos=at(context, 1024))
    assert heard == [256, 512, 1024]


def test_showing_values_makes_no_signal(context: ContextSlider, heard: list[int]) -> None:
    told: list[str] = []
    context.kv_type_changed.connect(told.append)
    context.show_values(65536, "q4_0")
    assert context.n_ctx() == 65536
    assert (heard, told) == ([], [])
    assert button(context, "Context memory: Smallest (q4_0)").isChecked()


def test_a_view_for_an_older_context_does_not_move_it_back(
    context: ContextSlider, heard: list[int], qtbot: QtBot
) -> None:
    qtbot.keyClick(context.slider(), Qt.Key.Key_Right)
    context.show_values(8192, "f16")
    assert context.n_ctx() == 16384
    context.show_values(16384, "f16")
    assert context.n_ctx() == 16384
    assert heard == [16384]


def test_what_the_program_decided_holds_in_the_end(context: ContextSlider, heard: list[int], qtbot: QtBot) -> None:
    qtbot.keyClick(context.slider(), Qt.Key.Key_Right)
    context.show_values(8192, "f16")
    qtbot.waitUntil(lambda: context.n_ctx() == 8192, timeout=10 * SETTLE_MS)
    assert heard == [16384]


def test_without_an_answer_it_stays_where_it_was_put(context: ContextSlider, qtbot: QtBot) -> None:
    qtbot.keyClick(context.slider(), Qt.Key.Key_Right)
    qtbot.waitUntil(lambda: not context._settle.isActive(), timeout=10 * SETTLE_MS)
    assert context.n_ctx() == 16384


def test_a_context_between_two_stops_is_shown_exactly(context: ContextSlider, heard: list[int], qtbot: QtBot) -> None:
    context.choose_context(5376)
    assert heard == [5376]
    assert "5,376 tokens" in shown_words(context)
    slider = context.slider()
    assert slider.spot(4096) < slider.spot(5376) < slider.spot(8192)
    context.choose_context(5376)
    assert heard == [5376], "no news"
    qtbot.keyClick(slider, Qt.Key.Key_Left)
    assert heard[-1] in (2048, 4096)


def test_the_wheel_belongs_to_the_page(context: ContextSlider, heard: list[int]) -> None:
    event = QWheelEvent(
        QPointF(20, 10), QPointF(20, 10), QPoint(0, -120), QPoint(0, -120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(context.slider(), event)
    assert not event.isAccepted()
    assert heard == []


def test_segments_tell_the_kv_type(context: ContextSlider, qtbot: QtBot) -> None:
    told: list[str] = []
    context.kv_type_changed.connect(told.append)
    press(qtbot, context, "Context memory: Compact (q8_0)")
    qtbot.keyClick(button(context, "Context memory: Compact (q8_0)"), Qt.Key.Key_Right)
    assert told == ["q8_0", "q4_0"]
    context.choose_kv_type("f16")
    context.choose_kv_type("f16")
    assert told == ["q8_0", "q4_0", "f16"]


def test_a_screen_reader_hears_tokens_and_steps_by_stops(context: ContextSlider, heard: list[int]) -> None:
    spoken = QAccessible.queryAccessibleInterface(context.slider()).valueInterface()
    assert int(spoken.currentValue()) == 8192
    context.show_values(9000, "f16")
    assert int(spoken.currentValue()) == 9000, "also between two stops"
    context.slider().triggerAction(QSlider.SliderAction.SliderSingleStepAdd)
    assert int(spoken.currentValue()) == 16384
    assert heard == [16384]
    spoken.setCurrentValue(30_000)
    assert int(spoken.currentValue()) == 32768, "what is set lands on a stop"
