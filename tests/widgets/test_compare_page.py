from __future__ import annotations

from time import monotonic_ns

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QPushButton, QToolButton
from pytestqt.qtbot import QtBot

from backends.errors import Problem
from backends.events import Event, Notice
from tests.widgets import samples
from tests.widgets.conftest import Show
from tests.widgets.gallery import CLOUD, LOCAL, Shown
from widgets import theme, verdict
from widgets.compare_page import ComparePage
from widgets.lane import Lane
from widgets.values import Ask


def pressed(lane: Lane, name: str) -> QToolButton:
    """The lane's icon button of that name, which must be in sight."""
    QApplication.processEvents()  # a new lane is shown by its layout, a moment later
    found = next(b for b in lane.findChildren(QToolButton) if b.accessibleName() == name)
    assert found.isVisible()
    return found


def caught(page: ComparePage) -> list[Ask]:
    asks: list[Ask] = []
    page.run_requested.connect(asks.append)
    return asks


def type_prompt(qtbot: QtBot, shown: Shown, text: str) -> None:
    qtbot.keyClicks(shown.compare.prompt_box.editor, text)


def test_ctrl_enter_asks_every_lane_once(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo", "practice")
    asks = caught(shown.compare)
    type_prompt(qtbot, shown, "What is a quant?")
    qtbot.keyClick(shown.compare.prompt_box.editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert [ask.prompt for ask in asks] == ["What is a quant?"]
    assert [lane.target for lane in asks[0].lanes] == ["local:demo", "practice"]
    assert [lane.lane_id for lane in asks[0].lanes] == list(shown.compare.lane_ids)
    assert (asks[0].mode, asks[0].system) == ("sequence", None)


def test_enter_runs_and_shift_enter_is_a_new_line(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo")
    asks = caught(shown.compare)
    editor = shown.compare.prompt_box.editor
    type_prompt(qtbot, shown, "one")
    qtbot.keyClick(editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    assert shown.compare.prompt_box.prompt() == "one\n"
    assert not asks
    qtbot.keyClicks(editor, "two")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    assert [ask.prompt for ask in asks] == ["one\ntwo"]


def test_an_empty_prompt_cannot_run(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo")
    asks = caught(shown.compare)
    type_prompt(qtbot, shown, "   ")
    assert not shown.compare.prompt_box.run_button().isEnabled()
    qtbot.keyClick(shown.compare.prompt_box.editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert not asks


def test_escape_stops_only_while_running(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo")
    stops: list[bool] = []
    shown.compare.stop_requested.connect(lambda: stops.append(True))
    qtbot.keyClick(shown.compare.prompt_box.editor, Qt.Key.Key_Escape)
    assert not stops
    shown.compare.set_running(True)
    qtbot.keyClick(shown.compare.prompt_box.editor, Qt.Key.Key_Escape)
    assert stops == [True]


def test_while_running_nothing_runs_twice_and_the_next_prompt_can_be_typed(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo")
    asks = caught(shown.compare)
    type_prompt(qtbot, shown, "first")
    shown.compare.set_running(True)
    type_prompt(qtbot, shown, " and more")
    qtbot.keyClick(shown.compare.prompt_box.editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert not asks
    assert shown.compare.prompt_box.prompt() == "first and more"


def test_a_streaming_answer_is_painted_by_ticks(show: Show) -> None:
    shown = show(LOCAL)
    page = shown.compare
    lane = page.lane(page.lane_ids[0])
    now = monotonic_ns()
    page.begin()
    assert lane.head.status_text() == "Waiting for its turn"
    page.show_events(lane.lane_id, [*samples.opening(LOCAL, now), *samples.deltas(samples.ANSWER, now)])
    assert lane.view.toPlainText() == ""
    assert lane.head.status_text() == "Answering"
    assert lane.head.detail_text() == "NVIDIA RTX 4090, 28 of 28 layers on the GPU, uses 2.98 GiB"
    shown.settle()
    assert "Two models with the same tok/s can still feel different:" in lane.view.toPlainText()
    assert lane.answer_text() == samples.ANSWER
    assert lane.strip.values()["TTFT"] == "124 ms"


def test_lanes_take_turns_and_no_tick_paints_two(show: Show) -> None:
    shown = show("local:demo", "practice")
    page = shown.compare
    lanes = [page.lane(lane_id) for lane_id in page.lane_ids]
    painted: list[list[int]] = []
    for lane in lanes:
        page.show_events(lane.lane_id, [*samples.opening(lane.target, 0), *samples.deltas("word " * 4000, 0)])
    for _ in range(4):
        page.tick()
        painted.append([len(lane.view.toPlainText()) for lane in lanes])
    steps = [
        [after - before for before, after in zip(earlier, later, strict=True)]
        for earlier, later in zip([[0, 0], *painted], painted, strict=False)
    ]
    assert [[grown > 0 for grown in step] for step in steps] == [[True, False], [False, True]] * 2
    assert max(max(step) for step in steps) <= 3000


def test_figures_are_repainted_ten_times_a_second_at_most(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = show(LOCAL)
    page = shown.compare
    lane = page.lane(page.lane_ids[0])
    page.show_events(lane.lane_id, [*samples.opening(LOCAL, 0), *samples.deltas("a b c", 0)])
    repaints: list[object] = []
    monkeypatch.setattr(lane.strip, "show_figures", repaints.append)
    for ms in range(0, 1000, 16):
        lane.refresh_strip(10**12 + ms * samples.MS)
    assert 9 <= len(repaints) <= 10


def test_a_finished_comparison_shows_figures_and_the_comparing_sentence(show: Show) -> None:
    shown = show(LOCAL, "practice")
    page = shown.compare
    first, second = (page.lane(lane_id) for lane_id in page.lane_ids)
    page.show_events(first.lane_id, samples.whole_run(LOCAL, samples.local_result(), 0))
    page.show_events(second.lane_id, samples.whole_run("practice", samples.practice_result(), 0))
    page.show_verdict(verdict.sentence(page.outcomes()))
    shown.settle()
    assert first.strip.values() == {
        "TTFT": "124 ms", "tok/s": "131", "tokens": "212", "time": "1.74 s", "cost": "not measured",
    }  # fmt: skip
    assert second.strip.values()["would cost"] == "$0.0022"
    assert second.strip.note() == "Practice: nothing was paid. Cost at GPT-4o's price."
    assert len(first.strip.curve()) > 1
    assert first.head.status_text() == "Done"
    assert "times sooner than Llama 3.2 3B Instruct" in page.verdict_text()


def test_a_failure_keeps_text_prompt_and_offers_retry(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo", CLOUD)
    page = shown.compare
    type_prompt(qtbot, shown, "Hello")
    lane = page.lane(page.lane_ids[1])
    partial = samples.cloud_result(text=samples.ANSWER[:80], complete=False, finish_reason=None)
    page.begin()
    page.set_running(True)
    page.show_events(lane.lane_id, samples.failed_run(CLOUD, partial, samples.CUT, 0))
    page.set_running(False)
    shown.settle()
    assert lane.banner.text() == samples.CUT.sentence
    assert "tokens a model writes" in lane.view.toPlainText()
    assert page.prompt_box.prompt() == "Hello"
    retried: list[str] = []
    page.lane_retry_requested.connect(retried.append)
    qtbot.mouseClick(pressed(lane, "Retry this lane"), Qt.MouseButton.LeftButton)
    assert retried == [lane.lane_id]
    page.begin([lane.lane_id])
    assert lane.banner.text() == ""
    assert lane.head.status_text() == "Waiting for its turn"


def test_stop_of_one_lane(show: Show, qtbot: QtBot) -> None:
    shown = show(LOCAL, "practice")
    page = shown.compare
    lane = page.lane(page.lane_ids[0])
    page.show_events(lane.lane_id, [*samples.opening(LOCAL, 0), *samples.deltas("some words", 0)])
    stopped: list[str] = []
    page.lane_stop_requested.connect(stopped.append)
    qtbot.mouseClick(pressed(lane, "Stop this lane"), Qt.MouseButton.LeftButton)
    assert stopped == [lane.lane_id]
    page.show_events(lane.lane_id, samples.cancelled_run(LOCAL, samples.local_result(text="some words"), 0)[-1:])
    shown.settle()
    assert lane.head.status_text() == "Stopped"
    assert lane.view.toPlainText().strip() == "some words"


def test_a_silent_worker_is_said_in_the_lane_and_can_be_retried(show: Show) -> None:
    shown = show(LOCAL)
    lane = shown.compare.lane(shown.compare.lane_ids[0])
    events: list[Event] = [*samples.opening(LOCAL, 0), Notice("run-1", 1, "silent", samples.SILENT)]
    lane.show_events(events)
    assert lane.banner.text() == samples.SILENT
    assert pressed(lane, "Retry this lane")
    lane.show_events([Notice("run-1", 2, "silent", "")])
    assert lane.banner.text() == ""


def test_lanes_are_added_and_removed_between_one_and_four(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo", "practice")
    page = shown.compare
    added: list[str] = []
    removed: list[str] = []
    page.lane_added.connect(added.append)
    page.lane_removed.connect(removed.append)
    editor = page.prompt_box.editor
    for _ in range(4):
        qtbot.keyClick(editor, Qt.Key.Key_T, Qt.KeyboardModifier.ControlModifier)
    assert len(page.lane_ids) == 4
    assert added == list(page.lane_ids[2:])
    assert page.lane(added[0]).target == LOCAL, "the first target that is not shown yet and needs no key"
    with pytest.raises(ValueError, match="at most 4"):
        page.add_lane("practice")
    for lane_id in page.lane_ids[1:]:
        qtbot.mouseClick(pressed(page.lane(lane_id), "Remove this lane"), Qt.MouseButton.LeftButton)
    assert len(page.lane_ids) == 1
    assert len(removed) == 3
    assert not pressed(page.lane(page.lane_ids[0]), "Remove this lane").isEnabled()
    page.show_events(removed[0], samples.opening("practice", 0))


def test_a_fourth_lane_is_brought_into_view(show: Show, qtbot: QtBot) -> None:
    page = show("local:demo", "practice", LOCAL, size=(1280, 800)).compare
    qtbot.keyClick(page.prompt_box.editor, Qt.Key.Key_T, Qt.KeyboardModifier.ControlModifier)
    fourth = page.lane(page.lane_ids[3])

    def whole() -> bool:
        place = fourth.visibleRegion().boundingRect()
        return place.width() == fourth.width()

    qtbot.waitUntil(whole)


def test_the_sentence_is_about_the_lanes_that_are_left(show: Show, qtbot: QtBot) -> None:
    page = show(LOCAL, "practice").compare
    first, second = page.lane_ids
    page.show_events(first, samples.whole_run(LOCAL, samples.local_result(), 0))
    page.show_events(second, samples.whole_run("practice", samples.practice_result(), 0))
    page.show_verdict(verdict.sentence(page.outcomes()))
    assert "sooner than Llama" in page.verdict_text()
    qtbot.mouseClick(pressed(page.lane(first), "Remove this lane"), Qt.MouseButton.LeftButton)
    assert "Llama" not in page.verdict_text()
    assert page.verdict_text().startswith("Practice began to answer after")


def test_copy_gives_the_markdown_of_the_answer(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo")
    lane = shown.compare.lane(shown.compare.lane_ids[0])
    copy = next(b for b in lane.findChildren(QPushButton) if b.accessibleName() == "Copy")
    assert not copy.isEnabled()
    lane.show_events(samples.whole_run("local:demo", samples.result(), 0))
    qtbot.mouseClick(copy, Qt.MouseButton.LeftButton)
    assert QApplication.clipboard().text() == samples.ANSWER
    assert copy.text() == "Copied"
    qtbot.waitUntil(lambda: copy.text() == "Copy", timeout=10_000)


def test_votes_are_given_changed_and_taken_back(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo")
    page = shown.compare
    lane = page.lane(page.lane_ids[0])
    lane.show_events(samples.whole_run("local:demo", samples.result(), 0))
    votes: list[str] = []
    page.vote_given.connect(lambda _lane, vote: votes.append(vote))
    for name in ("Good answer", "Poor answer", "Poor answer"):
        qtbot.mouseClick(pressed(lane, name), Qt.MouseButton.LeftButton)
    assert votes == ["up", "down", ""]


def test_a_problem_of_the_whole_comparison_leaves_prompt_and_answers(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo")
    page = shown.compare
    type_prompt(qtbot, shown, "Keep me")
    lane = page.lane(page.lane_ids[0])
    lane.show_events(samples.whole_run("local:demo", samples.result(), 0))
    shown.settle()
    before = lane.view.toPlainText()
    page.show_problem(Problem("network_not_allowed", "Local only is on.", "Nothing was sent.", "Turn it off."))
    assert page.problem_text() == "Local only is on. Nothing was sent. Turn it off."
    assert page.prompt_box.prompt() == "Keep me"
    assert lane.view.toPlainText() == before
    page.show_problem(None)
    assert page.problem_text() == ""


def test_a_clicked_link_is_reported_and_not_followed(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo")
    page = shown.compare
    lane = page.lane(page.lane_ids[0])
    with qtbot.waitSignal(page.link_requested, timeout=1000) as signal:
        lane.view.link_clicked.emit("https://example.org/glossary")
    assert signal.args == ["https://example.org/glossary"]


def test_while_a_lane_runs_its_target_cannot_change(show: Show) -> None:
    shown = show("local:demo")
    lane = shown.compare.lane(shown.compare.lane_ids[0])
    assert lane.head.picker.isEnabled()
    lane.begin()
    assert not lane.head.picker.isEnabled()
    lane.show_events(samples.whole_run("local:demo", samples.result(), 0))
    assert lane.head.picker.isEnabled()


def test_a_theme_change_keeps_the_answer(show: Show, qtbot: QtBot, qapp: QApplication) -> None:
    shown = show("local:demo")
    lane = shown.compare.lane(shown.compare.lane_ids[0])
    lane.show_events(samples.whole_run("local:demo", samples.result(), 0))
    shown.settle()
    before = lane.view.toPlainText()
    theme.apply(qapp, "dark")
    qtbot.waitUntil(lambda: lane.view.toPlainText() == before, timeout=10_000)
