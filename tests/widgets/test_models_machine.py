"""This machine: three honest parts per device, figures beside them, problems with a fix to copy."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from tests.widgets import model_samples as ms
from tests.widgets.models_shown import button, buttons, said, settle
from widgets import theme
from widgets.device_bar import DevicePanel, MemoryBar, headline, legend, short_bytes
from widgets.fix_notice import command_of, said_beside
from widgets.machine_card import MachineCard, drawn
from widgets.model_values import DeviceBar, MachineView

GIB = ms.GIB
pytestmark = pytest.mark.usefixtures("dressed")
CARD = DeviceBar("RTX 4090", "gpu", 24 * GIB, 9 * GIB, 14 * GIB, wanted_bytes=6 * GIB, in_use_by=("python3", "Xorg"))


def card(qtbot: QtBot, machine: MachineView, width: int = 1100) -> MachineCard:
    made = MachineCard()
    qtbot.addWidget(made)
    made.resize(width, 200)
    made.show_machine(machine, "selected model")
    made.show()
    settle()
    return made


def test_the_parts_of_a_bar_add_up_to_the_whole() -> None:
    """What the driver keeps is not free, so it counts as in use."""
    bar = MemoryBar()
    bar.show_device(CARD)
    others, used, wanted, short = bar.shares()
    assert others == used
    assert used == pytest.approx(10 / 24)
    assert wanted == pytest.approx(16 / 24)
    assert not short
    assert legend(CARD, "selected model") == [
        ("used", "10.0 GiB in use by python3 and 1 more"),
        ("wanted", "6.00 GiB selected model"),
        ("left", "8.00 GiB left"),
    ]


def test_what_does_not_fit_is_said_in_words_and_hatched() -> None:
    large = replace(CARD, wanted_bytes=17 * GIB)
    bar = MemoryBar()
    bar.show_device(large)
    assert bar.shares()[2:] == (1.0, True)
    assert legend(large, "selected model")[1:] == [("short", "17.0 GiB selected model, 3.00 GiB too much")]


def test_unknown_figures_are_not_guessed() -> None:
    unknown = DeviceBar("Some GPU", "gpu", None, None, None)
    assert headline(unknown) == "free memory not known"
    assert legend(unknown, "selected model") == []
    assert headline(DeviceBar("Some GPU", "gpu", None, None, 3 * GIB)) == "3.00 GiB free"
    assert headline(CARD) == "14.0 of 24.0 GiB free"


def painted(bar: MemoryBar) -> QImage:
    bar.resize(240, 10)
    return bar.grab().toImage()


@pytest.mark.parametrize("choice", ["light", "dark"])
def test_the_bar_is_painted_in_three_parts(qapp: object, qtbot: QtBot, choice: str) -> None:
    theme.apply(qapp, choice)  # type: ignore[arg-type]  # the fixture's application
    bar = MemoryBar()
    qtbot.addWidget(bar)
    bar.show_device(CARD)
    image = painted(bar)
    seen = [image.pixelColor(round(240 * share), 5).name() for share in (0.2, 0.55, 0.9)]
    assert seen == [theme.color(name).name() for name in ("outline", "accent", "sunken")]


def test_each_device_is_named_with_its_figures(qtbot: QtBot) -> None:
    made = card(qtbot, ms.RTX_4090)
    text = said(made)
    assert "RTX 4090" in text
    assert "14.7 of 24.0 GiB free" in text
    assert "Main memory, AMD Ryzen 9 7950X" in text
    assert "in use by python3 and 2 more" in text
    names = [panel.accessibleName() for panel in made.panels()]
    assert names[0] == "GPU memory, RTX 4090: 14.7 of 24.0 GiB free"
    assert "In use by python3, Xorg, firefox" in made.panels()[0].accessibleDescription()
    assert "firefox" in made.panels()[0].toolTip(), "all names are in the tip"


def test_two_of_a_kind_are_told_apart(qtbot: QtBot) -> None:
    text = said(card(qtbot, ms.TWO_3090))
    assert "RTX 3090 #1" in text
    assert "RTX 3090 #2" in text


def test_shared_memory_is_drawn_once(qtbot: QtBot) -> None:
    assert [device.name for device in drawn(ms.SHARED.devices)] == ["NVIDIA GB10"]
    made = card(qtbot, ms.SHARED)
    assert len(made.panels()) == 1
    assert "memory shared by GPU and processor" in said(made)


def test_eight_gpus_do_not_fill_the_page(qtbot: QtBot) -> None:
    made = card(qtbot, ms.EIGHT_H100)
    assert len(made.panels()) == 9
    assert made.sizeHint().height() < 190
    text = said(made)
    assert "8 × NVIDIA H100 80GB HBM3" in text
    assert "GPU memory together: 628 of 637 GiB free." in text
    assert "GPU 3" in text
    assert "75.9 GiB free" in text


def test_compact_bars_say_which_lacks_memory(qtbot: QtBot) -> None:
    devices = [replace(device, wanted_bytes=77 * GIB) for device in ms.EIGHT_H100.devices]
    text = said(card(qtbot, MachineView(tuple(devices))))
    assert "too little on 1 GPU." in text
    assert "1.11 GiB short" in text or "GiB short" in text


def test_one_column_where_there_is_little_room(qtbot: QtBot) -> None:
    wide, narrow = card(qtbot, ms.RTX_4090), card(qtbot, ms.RTX_4090, 640)
    assert len({panel.y() for panel in wide.panels()}) == 1
    assert len({panel.y() for panel in narrow.panels()}) == 2


def test_another_machine_replaces_the_bars(qtbot: QtBot) -> None:
    made = card(qtbot, ms.EIGHT_H100)
    made.show_machine(ms.NO_GPU, "selected model")
    settle()
    assert [panel.accessibleName() for panel in made.panels()] == [
        "Main memory, Intel Core i5-1240P: 9.70 of 16.0 GiB free"
    ]
    assert len([panel for panel in made.findChildren(DevicePanel) if panel.isVisible()]) == 1


def test_bars_stay_where_they_are_while_figures_move(qtbot: QtBot) -> None:
    made = card(qtbot, ms.RTX_4090)
    before = made.panels()
    devices = tuple(replace(device, free_bytes=5 * GIB) for device in ms.RTX_4090.devices)
    made.show_machine(MachineView(devices), "selected model")
    assert all(one is other for one, other in zip(before, made.panels(), strict=True))
    assert said(made).count("5.00 of") == 2


def test_it_says_that_it_is_looking(qtbot: QtBot) -> None:
    made = card(qtbot, MachineView())
    assert said(made) == "Looking at this machine…"
    made.show_machine(ms.RTX_4090, "selected model")
    settle()
    assert "Looking" not in said(made)


def test_a_problem_has_a_command_to_copy(qtbot: QtBot) -> None:
    made = card(qtbot, ms.BUILD_PROBLEM)
    copied: list[str] = []
    made.fix_copied.connect(copied.append)
    text = said(made)
    assert "llama.cpp was built for the processor only" in text
    assert "Restart this machine." in text
    assert "\nmake setup GPU=cuda" in text, "alone on its line, exactly"
    assert [each.accessibleName() for each in buttons(made)] == ["Copy the command"], "the other fix is no command"
    button(made, "Copy the command").click()
    assert copied == ["make setup GPU=cuda"]
    assert QGuiApplication.clipboard().text() == "make setup GPU=cuda"
    made.show_machine(ms.RTX_4090, "selected model")
    assert "processor only" not in said(made)


@pytest.mark.parametrize(
    ("fix", "command", "beside"),
    [
        ("Build it: `make setup GPU=cuda`", "make setup GPU=cuda", "Build it:"),
        ("Run `make setup`, then start again.", "make setup", "Run make setup, then start again."),
        ("Restart this machine.", "", "Restart this machine."),
    ],
)
def test_commands_in_a_fix(fix: str, command: str, beside: str) -> None:
    assert command_of(fix) == command
    assert said_beside(fix) == beside


def test_no_bar_is_focusable(qtbot: QtBot) -> None:
    made: QWidget = card(qtbot, ms.RTX_4090)
    assert buttons(made) == []


def test_who_holds_memory_is_reached_by_keyboard(qtbot: QtBot) -> None:
    made = card(qtbot, MachineView((CARD,)))
    (panel,) = made.panels()
    assert panel.focusPolicy() == Qt.FocusPolicy.TabFocus
    assert "In use by python3" in panel.accessibleDescription()
    made.show_machine(MachineView((replace(CARD, in_use_by=()),)), "selected model")
    assert panel.focusPolicy() == Qt.FocusPolicy.NoFocus, "nothing to tell, no stop on the way"


def test_a_model_of_ours_has_a_part_of_its_own_and_makes_room() -> None:
    own = replace(CARD, own_bytes=4 * GIB, own_name="llama-3.2-3b:Q8_0", makes_room=True, wanted_bytes=17 * GIB)
    bar = MemoryBar()
    bar.show_device(own)
    others, ours, wanted, short = bar.shares()
    assert others == pytest.approx(6 / 24)
    assert ours == pytest.approx(7 / 24), "as far as the wanted one leaves it"
    assert wanted == 1.0
    assert not short, "14 GiB are free, and 4 are given back"
    assert legend(own, "selected model") == [
        ("used", "6.00 GiB in use"),
        ("own", "4.00 GiB Nearfar: llama-3.2-3b:Q8_0"),
        ("wanted", "17.0 GiB selected model"),
        ("left", "1.00 GiB left"),
    ]
    assert short_bytes(replace(own, makes_room=False)) == 3 * GIB
