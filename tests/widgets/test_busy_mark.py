"""The mark beside tok/s of a run that other programs slowed: live, at the end, and from history."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from PySide6.QtWidgets import QApplication, QLabel

from backends.events import Event, Notice
from backends.other_work import MACHINE_BUSY, busy_words
from backends.records import OtherWork
from tests.widgets import gallery, samples
from tests.widgets.conftest import Show
from tests.widgets.gallery import LOCAL, Shown
from widgets import figures
from widgets.lane import Lane
from widgets.metrics_strip import MetricsStrip

MS = samples.MS
BUSY = OtherWork(1.0, 1.8, 1.8, 2)
QUIET = OtherWork(0.1, 0.2, 1.8, 2)
WORDS = busy_words(BUSY)


def one_lane(show: Show) -> Lane:
    shown: Shown = show(LOCAL)
    return shown.compare.lane(shown.compare.lane_ids[0])


def writing() -> list[Event]:
    return [*samples.opening(LOCAL, 0), *samples.deltas(samples.ANSWER, 0)]


def mark_in_sight(strip: MetricsStrip) -> list[str]:
    QApplication.processEvents()
    return [label.text() for label in strip.findChildren(QLabel) if label.text() == "busy" and label.isVisible()]


def test_a_live_run_is_marked_and_unmarked_without_a_banner(show: Show) -> None:
    lane = one_lane(show)
    lane.show_events([*writing(), Notice("run-1", 900 * MS, MACHINE_BUSY, WORDS)])
    lane.refresh_strip(10**10)
    assert lane.strip.marks() == {"tok/s": "busy"}
    assert mark_in_sight(lane.strip) == ["busy"]
    assert lane.strip.tips()["tok/s"].startswith(WORDS)
    assert lane.banner.text() == ""
    lane.show_events([Notice("run-1", 950 * MS, MACHINE_BUSY, "")])
    lane.refresh_strip(2 * 10**10)
    assert lane.strip.marks() == {}
    assert mark_in_sight(lane.strip) == []
    assert WORDS not in lane.strip.tips()["tok/s"]


def test_neither_takes_away_what_another_notice_says(show: Show) -> None:
    lane = one_lane(show)
    lane.show_events([*writing(), Notice("run-1", 900 * MS, "silent", samples.SILENT)])
    lane.show_events([Notice("run-1", 901 * MS, MACHINE_BUSY, WORDS)])
    lane.show_events([Notice("run-1", 902 * MS, MACHINE_BUSY, "")])
    assert lane.banner.text() == samples.SILENT
    lane.show_events([Notice("run-1", 903 * MS, MACHINE_BUSY, WORDS), Notice("run-1", 904 * MS, "silent", "")])
    assert lane.banner.text() == ""
    assert lane.state.busy == WORDS


def test_the_mark_stays_when_the_run_has_ended_and_is_spoken(show: Show) -> None:
    lane = one_lane(show)
    lane.show_events(samples.whole_run(LOCAL, samples.local_result(other_work=BUSY), 0))
    assert lane.strip.marks() == {"tok/s": "busy"}
    assert mark_in_sight(lane.strip) == ["busy"]
    assert lane.strip.tips()["tok/s"].startswith(WORDS)
    assert "tok/s 131 (busy)" in lane.strip.accessibleDescription()


def test_a_run_from_history_has_its_mark_and_the_next_run_begins_without(show: Show) -> None:
    lane = one_lane(show)
    stored = samples.stored().lanes[0]
    lane.show_stored(replace(stored, result=samples.local_result(other_work=BUSY)))
    assert lane.strip.marks() == {"tok/s": "busy"}
    lane.begin()
    assert lane.strip.marks() == {}
    lane.show_events(writing())
    lane.refresh_strip(10**10)
    assert lane.strip.marks() == {}


def test_no_mark_where_it_was_a_blip_or_there_is_no_speed() -> None:
    def mark(**changes: Any) -> str:
        return figures.final(samples.local_result(**changes)).speed.mark

    assert mark(other_work=BUSY) == "busy"
    assert mark(other_work=QUIET) == mark() == ""
    assert mark(other_work=BUSY, decode_tok_s=None) == ""


def test_lanes_stay_level_and_as_wide_with_a_mark(show: Show) -> None:
    shown = show(size=(1024, 700))
    gallery.busy(shown)
    shown.settle()
    QApplication.processEvents()
    first, second = (shown.compare.lane(lane_id) for lane_id in shown.compare.lane_ids)
    assert mark_in_sight(first.strip) == ["busy"]
    assert first.strip.y() == second.strip.y()
    assert abs(first.width() - second.width()) <= 1
