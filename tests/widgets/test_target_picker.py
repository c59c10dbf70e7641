from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QLineEdit, QListView, QPushButton
from pytestqt.qtbot import QtBot

from tests.widgets import samples
from tests.widgets.conftest import Show
from tests.widgets.gallery import CLOUD, LOCAL
from widgets.lane import Lane
from widgets.target_list import TargetList, detail_of
from widgets.values import TargetChoice


def opened(lane: Lane, qtbot: QtBot) -> tuple[TargetList, QLineEdit]:
    qtbot.mouseClick(lane.head.picker, Qt.MouseButton.LeftButton)
    found = lane.head.picker.target_list()
    assert found is not None
    assert found.isVisible()
    search = found.findChild(QLineEdit)
    assert search is not None
    return found, search


def first_lane(show: Show, target: str = "local:demo") -> Lane:
    shown = show(target)
    return shown.compare.lane(shown.compare.lane_ids[0])


def test_rows_are_grouped_and_offer_an_own_file(show: Show, qtbot: QtBot) -> None:
    rows, _ = opened(first_lane(show), qtbot)
    assert rows.rows() == [
        "On this machine", "Nearfar demo", "Llama 3.2 3B Instruct, Q4_K_M", "Your own .gguf file…",
        "Practice", "Practice", "Cloud", "GPT-4o", "GPT-4.1 mini", "Llama 3.3 70B Instruct Turbo",
    ]  # fmt: skip


