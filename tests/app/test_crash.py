"""Errors that nobody expected, in a process of their own: the log has them, the person reads one sentence."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from backends.paths import app_paths

SECRET = "sk-canary-8471"

WINDOW = """
    import asyncio, sys, threading
    from PySide6.QtCore import QTimer
    from PySide6.QtWidgets import QApplication
    from app import gui
    from app.crash import keep_logs
    from backends.paths import app_paths
    qt = QApplication(["nearfar"])
    teller = keep_logs(app_paths().logs)
    session = gui.open_window(qt, teller)
    session.window.open_page(sys.argv[2])
    told = []
    page = session.settings if sys.argv[2] == "settings" else session.compare
    say = page.show_problem
    def show(problem):
        told.append(threading.current_thread() is threading.main_thread())
        say(problem)
    page.show_problem = show
    def fail(*_):
        raise RuntimeError("{secret}")
    async def afail():
        fail()
    kinds = {
        "slot": lambda: session.window.page_chosen.connect(fail) and session.window.page_chosen.emit("compare"),
        "timer": lambda: QTimer.singleShot(0, fail),
        "thread": lambda: threading.Thread(target=fail).start(),
        "background": lambda: session.engine.ask(afail(), lambda _none: None),
        "answer": lambda: session.engine.ask(asyncio.sleep(0), fail),
    }
    def begin():
        for _ in range(50):
            kinds[sys.argv[1]]()
    def look():
        if page.problem_text() and len(told) >= 1:
            timer.stop()
            QTimer.singleShot(300, end)
    def end():
        print(session.window.current_page(), told, page.problem_text())
        session.window.close()
    timer = QTimer()
    timer.timeout.connect(look)
    session.window.shown.connect(lambda: QTimer.singleShot(0, begin))
    session.window.show()
    timer.start(20)
    QTimer.singleShot(40_000, end)
    sys.exit(qt.exec())
"""

NO_SESSION = """
    import sys
    import app.session
    from app import gui
    def broken(*_):
        raise RuntimeError("{secret}")
    app.session.ComparePage = broken
    sys.exit(gui.main([]))
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code).replace("{secret}", SECRET), *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def log_file() -> Path:
    return app_paths().logs / "nearfar.log"


@pytest.mark.parametrize("kind", ["slot", "timer", "thread", "background", "answer"])
def test_an_unexpected_error_is_one_calm_sentence_in_the_window(kind: str) -> None:
    done = run(WINDOW, kind, "compare")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("compare [True] Something went wrong inside Nearfar."), "once, on the GUI thread"
    assert str(log_file()) in done.stdout
    assert SECRET not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "Traceback" in log_file().read_text()
    assert SECRET not in log_file().read_text()


def test_it_is_told_on_the_page_that_is_open() -> None:
    assert run(WINDOW, "timer", "settings").stdout.startswith("settings [True] Something went wrong")


def test_a_window_that_cannot_be_built_says_so_and_ends() -> None:
    done = run(NO_SESSION)
    assert done.returncode == 1
    assert done.stderr.startswith("nearfar: the window could not be opened.")
    assert str(log_file()) in done.stderr
    assert SECRET not in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in log_file().read_text()


def test_without_a_window_the_sentence_goes_to_stderr() -> None:
    code = "from app.crash import keep_logs\nfrom backends.paths import app_paths\nkeep_logs(app_paths().logs)\n"
    done = run(code + "raise RuntimeError('{secret}')\n")
    assert done.returncode == 1
    assert done.stderr.startswith("nearfar: Something went wrong inside Nearfar.")
    assert SECRET not in done.stderr


def test_what_goes_wrong_while_tidying_up_is_for_the_log_alone() -> None:
    code = "from app.crash import keep_logs\nfrom backends.paths import app_paths\nkeep_logs(app_paths().logs)\n"
    done = run(code + "class Bad:\n    def __del__(self):\n        raise RuntimeError('oops')\nBad()\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "unexpected error while tidying up" in log_file().read_text()
    assert "RuntimeError" in log_file().read_text()
    assert "oops" not in log_file().read_text()
