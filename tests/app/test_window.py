"""A person at the real window: real worker, real practice endpoint, real history. Must not reach into engines."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.session import Session
from backends.paths import app_paths
from backends.workbench import Workbench
from tests.gguf_factory import write_script
from widgets import theme

QUESTION = "What does tok/s mean?"
LIMIT_MS = 60_000


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = tuple(f" word{number}".encode() for number in range(40))
    return write_script(tmp_path_factory.mktemp("models") / "endless.gguf", words, loop_to=0, n_ctx_train=65_536)


@pytest.fixture
def session(qtbot: QtBot, qapp: QApplication) -> Iterator[Session]:
    yield from opened(qtbot, qapp)


def opened(qtbot: QtBot, qapp: QApplication) -> Iterator[Session]:
    made = Session(qapp, Workbench(app_paths()))
    made.window.show()
    qtbot.waitUntil(lambda: made.status.begun)
    yield made
    made.window.close()
    made.window.deleteLater()
    theme.apply(qapp, "light")


def choose(**settings: object) -> None:
    """What the person chose in an earlier session."""
    bench = Workbench(app_paths())
    bench.change(**settings)
    assert asyncio.run(bench.save()) is None


def type_prompt(qtbot: QtBot, session: Session, text: str) -> None:
    editor = session.compare.prompt_box.editor
    editor.clear()
    QTest.keyClicks(editor, text)


def press_run(qtbot: QtBot, session: Session) -> None:
    QTest.mouseClick(session.compare.prompt_box.run_button(), Qt.MouseButton.LeftButton)


def wait_for(qtbot: QtBot, done: Callable[[], bool], limit_ms: int = LIMIT_MS) -> None:
    qtbot.waitUntil(done, timeout=limit_ms)


def compare(qtbot: QtBot, session: Session, text: str = QUESTION) -> None:
    type_prompt(qtbot, session, text)
    press_run(qtbot, session)
    assert session.runs.busy
    wait_for(qtbot, lambda: not session.runs.busy)
    wait_for(qtbot, lambda: not session.compare.tick())


def phases(session: Session) -> list[str]:
    return [outcome.phase for outcome in session.compare.outcomes()]


def texts(session: Session) -> list[str]:
    return [session.compare.lane(lane_id).answer_text() for lane_id in session.compare.lane_ids]


def ask_endlessly(qtbot: QtBot, session: Session, model: Path) -> None:
    """Run a model in the first lane that goes on until it is stopped, and wait until it is under way."""
    box = session.compare.prompt_box
    box.parameters.set_sampling(replace(session.bench.settings.sampling, max_tokens=None))
    use(session, 0, f"local:{model}")
    type_prompt(qtbot, session, "go")
    press_run(qtbot, session)
    wait_for(qtbot, lambda: "word5" in texts(session)[0])


def use(session: Session, place: int, target: str) -> None:
    session.compare.lane(session.compare.lane_ids[place]).set_target(target)


def worker_of(model: Path) -> psutil.Process:
    """The worker that holds this model, found as a person's task manager would find it."""
    for child in psutil.Process().children(recursive=True):
        if "backends.local.worker" in child.cmdline() and any(Path(each.path) == model for each in child.memory_maps()):
            return child
    raise AssertionError("no worker holds the model")


def test_a_whole_comparison(qtbot: QtBot, session: Session) -> None:
    box = session.compare.prompt_box
    box.parameters.set_sampling(replace(session.bench.settings.sampling, temperature=0.0))
    compare(qtbot, session)
    assert phases(session) == ["done", "done"]
    here, served = texts(session)
    assert len(here) > 100
    assert here == served
    results = [outcome.result for outcome in session.compare.outcomes()]
    assert all(result is not None and result.ttft_ms and result.usage.completion_tokens for result in results)
    assert "TTFT" in session.compare.verdict_text()
    assert "Nothing was paid" in session.compare.verdict_text()
    assert session.compare.prompt_box.prompt() == QUESTION


def test_history_keeps_it_and_opens_it_again(qtbot: QtBot, session: Session) -> None:
    compare(qtbot, session)
    before = texts(session)
    session.window.open_page("history")
    wait_for(qtbot, lambda: len(session.history.shown_ids()) == 1)
    session.history.open_requested.emit(session.history.shown_ids()[0])
    wait_for(qtbot, lambda: session.window.current_page() == "compare")
    wait_for(qtbot, lambda: texts(session) == before)
    assert phases(session) == ["done", "done"]


