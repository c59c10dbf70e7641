"""Loading in a lane: how far, of how much, and predicted beside real memory; and lanes that come and go."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QRect, Qt
from PySide6.QtWidgets import QApplication, QLabel, QScrollArea, QToolButton
from pytestqt.qtbot import QtBot

from backends.events import Loaded
from backends.records import PartReport
from tests.widgets import samples
from tests.widgets.conftest import Show
from tests.widgets.gallery import CLOUD, LOCAL, Shown
from widgets import verdict
from widgets.lane import Lane
from widgets.load_words import report_text, report_tip
from widgets.parts import Elided
from widgets.values import LoadNote

GIB = 2**30
PLACE = "NVIDIA RTX 4090, 28 of 28 layers on the GPU"


def only_lane(shown: Shown) -> Lane:
    return shown.compare.lane(shown.compare.lane_ids[0])


def test_loading_shows_the_share_and_the_size(show: Show) -> None:
    shown = show(LOCAL)
    local = replace(samples.CHOICES[1], size_bytes=2_019_377_696)
    shown.compare.set_targets([local])
    shown.compare.show_events(only_lane(shown).lane_id, samples.opening(LOCAL, 0)[:2])
    assert only_lane(shown).head.status_text() == "Loading the model, 42 % of 1.88 GiB"


def test_predicted_stands_beside_real(show: Show) -> None:
    shown = show(LOCAL)
    lane = only_lane(shown)
    shown.compare.show_events(lane.lane_id, samples.opening(LOCAL, 0))
    assert lane.head.detail_text() == f"{PLACE}, uses 2.98 GiB", "from llama.cpp's log, until the measured figure comes"
    shown.compare.show_load(lane.lane_id, LoadNote(3 * GIB, round(3.1 * GIB)))
    assert lane.head.detail_text() == f"{PLACE}, uses 3.00 GiB (predicted 3.10)"
    shown.compare.show_load("gone", LoadNote(1, 1))
    shown.compare.begin()
    shown.compare.show_events(lane.lane_id, samples.opening(LOCAL, 0))
    assert "predicted" not in lane.head.detail_text(), "another run, another load"


def test_memory_in_words() -> None:
    report = samples.report()
    assert report_text(report, LoadNote(900 * 2**20, round(1.1 * GIB))) == f"{PLACE}, uses 900 MiB (predicted 1.10 GiB)"
    assert report_text(report, LoadNote(None, 3 * GIB)) == f"{PLACE}, uses 2.98 GiB", "never a guess beside a log"
    assert report_text(replace(report, kv_bytes=None)) == PLACE
    on_cpu = replace(report, gpu_layers=0, device="AMD Ryzen 9 7950X")
    assert report_text(on_cpu) == "AMD Ryzen 9 7950X, no layers on a GPU, uses 2.98 GiB"
    tip = report_tip(report, LoadNote(3 * GIB, 4 * GIB)).splitlines()
    assert tip[0] == f"{PLACE}, uses 3.00 GiB (predicted 4.00)"
    assert "KV cache: 858 MiB" in tip


def test_a_narrow_lane_gives_up_the_memory_before_the_layers(show: Show) -> None:
    shown = show(LOCAL, "practice", size=(1280, 800))
    lane = only_lane(shown)
    shown.compare.show_events(lane.lane_id, samples.opening(LOCAL, 0))
    line = next(label for label in lane.head.findChildren(Elided) if label.text().startswith(PLACE))
    assert line.text() == f"{PLACE}, uses 2.98 GiB"
    shown.window.resize(860, 700)
    QApplication.processEvents()
    assert line.text() == PLACE
    assert "uses 2.98 GiB" in line.toolTip()
    assert line.accessibleName() == f"{PLACE}, uses 2.98 GiB"
    shown.window.resize(1280, 700)
    QApplication.processEvents()
    assert line.text() == f"{PLACE}, uses 2.98 GiB"


def test_what_lies_in_main_memory_is_not_counted_as_the_gpus(show: Show) -> None:
    host = PartReport("CPU", None, 8, GIB, GIB, GIB)
    gpu = PartReport("CUDA0", "0000:01:00.0", 20, 2 * GIB, GIB // 2, GIB // 2)
    report = samples.report(gpu_layers=20, parts=(gpu, host))
    assert report_text(report) == "NVIDIA RTX 4090, 20 of 28 layers on the GPU, uses 3.00 GiB"
    shown = show(LOCAL)
    shown.compare.show_events(only_lane(shown).lane_id, [Loaded("run-1", 1, report)])
    assert only_lane(shown).head.detail_text() == report_text(report)


def test_a_fourth_lane_comes_into_sight(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo", "practice", LOCAL, size=(1280, 800))
    scroll = next(iter(shown.compare.findChildren(QScrollArea)))
    qtbot.keyClick(shown.compare.prompt_box.editor, Qt.Key.Key_T, Qt.KeyboardModifier.ControlModifier)
    last = shown.compare.lane(shown.compare.lane_ids[-1])
    assert len(shown.compare.lane_ids) == 4

    def in_sight() -> bool:
        corner = last.mapTo(scroll.viewport(), last.rect().topLeft())
        placed = QRect(corner, last.size())
        return last.isVisible() and placed.left() >= 0 and placed.right() < scroll.viewport().width()

    qtbot.waitUntil(in_sight)


def compared(show: Show) -> Shown:
    shown = show(LOCAL, "practice", CLOUD)
    page = shown.compare
    for lane_id, target, result in zip(
        page.lane_ids,
        (LOCAL, "practice", CLOUD),
        (samples.local_result(), samples.practice_result(), samples.cloud_result()),
        strict=True,
    ):
        page.show_events(lane_id, samples.whole_run(target, result, 0))
    page.show_verdict(verdict.sentence(page.outcomes()))
    assert "GPT-4o" in page.verdict_text()
    return shown


def remove(shown: Shown, at: int, qtbot: QtBot) -> None:
    lane = shown.compare.lane(shown.compare.lane_ids[at])
    cross = next(b for b in lane.findChildren(QToolButton) if b.accessibleName() == "Remove this lane")
    qtbot.mouseClick(cross, Qt.MouseButton.LeftButton)


def test_what_was_said_of_a_removed_lane_goes_with_it(show: Show, qtbot: QtBot) -> None:
    shown = compared(show)
    remove(shown, 2, qtbot)
    assert "GPT-4o" not in shown.compare.verdict_text()
    assert shown.compare.verdict_text().startswith("Practice began to answer 3.1 times sooner than Llama 3.2 3B")


def test_another_target_does_not_keep_the_answer_of_the_one_before(show: Show) -> None:
    shown = compared(show)
    lane = shown.compare.lane(shown.compare.lane_ids[2])
    assert "GPT-4o" in shown.compare.verdict_text()
    assert lane.answer_text()
    lane.head.picker.pick("local:demo")
    assert (lane.answer_text(), lane.run_id, lane.head.status_text()) == ("", "", "Ready")
    assert "$" not in " ".join(label.text() for label in lane.strip.findChildren(QLabel))
    assert "GPT-4o" not in shown.compare.verdict_text()
    assert shown.compare.verdict_text().startswith("Practice began to answer 3.1 times sooner than Llama 3.2 3B")
    for lane_id in shown.compare.lane_ids[:2]:
        shown.compare.lane(lane_id).set_target("openai:gpt-4o")
    assert shown.compare.verdict_text() == ""


def test_choosing_the_same_target_again_keeps_its_answer(show: Show) -> None:
    shown = compared(show)
    lane = shown.compare.lane(shown.compare.lane_ids[2])
    lane.head.picker.pick(lane.target)
    lane.set_target(lane.target)
    assert lane.answer_text()
    assert "GPT-4o" in shown.compare.verdict_text()


def test_the_new_target_can_be_asked_alone(show: Show, qtbot: QtBot) -> None:
    shown = compared(show)
    lane = shown.compare.lane(shown.compare.lane_ids[2])
    lane.head.picker.pick("local:demo")
    retried: list[str] = []
    shown.compare.lane_retry_requested.connect(retried.append)
    again = next(b for b in lane.findChildren(QToolButton) if b.accessibleName() == "Retry this lane")
    qtbot.mouseClick(again, Qt.MouseButton.LeftButton)
    assert retried == [lane.lane_id]


def test_without_a_verdict_removing_makes_none(show: Show, qtbot: QtBot) -> None:
    shown = show(LOCAL, "practice")
    remove(shown, 0, qtbot)
    assert shown.compare.verdict_text() == ""
