from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDoubleSpinBox, QPushButton, QSpinBox
from pytestqt.qtbot import QtBot

from backends.records import Sampling
from tests.widgets.conftest import Show
from widgets.parameters import Parameters
from widgets.prompt_box import PromptBox


def button(box: PromptBox, name: str) -> QPushButton:
    return next(b for b in box.findChildren(QPushButton) if b.accessibleName() == name)


def field(parameters: Parameters, name: str) -> QSpinBox | QDoubleSpinBox:
    fields: list[QSpinBox | QDoubleSpinBox] = [
        *parameters.findChildren(QSpinBox),
        *parameters.findChildren(QDoubleSpinBox),
    ]
    return next(f for f in fields if f.accessibleName() == name)


def test_samples_fill_the_box_and_go_when_it_is_not_empty(show: Show, qtbot: QtBot) -> None:
    box = show("local:demo").compare.prompt_box
    chip = button(box, "Sample prompt: What is a quant?")
    assert chip.isVisible()
    qtbot.mouseClick(chip, Qt.MouseButton.LeftButton)
    assert box.prompt() == "What is a quant, and what does Q4_K_M mean?"
    assert not chip.isVisible()
    assert box.editor.hasFocus()
    box.set_prompt("")
    assert chip.isVisible()


def test_the_box_grows_with_its_text_and_then_scrolls(show: Show) -> None:
    box = show("local:demo").compare.prompt_box
    heights = []
    for lines in (1, 2, 5, 8, 30):
        box.set_prompt("\n".join(["line"] * lines))
        heights.append(box.editor.height())
    assert heights[0] == heights[1] < heights[2] < heights[3] == heights[4]
    assert box.editor.verticalScrollBar().isVisible()


def test_a_long_line_wraps_and_grows_too(show: Show) -> None:
    box = show("local:demo").compare.prompt_box
    before = box.editor.height()
    box.set_prompt("word " * 300)
    assert box.editor.height() > before


def test_tab_leaves_the_box(show: Show, qtbot: QtBot) -> None:
    box = show("local:demo").compare.prompt_box
    box.editor.setFocus()
    qtbot.keyClick(box.editor, Qt.Key.Key_Tab)
    assert not box.editor.hasFocus()
    assert box.editor.toPlainText() == ""


def test_modes_say_what_they_mean(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo")
    box = shown.compare.prompt_box
    chosen: list[str] = []
    shown.compare.mode_chosen.connect(chosen.append)
    assert box.meaning() == "One lane after the other: fair for speed."
    qtbot.mouseClick(button(box, "Lane order: Race"), Qt.MouseButton.LeftButton)
    assert (box.mode(), chosen) == ("race", ["race"])
    assert "compete" in box.meaning()
    qtbot.keyClick(button(box, "Lane order: Race"), Qt.Key.Key_Left)
    assert (box.mode(), chosen) == ("sequence", ["race", "sequence"])


def test_parameters_open_and_travel_with_the_question(show: Show, qtbot: QtBot) -> None:
    shown = show("local:demo")
    box = shown.compare.prompt_box
    assert not box.parameters.isVisible()
    qtbot.keyClick(box.editor, Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier)
    assert box.parameters.isVisible()
    for name, typed in (("Temperature", "0"), ("Max tokens", "0"), ("Seed", "42"), ("Top-k", "20")):
        made = field(box.parameters, name)
        made.selectAll()
        qtbot.keyClicks(made, typed)
        qtbot.keyClick(made, Qt.Key.Key_Tab)
    box.parameters.set_system("Answer in French.")
    ask = shown.compare.ask()
    assert ask.sampling == Sampling(max_tokens=None, temperature=0.0, top_k=20, seed=42)
    assert ask.system == "Answer in French."
    said = box.parameters.summary()
    assert said == "system prompt set, temperature 0, no token limit, seed 42, other parameters changed"
    qtbot.mouseClick(button(box, "Reset"), Qt.MouseButton.LeftButton)
    assert box.sampling() == Sampling()
    assert box.system() == "Answer in French."


def test_sampling_survives_the_fields(show: Show) -> None:
    box = show("local:demo").compare.prompt_box
    for sampling in (
        Sampling(),
        Sampling(max_tokens=None, temperature=1.35, top_k=0, top_p=0.8, min_p=0.0, repeat_penalty=1.1, seed=0),
        Sampling(stop=("###",), seed=2**31 - 1, reasoning_effort="max"),
    ):
        box.parameters.set_sampling(sampling)
        assert box.sampling() == sampling


def test_reasoning_effort_is_chosen_by_words(show: Show, qtbot: QtBot) -> None:
    box = show("local:demo").compare.prompt_box
    box.toggle_parameters()
    made = field(box.parameters, "Reasoning")
    assert made.text() == "default"
    qtbot.keyClick(made, Qt.Key.Key_Up)
    assert box.sampling().reasoning_effort == "none"
    made.selectAll()
    qtbot.keyClicks(made, "high")
    qtbot.keyClick(made, Qt.Key.Key_Tab)
    assert box.sampling().reasoning_effort == "high"
    assert box.parameters.summary() == "reasoning high"
    made.selectAll()
    qtbot.keyClicks(made, "7x")
    assert box.sampling().reasoning_effort == "high"
    qtbot.mouseClick(button(box, "Reset"), Qt.MouseButton.LeftButton)
    assert box.sampling() == Sampling()


def test_values_are_readable_in_their_fields(show: Show) -> None:
    """A style sheet can leave a spin box's text no room."""
    box = show("local:demo").compare.prompt_box
    box.toggle_parameters()
    for name in ("Temperature", "Max tokens", "Seed"):
        made = field(box.parameters, name)
        text_width = made.fontMetrics().horizontalAdvance(made.text())
        inner = made.childAt(made.rect().center())
        assert inner is not None
        assert inner.width() > text_width