def test_keep_nothing_keeps_nothing(qtbot: QtBot, qapp: QApplication) -> None:
    choose(keep_history=False)
    for session in opened(qtbot, qapp):
        compare(qtbot, session)
        session.window.open_page("history")
        qtbot.wait(300)
        assert session.history.shown_ids() == ()
    assert not app_paths().history_file.exists()


def test_switching_to_keep_nothing_keeps_nothing_from_then_on(qtbot: QtBot, session: Session) -> None:
    session.history.keep_history_toggled.emit(False)
    compare(qtbot, session, "a question about canary8471")
    session.window.close()
    kept = app_paths().history_file
    assert not kept.exists() or b"canary8471" not in kept.read_bytes()


def test_stop_keeps_the_text_and_the_next_question_works(qtbot: QtBot, session: Session, endless: Path) -> None:
    ask_endlessly(qtbot, session, endless)
    QTest.keyClick(session.compare.prompt_box.editor, Qt.Key.Key_Escape)
    wait_for(qtbot, lambda: not session.runs.busy, 5_000)
    assert phases(session) == ["stopped", "stopped"]
    assert "word5" in texts(session)[0]
    use(session, 0, "local:demo")
    compare(qtbot, session)
    assert phases(session) == ["done", "done"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_in_mid_answer(qtbot: QtBot, session: Session, endless: Path, number: int) -> None:
    ask_endlessly(qtbot, session, endless)
    os.kill(worker_of(endless).pid, number)
    wait_for(qtbot, lambda: phases(session)[0] == "failed", 2_000)
    assert "word5" in texts(session)[0]
    wait_for(qtbot, lambda: not session.runs.busy)
    first = session.compare.lane_ids[0]
    session.compare.lane_retry_requested.emit(first)
    wait_for(qtbot, lambda: phases(session)[0] == "answering")
    session.compare.stop_requested.emit()
    wait_for(qtbot, lambda: not session.runs.busy)


def test_a_worker_that_hangs_in_mid_answer(qtbot: QtBot, session: Session, endless: Path) -> None:
    ask_endlessly(qtbot, session, endless)
    worker_of(endless).suspend()
    first = session.compare.lane(session.compare.lane_ids[0])
    wait_for(qtbot, lambda: "answer" in first.state.notice, 2_500)
    assert "word5" in texts(session)[0]
    session.compare.lane_retry_requested.emit(first.lane_id)
    wait_for(qtbot, lambda: first.state.phase == "answering" and first.state.notice == "", 10_000)
    session.compare.stop_requested.emit()
    wait_for(qtbot, lambda: not session.runs.busy)


def test_a_prompt_longer_than_the_context_is_told_before_and_kept(qtbot: QtBot, session: Session) -> None:
    long = "word " * 5_000
    session.compare.set_prompt(long)
    press_run(qtbot, session)
    wait_for(qtbot, lambda: not session.runs.busy)
    assert phases(session) == ["failed", "failed"]
    first = session.compare.lane(session.compare.lane_ids[0])
    assert first.state.problem is not None
    assert first.state.problem.code == "prompt_too_long"
    assert session.compare.prompt_box.prompt().strip() == long.strip()
    compare(qtbot, session)
    assert phases(session) == ["done", "done"]


def test_local_only_refuses_a_cloud_lane(qtbot: QtBot, session: Session) -> None:
    session.window.local_only_toggled.emit(True)
    use(session, 1, "openai:gpt-4o")
    type_prompt(qtbot, session, QUESTION)
    press_run(qtbot, session)
    assert not session.runs.busy
    assert session.bench.egress.snapshot().connections == 0


def test_closing_in_mid_answer_leaves_no_child(qtbot: QtBot, qapp: QApplication, endless: Path) -> None:
    for session in opened(qtbot, qapp):
        ask_endlessly(qtbot, session, endless)
        children = psutil.Process().children(recursive=True)
        assert children
    gone, left = psutil.wait_procs(children, timeout=2)
    assert not left
    assert gone


def test_the_choices_survive_a_restart(qtbot: QtBot, qapp: QApplication, endless: Path) -> None:
    for session in opened(qtbot, qapp):
        use(session, 0, f"local:{endless}")
        session.compare.mode_chosen.emit("race")
    for session in opened(qtbot, qapp):
        assert session.compare.lane(session.compare.lane_ids[0]).target == f"local:{endless}"
        assert session.compare.prompt_box.mode() == "race"
    deadline = time.monotonic() + 5
    while psutil.Process().children() and time.monotonic() < deadline:
        qtbot.wait(50)
