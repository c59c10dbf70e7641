"""When the machine is read and what follows: only while in sight, never blocking, judged anew only for cause."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app import models_controller
from app.models_ranking import Question, ranked
from app.models_view import machine_view
from app.session import Session
from backends.devices import machine as devices_machine
from backends.devices.machine import read_machine
from backends.devices.records import DeviceUser, Machine, MemoryInfo
from backends.devices.simulated import simulated_machine
from backends.fit.learned import Learned
from backends.fit.records import Wish
from backends.models.catalogue import catalogue
from backends.own_loads import OwnLoad, as_released, identity
from backends.paths import app_paths
from backends.workbench import Workbench
from tests.app.models_window import ModelsWindow
from widgets import theme

GIB = 2**30


@pytest.fixture
def window(qtbot: QtBot, qapp: QApplication) -> Iterator[ModelsWindow]:
    made = ModelsWindow(qtbot, qapp)
    yield made
    made.close(qapp)


def looks(window: ModelsWindow) -> bool:
    return window.session.models._looking.isActive()


def test_the_machine_is_read_every_two_seconds_at_most_and_only_in_sight(window: ModelsWindow) -> None:
    session = window.session
    assert models_controller.LOOK_MS >= 2000
    assert session.models._looking.interval() == models_controller.LOOK_MS
    assert looks(window)
    session.window.open_page("compare")
    assert not looks(window)
    session.window._devices.click()  # the card of all devices
    assert looks(window), "its figures are in sight on any page"
    session.window._devices._popover.close()  # type: ignore[union-attr]  # it was opened
    window.wait(lambda: not looks(window))


def test_a_window_that_is_minimized_reads_nothing(window: ModelsWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    models = window.session.models
    window.wait(lambda: window.rows and not models._reading)
    monkeypatch.setattr(window.session.window, "isMinimized", lambda: True)
    models._look()
    assert not models._reading
    monkeypatch.setattr(window.session.window, "isMinimized", lambda: False)
    models._look()
    assert models._reading


def test_a_look_before_the_engine_runs_is_made_up_for(qtbot: QtBot, qapp: QApplication) -> None:
    """As when the first page of a session is the Models page."""
    session = Session(qapp, Workbench(app_paths()))
    session.window.open_page("models")
    assert not session.models._reading
    session.window.show()
    qtbot.waitUntil(lambda: session.models.state.machine is not None, timeout=60_000)
    session.window.close()
    session.window.deleteLater()
    theme.apply(qapp, "light")


def test_probing_never_blocks_the_window(window: ModelsWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that hangs for a second: the window's loop goes on meanwhile."""
    models = window.session.models
    window.wait(lambda: window.rows and not models._reading)

    def slow(*args: object, **kwargs: object) -> Machine:
        time.sleep(1.0)
        return read_machine()

    monkeypatch.setattr(devices_machine, "read_machine", slow)
    ticks: list[bool] = []
    timer = QTimer(window.session.window)
    timer.timeout.connect(lambda: ticks.append(models._reading))
    timer.start(10)
    models._look()
    window.wait(lambda: not models._reading)
    timer.stop()
    assert ticks.count(True) > 5


def test_bytes_that_come_and_go_move_the_bars_alone(window: ModelsWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = MemoryInfo(64 * GIB, 20 * GIB + 2**20, 0, 0)
    monkeypatch.setattr(devices_machine, "read_memory", lambda: memory)
    models = window.session.models
    models._looking.stop()
    models._look()
    window.wait(lambda: window.rows and not models._reading and free(window) == memory.free_bytes)
    window.wait(lambda: not models._ranking)
    before = window.state.ranking
    memory = replace(memory, free_bytes=memory.free_bytes + 2**20)
    models._look()
    window.wait(lambda: free(window) == memory.free_bytes and not models._ranking)
    assert window.state.ranking is before
    memory = replace(memory, free_bytes=memory.free_bytes - 2 * GIB)
    models._look()
    window.wait(lambda: window.state.ranking is not before)


def free(window: ModelsWindow) -> int | None:
    machine = window.state.machine
    return machine.cpu.free_bytes if machine is not None else None


def test_a_model_of_ours_does_not_stand_in_its_own_way() -> None:
    """After a run the page judges as before it, and names nobody whom one could close."""
    empty = simulated_machine(["RTX 4090:24:22"], read_machine())
    loaded = simulated_machine(["RTX 4090:24:4"], read_machine())
    users = (DeviceUser(41, "python3", 18 * GIB), DeviceUser(7, "blender", 2 * GIB))
    loaded = replace(loaded, gpus=(replace(loaded.gpus[0], in_use_by=users),))
    held = {identity(loaded.gpus[0]): 18 * GIB}
    own = (OwnLoad("llama-3.1-8b:Q8_0", 41, idle=True, held_bytes=held),)

    def best(machine: Machine) -> str:
        return next(each.ref for each in ranked(Question(machine, Wish(), Learned()), catalogue()).choices)

    assert best(as_released(loaded, own)) == best(empty)
    assert best(loaded) != best(empty)
    bar = machine_view(loaded, None, own).devices[0]
    assert (bar.own_bytes, bar.own_name, bar.makes_room) == (18 * GIB, "llama-3.1-8b:Q8_0", True)
    assert bar.in_use_by == ("blender",)
    busy = (replace(own[0], idle=False),)
    assert as_released(loaded, busy).gpus[0].free_bytes == 4 * GIB
    assert not machine_view(loaded, None, busy).devices[0].makes_room


def test_where_nothing_fits_the_closest_model_does_not_depend_on_the_selection() -> None:
    machine = simulated_machine(["cpu:3:2.2:20"], read_machine())
    machine = replace(machine, gpus=())
    wish = Wish(n_ctx=131_072)
    found = [
        ranked(Question(machine, wish, Learned(), ref=ref), catalogue())
        for ref in (None, "llama-3.1-405b:Q4_K_M", "llama-3-8b:Q8_0")
    ]
    assert not [each for each in found[0].choices if each.fit.verdict != "no"]
    assert {each.closest for each in found} == {found[0].closest}
    closest = found[0].closest
    assert closest is not None
    assert closest.ref.startswith("llama-3.2-1b:")
    assert closest.lever is not None
    assert closest.lever.kind == "context"
    roomy = simulated_machine(["RTX 4090:24:22"], read_machine())
    assert ranked(Question(roomy, wish, Learned()), catalogue()).closest is None


def test_a_file_here_is_the_only_row_made_anew(window: ModelsWindow, tmp_path: Path) -> None:
    """What the ranking thread made is shown as it is; only rows with files have something to add."""
    window.wait(lambda: window.rows)
    ranking = window.state.ranking
    assert ranking is not None
    shown = window.state.view(None, local_only=False).rows
    assert all(one is other for one, other in zip(shown, ranking.rows, strict=True))
