"""A model that would not fit now, at the real window with a real worker: the warning, and each way out of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.session import Session
from backends.devices import machine
from backends.devices.machine import read_machine
from backends.devices.records import MemoryInfo
from backends.devices.simulated import simulated_machine
from backends.fit.placement import place
from backends.fit.ranking import facts_of
from backends.fit.records import Wish
from backends.models.catalogue import find
from tests.app.models_window import press
from tests.app.test_window import opened, phases, press_run, texts, type_prompt, use, wait_for
from tests.gguf_factory import write_script
from widgets.load_warning_dialog import LoadWarningDialog
from widgets.model_values import LeverLine, LoadWarning

GIB = 2**30


class Memory:
    """What the machine says is free."""

    def __init__(self) -> None:
        self.free_bytes = 8 * GIB

    def read(self) -> MemoryInfo:
        return MemoryInfo(16 * GIB, self.free_bytes, 0, 0)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    made = Memory()
    monkeypatch.setattr(machine, "read_memory", made.read)
    return made


@pytest.fixture
def model(tmp_path: Path) -> Path:
    words = tuple(f" word{number}".encode() for number in range(20))
    return write_script(tmp_path / "talker.gguf", words, n_ctx_train=65_536)


@pytest.fixture
def session(qtbot: QtBot, qapp: QApplication, memory: Memory) -> Iterator[Session]:
    yield from opened(qtbot, qapp)


def refused(qtbot: QtBot, session: Session, model: Path) -> LoadWarningDialog:
    """Run it in the first lane, beside practice; the warning that comes up."""
    use(session, 0, f"local:{model}")
    type_prompt(qtbot, session, "go")
    press_run(qtbot, session)
    wait_for(qtbot, lambda: phases(session)[0] == "failed")
    problem = session.compare.lane(session.compare.lane_ids[0]).state.problem
    assert problem is not None
    assert problem.code == "would_not_fit"
    wait_for(qtbot, lambda: session.guard.dialog is not None)
    dialog = session.guard.dialog
    assert dialog is not None
    return dialog


def answered(qtbot: QtBot, session: Session) -> None:
    wait_for(qtbot, lambda: not session.runs.busy and phases(session) == ["done", "done"])
    wait_for(qtbot, lambda: not session.compare.tick())
    assert "word19" in texts(session)[0]


def n_ctx(session: Session) -> int:
    report = session.compare.lane(session.compare.lane_ids[0]).state.report
    assert report is not None
    return report.n_ctx


def test_load_anyway_answers(qtbot: QtBot, session: Session, memory: Memory, model: Path) -> None:
    memory.free_bytes = 64 * 2**20
    dialog = refused(qtbot, session, model)
    assert "would not fit now" in dialog.windowTitle()
    assert "64.0 MiB is free" in dialog._needs.text()
    press(dialog, "Load anyway")
    answered(qtbot, session)
    assert session.guard.dialog is None


def test_what_was_freed_is_seen_when_it_is_checked_again(
    qtbot: QtBot, session: Session, memory: Memory, model: Path
) -> None:
    memory.free_bytes = 64 * 2**20
    dialog = refused(qtbot, session, model)
    memory.free_bytes = 96 * 2**20
    press(dialog, "Check again")
    wait_for(qtbot, lambda: "96.0 MiB is free" in dialog._needs.text())
    memory.free_bytes = 8 * GIB
    press(dialog, "Check again")
    answered(qtbot, session)


def test_what_fits_by_now_is_asked_again_without_a_warning(
    qtbot: QtBot, session: Session, memory: Memory, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the refusal and the second look something was closed: “0 bytes too little” would be nonsense."""
    memory.free_bytes = 64 * 2**20
    look_again = session.guard._look_again
    opened: list[str] = []

    def warning(*_told: object) -> LoadWarning:
        opened.append("warning")
        return LoadWarning("m", "d", 1, 1)

    monkeypatch.setattr(session.guard, "_warning", warning)

    async def later(*asked: object) -> object:
        memory.free_bytes = 8 * GIB
        return await look_again(*asked)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(session.guard, "_look_again", later)
    use(session, 0, f"local:{model}")
    type_prompt(qtbot, session, "go")
    press_run(qtbot, session)
    wait_for(qtbot, lambda: memory.free_bytes == 8 * GIB)
    answered(qtbot, session)
    assert opened == []
    assert session.guard.dialog is None


def test_cancel_loads_nothing_and_keeps_the_prompt(qtbot: QtBot, session: Session, memory: Memory, model: Path) -> None:
    memory.free_bytes = 64 * 2**20
    dialog = refused(qtbot, session, model)
    dialog.reject()
    wait_for(qtbot, lambda: not session.runs.busy)
    assert phases(session) == ["failed", "done"]
    assert session.compare.prompt_box.prompt() == "go"
    assert session.guard.dialog is None


def test_a_shorter_context_is_set_and_the_lane_asked_again(
    qtbot: QtBot, session: Session, memory: Memory, model: Path
) -> None:
    memory.free_bytes = 64 * 2**20
    dialog = refused(qtbot, session, model)
    memory.free_bytes = 8 * GIB
    dialog.lever_chosen.emit(LeverLine("context", "4096", "ram", 0, 1))
    dialog.accept()
    answered(qtbot, session)
    assert session.bench.settings.n_ctx == 4096
    assert n_ctx(session) == 4096


def test_another_context_in_the_settings_loads_the_model_anew(qtbot: QtBot, session: Session, model: Path) -> None:
    use(session, 0, f"local:{model}")
    type_prompt(qtbot, session, "go")
    press_run(qtbot, session)
    answered(qtbot, session)
    assert n_ctx(session) == 8192
    session._save(n_ctx=2048)
    press_run(qtbot, session)
    assert session.runs.busy
    answered(qtbot, session)
    assert n_ctx(session) == 2048


def test_the_warning_names_the_device_that_lacks_most(session: Session) -> None:
    """The GPU has room for its layers; it is the machine's memory that is short."""
    here = simulated_machine(["RTX 4090:24:5", "cpu:16:3:50"], read_machine())
    fit = place(facts_of(*find("llama-3.1-8b:Q8_0")), here, Wish())
    assert (fit.verdict, len(fit.gpus)) == ("no", 1)
    warning = session.guard._warning("llama-3.1-8b:Q8_0", fit, ())
    assert warning.device == "this machine's memory"
    assert (warning.needs_bytes, warning.free_bytes) == (fit.host.total_bytes, 3 * GIB)
