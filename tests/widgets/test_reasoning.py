from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from backends.events import Delta, Event
from tests.widgets import samples
from tests.widgets.conftest import Show
from tests.widgets.gallery import CLOUD
from widgets.lane import Lane

MS = samples.MS


def toggle(lane: Lane) -> QPushButton:
    return next(b for b in lane.reasoning.findChildren(QPushButton))


def test_reasoning_is_folded_counted_and_apart_from_the_answer(show: Show, qtbot: QtBot) -> None:
    shown = show(CLOUD)
    lane = shown.compare.lane(shown.compare.lane_ids[0])
    assert not lane.reasoning.isVisible()
    events: list[Event] = [
        *samples.opening(CLOUD, 0),
        Delta("run-1", MS, "First, **think**.", None, (), "reasoning"),
        Delta("run-1", 2 * MS, "The answer.", 3),
    ]
    lane.show_events(events)
    lane.refresh_strip(10**17)
    shown.settle()
    assert toggle(lane).text() == "Reasoning, 17 characters"
    assert lane.reasoning.painted_text() == ""
    assert lane.answer_text() == "The answer."
    qtbot.mouseClick(toggle(lane), Qt.MouseButton.LeftButton)
    assert lane.reasoning.painted_text() == "First, **think**."
    lane.show_events([Delta("run-1", 3 * MS, " More.", None, (), "reasoning")])
    lane.refresh_strip(2 * 10**17)
    assert lane.reasoning.painted_text() == "First, **think**. More."
    lane.begin()
    assert not lane.reasoning.isVisible()
    assert lane.reasoning.text() == ""


def test_stored_reasoning_comes_back(show: Show) -> None:
    shown = show(CLOUD)
    stored = samples.stored()
    lanes = tuple(replace(s, result=replace(s.result, reasoning_text="Hm.")) for s in stored.lanes)
    shown.compare.show_comparison(replace(stored, lanes=lanes))
    lane = shown.compare.lane(shown.compare.lane_ids[0])
    assert lane.reasoning.text() == "Hm."
    assert toggle(lane).text() == "Reasoning, 3 characters"


def test_a_reopened_answer_is_shown_from_its_beginning(show: Show) -> None:
    shown = show(CLOUD)
    stored = samples.stored()
    lanes = tuple(replace(s, result=replace(s.result, text=samples.ANSWER * 20)) for s in stored.lanes)
    shown.compare.show_comparison(replace(stored, lanes=lanes))
    shown.settle()
    bar = shown.compare.lane(shown.compare.lane_ids[0]).view.verticalScrollBar()
    assert bar.maximum() > 0
    assert bar.value() == 0