def test_a_target_is_chosen_by_keyboard(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo")
    lane = shown.compare.lane(shown.compare.lane_ids[0])
    chosen: list[tuple[str, str]] = []
    shown.compare.target_chosen.connect(lambda lane_id, name: chosen.append((lane_id, name)))
    rows, search = opened(lane, qtbot)
    qtbot.keyClicks(search, "llama 3.2")
    assert rows.rows() == ["On this machine", "Llama 3.2 3B Instruct, Q4_K_M"]
    qtbot.keyClick(search, Qt.Key.Key_Return)
    assert chosen == [(lane.lane_id, LOCAL)]
    assert not rows.isVisible()
    assert lane.head.picker.text() == "Llama 3.2 3B Instruct, Q4_K_M"


def test_arrows_skip_headers_and_disabled_rows(show: Show, qtbot: QtBot) -> None:
    rows, search = opened(first_lane(show), qtbot)
    view = rows.findChild(QListView)
    assert view is not None
    seen = [view.currentIndex().data()]
    for _ in range(8):
        qtbot.keyClick(search, Qt.Key.Key_Down)
        seen.append(view.currentIndex().data())
    assert list(dict.fromkeys(seen)) == [
        "Nearfar demo", "Llama 3.2 3B Instruct, Q4_K_M", "Your own .gguf file…", "Practice", "GPT-4o", "GPT-4.1 mini",
    ]  # fmt: skip


def test_a_disabled_row_says_why_and_cannot_be_chosen(show: Show, qtbot: QtBot) -> None:
    lane = first_lane(show)
    rows, search = opened(lane, qtbot)
    qtbot.keyClicks(search, "turbo")
    qtbot.keyClick(search, Qt.Key.Key_Return)
    assert rows.isVisible()
    assert lane.target == "local:demo"
    assert detail_of(samples.CHOICES[-1]) == "Together AI · Local only is on"
    rows.hide()


def test_a_typed_target_is_offered_and_marked_as_leaving(show: Show, qtbot: QtBot) -> None:
    lane = first_lane(show)
    rows, search = opened(lane, qtbot)
    qtbot.keyClicks(search, "openai:o9-mini")
    assert rows.rows() == ["As typed", "openai:o9-mini"]
    qtbot.keyClick(search, Qt.Key.Key_Return)
    assert lane.target == "openai:o9-mini"
    assert lane.head.where_text() == "leaves this machine: openai"


@pytest.mark.parametrize(
    ("typed", "where"),
    [
        ("custom:lab/phi-9", "as its server is set"),
        ("custom:lab2/phi-9", "leaves this machine: lab.example"),
        ("custom:lab2/meta/llama-9", "leaves this machine: lab.example"),
        ("ollama:llama9:3b", "as its server is set"),
    ],
)
def test_where_a_typed_target_goes_is_told_by_its_own_server(qtbot: QtBot, typed: str, where: str) -> None:
    rows = TargetList()
    qtbot.addWidget(rows)
    rows.show_choices(
        [
            TargetChoice("custom:lab2/phi-4", "phi-4", where="lab.example"),
            TargetChoice("custom:lab/phi-4", "phi-4"),
            TargetChoice("ollama:gpt-oss:120b-cloud", "gpt-oss", where="ollama.com", sent_on=True),
        ]
    )
    assert rows._where_typed(typed) == where


def test_what_is_no_target_offers_nothing(show: Show, qtbot: QtBot) -> None:
    rows, search = opened(first_lane(show), qtbot)
    qtbot.keyClicks(search, "nonsense:thing")
    assert rows.rows() == []
    qtbot.keyClick(search, Qt.Key.Key_Return)
    assert rows.isVisible()
    rows.hide()


def test_an_own_file(show: Show, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("/models/my model.Q8_0.gguf", ""))
    lane = first_lane(show)
    _, search = opened(lane, qtbot)
    qtbot.keyClicks(search, "gguf")
    qtbot.keyClick(search, Qt.Key.Key_Return)
    assert lane.target == "local:/models/my model.Q8_0.gguf"
    assert lane.head.picker.text() == "my model.Q8_0.gguf"
    assert lane.head.where_text() == "on this machine"


def test_marks_of_each_kind_of_target(show: Show) -> None:
    shown = show("local:demo", "practice", CLOUD)
    heads = [shown.compare.lane(lane_id).head for lane_id in shown.compare.lane_ids]
    assert [head.where_text() for head in heads] == [
        "on this machine", "on this machine", "leaves this machine: api.openai.com",
    ]  # fmt: skip
    assert [head.retires_text() for head in heads] == ["", "", "retires 14 January 2027"]
    assert heads[0].detail_text().startswith("tiny demo model")
    assert heads[1].detail_text() == "practice: the demo model served on this machine"


def test_a_newer_description_of_the_target_is_taken_over(show: Show) -> None:
    shown = show("custom:lab/phi")
    lane = shown.compare.lane(shown.compare.lane_ids[0])
    assert lane.head.where_text() == "leaves this machine: custom"
    newer = TargetChoice("custom:lab/phi", "Phi in the lab", "Custom", "Cloud", "lab.example.org")
    shown.compare.set_targets([*samples.CHOICES, newer])
    assert lane.label == "Phi in the lab"
    assert lane.head.where_text() == "leaves this machine: lab.example.org"


def test_what_was_not_sent_stays_in_sight_until_another_target_is_chosen(show: Show) -> None:
    shown = show(CLOUD)
    lane = shown.compare.lane(shown.compare.lane_ids[0])
    lane.show_events(samples.whole_run(CLOUD, samples.cloud_result(settings={"not_sent": ["temperature"]}), 0))
    assert lane.head.detail_text() == "not sent: temperature · OpenAI"
    shown.compare.set_targets(samples.CHOICES)
    assert lane.head.detail_text() == "not sent: temperature · OpenAI"
    lane.set_target("practice")
    assert lane.head.detail_text() == "practice: the demo model served on this machine"


def served(show: Show, *, size: tuple[int, int] = (1280, 800)) -> Lane:
    shown = show("local:demo", size=size)
    shown.compare.set_targets((*samples.CHOICES, *samples.SERVED), samples.ACTIONS)
    return shown.compare.lane(shown.compare.lane_ids[0])


def test_servers_and_what_asks_them_stand_in_their_groups(show: Show, qtbot: QtBot) -> None:
    rows, _ = opened(served(show), qtbot)
    said = rows.rows()
    start = said.index("Servers on this machine")
    assert said[start : start + 8] == [
        "Servers on this machine", "llama3.2:3b", "gpt-oss:120b-cloud", "Look for servers on this machine…",
        "Your servers", "phi-4", "List the models of lab…", "Cloud",
    ]  # fmt: skip
    assert detail_of(samples.SERVED[0]) == "Ollama"
    assert detail_of(samples.SERVED[1]) == "Ollama · leaves this machine: ollama.com"


def test_a_long_list_is_shortened_until_something_is_typed(show: Show, qtbot: QtBot) -> None:
    rows, search = opened(served(show), qtbot)
    listed = [row for row in rows.rows() if row.startswith("maker/")]
    assert len(listed) == 10
    assert "20 more of OpenRouter: type to find them" in rows.rows()
    qtbot.keyClicks(search, "model-29")
    assert rows.rows() == ["Cloud", "maker/model-29"]


def test_an_action_says_its_key_with_its_lane(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo")
    shown.compare.set_targets(samples.CHOICES, samples.ACTIONS)
    lane = shown.compare.lane(shown.compare.lane_ids[0])
    wanted: list[tuple[str, str]] = []
    shown.compare.action_wanted.connect(lambda lane_id, key: wanted.append((lane_id, key)))
    rows, search = opened(lane, qtbot)
    qtbot.keyClicks(search, "look for")
    qtbot.keyClick(search, Qt.Key.Key_Return)
    assert wanted == [(lane.lane_id, "look")]
    assert not rows.isVisible()
    assert lane.target == "local:demo"


def test_an_action_that_is_refused_says_why_and_does_nothing(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo")
    shown.compare.set_targets(samples.CHOICES, samples.ACTIONS)
    wanted: list[str] = []
    shown.compare.action_wanted.connect(lambda _lane, key: wanted.append(key))
    rows, search = opened(shown.compare.lane(shown.compare.lane_ids[0]), qtbot)
    qtbot.keyClicks(search, "models of groq")
    qtbot.keyClick(search, Qt.Key.Key_Return)
    assert wanted == []
    rows.hide()


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("openai:gpt-4", "openai:gpt-4"),  # typed whole, though listed names begin so
        ("openai:gpt-4o", CLOUD),
        ("vllm:some/model", "vllm:some/model"),
        ("local:de", "local:demo"),
    ],
)
def test_a_target_that_was_typed_whole_is_what_enter_takes(show: Show, qtbot: QtBot, typed: str, taken: str) -> None:
    lane = first_lane(show, "practice")
    _, search = opened(lane, qtbot)
    qtbot.keyClicks(search, typed)
    qtbot.keyClick(search, Qt.Key.Key_Return)
    assert lane.target == taken


def test_another_model_is_one_click_away_where_one_is_gone(show: Show, qtbot: QtBot) -> None:
    shown = show(CLOUD)
    lane = shown.compare.lane(shown.compare.lane_ids[0])
    no_text = samples.cloud_result(text="", complete=False, finish_reason=None, decode_tok_s=None)
    lane.show_events(samples.failed_run(CLOUD, no_text, samples.GONE, 0))
    lane.offer_target("openai:gpt-4.1-mini", "GPT-4.1 mini")
    assert lane.banner.offered_text() == "Use GPT-4.1 mini"
    chosen: list[str] = []
    shown.compare.target_chosen.connect(lambda _lane, name: chosen.append(name))
    button = next(b for b in lane.banner.findChildren(QPushButton) if b.text() == "Use GPT-4.1 mini")
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert chosen == [lane.target] == ["openai:gpt-4.1-mini"]
    assert lane.banner.offered_text() == ""


def test_a_model_whose_day_is_over_is_called_retired(show: Show) -> None:
    shown = show("local:demo")
    over = TargetChoice("groq:old", "old", "Groq", "Cloud", "api.groq.com", retires_on="2026-08-16")
    shown.compare.set_targets([*samples.CHOICES, over])
    lane = shown.compare.lane(shown.compare.lane_ids[0])
    lane.set_target("groq:old")
    assert lane.head.retires_text() == "retired 16 August 2026"
