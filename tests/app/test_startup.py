"""The program as a process: what it imports before the first paint, and what it leaves when it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from app import gui
from tests.gguf_factory import write_script
from tests.processes import wait_gone

LIMIT_S = 60

FIRST_PAINT = """
    import json, sys
    from PySide6.QtWidgets import QApplication
    from app.session import Session
    from backends.workbench import Workbench
    from tests.heavy import HEAVY
    qt = QApplication(["nearfar"])
    session = Session(qt, Workbench.open())
    def look():
        print(json.dumps(sorted(HEAVY & set(sys.modules))), flush=True)
    session.window.shown.connect(look)
    session.window.shown.connect(session.window.close)
    session.window.show()
    session.window.grab()
    look()
    sys.exit(qt.exec())
"""

ASK_AND_WAIT = """
    import sys
    from dataclasses import replace
    import psutil
    from PySide6.QtCore import QTimer
    from PySide6.QtWidgets import QApplication
    from app.session import Session
    from backends.workbench import Workbench
    qt = QApplication(["nearfar"])
    session = Session(qt, Workbench.open())
    page = session.compare
    page.lane(page.lane_ids[0]).set_target("local:" + sys.argv[1])
    page.prompt_box.parameters.set_sampling(replace(session.bench.settings.sampling, max_tokens=None))
    page.set_prompt("go")
    page.prompt_box.set_mode("race")
    session.window.shown.connect(lambda: QTimer.singleShot(100, page.prompt_box.submit))
    def look():
        texts = [page.lane(each).answer_text() for each in page.lane_ids]
        if all(texts):
            print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
            timer.stop()
    timer = QTimer()
    timer.timeout.connect(look)
    timer.start(20)
    session.window.show()
    sys.exit(qt.exec())
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )


def test_nothing_heavy_is_imported_before_the_first_paint() -> None:
    child = start(FIRST_PAINT)
    out, errors = child.communicate(timeout=LIMIT_S)
    assert child.returncode == 0, errors
    painted, shown = map(json.loads, out.splitlines())
    assert painted == []
    assert shown == []


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_killing_the_app_leaves_no_child(tmp_path: Path, stopped: bool) -> None:
    """Also where the worker is stopped, as by a debugger, and cannot notice anything itself."""
    words = tuple(f" word{number}".encode() for number in range(40))
    model = write_script(tmp_path / "endless.gguf", words, loop_to=0, n_ctx_train=65_536)
    app = start(ASK_AND_WAIT, str(model))
    assert app.stdout is not None
    children = [int(pid) for pid in app.stdout.readline().split()]
    assert len(children) >= 2
    if stopped and sys.platform == "linux":
        for child in children:
            psutil.Process(child).suspend()
    os.kill(app.pid, signal.SIGKILL)
    app.communicate(timeout=LIMIT_S)
    assert wait_gone(*children)


def test_without_a_display_it_says_what_to_do() -> None:
    unseen = {name: value for name, value in os.environ.items() if "DISPLAY" not in name and name != "QT_QPA_PLATFORM"}
    done = subprocess.run(
        [sys.executable, "-m", "app"],
        capture_output=True,
        encoding="utf-8",
        env=unseen,
        timeout=LIMIT_S,
        check=False,
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("every other desktop system always has a display")
    assert done.returncode == 2
    assert "no display" in done.stderr
    assert "nearfar run" in done.stderr


def test_the_pyside_that_aborts_old_pythons_is_refused() -> None:
    assert gui.qt_is_safe("6.11.3", (3, 11))
    assert gui.qt_is_safe("6.12.0", (3, 12))
    assert not gui.qt_is_safe("6.12.0", (3, 11))
    assert not gui.qt_is_safe("6.13.1", (3, 11))
