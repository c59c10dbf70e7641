"""Comparisons from history in the Compare page."""

from __future__ import annotations

from dataclasses import replace

from tests.widgets import samples
from tests.widgets.conftest import Show
from tests.widgets.gallery import CLOUD, LOCAL


def test_a_stored_comparison_is_shown_whole(show: Show) -> None:
    shown = show("local:demo")
    page = shown.compare
    page.show_comparison(samples.stored())
    shown.settle()
    first, second = (page.lane(lane_id) for lane_id in page.lane_ids)
    assert (first.target, second.target) == (LOCAL, CLOUD)
    assert "Two models" in first.view.toPlainText()
    assert second.banner.text() == samples.CUT.sentence
    ask = page.ask()
    assert (ask.prompt, ask.system, ask.mode) == (samples.PROMPT, "Answer briefly.", "race")
    assert (ask.sampling.temperature, ask.sampling.seed) == (0.0, 7)
    assert "GPT-4o failed and is not compared." in page.verdict_text()


def test_another_stored_comparison_takes_over_the_lanes(show: Show) -> None:
    """Building lanes anew would stall the window; nothing of what they showed may stay."""
    shown = show("local:demo")
    page, stored = shown.compare, samples.stored()
    page.show_comparison(stored)
    shown.settle()
    before = page.lane_ids
    one, failed = stored.lanes
    page.show_comparison(replace(stored, lanes=(failed, replace(one, vote="up"))))
    shown.settle()
    assert page.lane_ids == before
    first, second = (page.lane(lane_id) for lane_id in page.lane_ids)
    assert (first.target, second.target) == (CLOUD, LOCAL)
    assert first.banner.text() == samples.CUT.sentence
    assert (second.banner.text(), second.state.phase) == ("", "done")
    assert "Two models" in second.view.toPlainText()
    page.show_comparison(replace(stored, lanes=(one,)))
    shown.settle()
    assert page.lane_ids == before[:1]
    assert page.lane(before[0]).banner.text() == ""
