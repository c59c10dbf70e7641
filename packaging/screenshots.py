"""Writes docs/screenshots/ from the running program: real window, real worker, real practice endpoint.

Must not draw anything itself. Needs a display; `make screenshots` gives it a virtual one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEvent, QEventLoop, Qt
from PySide6.QtGui import QPixmap
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.samples import sample_prompts
from app.session import Session
from backends.paths import app_paths
from backends.workbench import Workbench

SIZE = (1280, 800)
LIMIT_S = 120.0


def wait(until: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Let the program work until something is true; RuntimeError where it never is."""
    end = time.monotonic() + limit_s
    while not until():
        if time.monotonic() > end:
            raise RuntimeError("the program did not get there in time")
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)
        QTest.qWait(10)


def ask(session: Session, prompt: str) -> None:
    """Type a prompt and press Run, as a person does, and wait for both answers."""
    box = session.compare.prompt_box
    box.set_prompt(prompt)
    QTest.mouseClick(box.run_button(), Qt.MouseButton.LeftButton)
    wait(lambda: session.runs.busy)
    wait(lambda: not session.runs.busy)
    wait(lambda: not session.compare.tick())


def shoot(session: Session, folder: Path, name: str) -> None:
    QTest.qWait(400)
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    save(session.window.grab(), folder / f"{name}.png")


def save(picture: QPixmap, path: Path) -> None:
    if not picture.save(str(path)):
        raise RuntimeError(f"{path} could not be written")
    print(path)


def go_through_first_steps(session: Session, folder: Path, theme: str) -> None:
    """Both steps as a new user sees them, then out by Skip: nothing is downloaded here."""
    wait(lambda: session.first_steps.sheet is not None)
    sheet = session.first_steps.sheet
    assert sheet is not None
    wait(lambda: bool(sheet.shown().machine.devices) and sheet.shown().offers is not None)
    for step, name in enumerate(("machine", "model"), 1):
        sheet.go_to(step)
        QTest.qWait(400)
        save(sheet.grab(), folder / f"first-steps-{name}-{theme}.png")
    sheet.reject()


def take_all(session: Session, folder: Path, theme: str) -> None:
    """The pages a person meets, in the order in which they meet them."""
    session.window.resize(*SIZE)
    session.window.show()
    wait(session.window.isVisible)
    QTest.qWait(1500)
    go_through_first_steps(session, folder, theme)
    shoot(session, folder, f"start-{theme}")
    prompts = dict(sample_prompts())
    ask(session, "What does tok/s mean?")
    shoot(session, folder, f"compare-{theme}")
    ask(session, list(prompts.values())[1])
    shoot(session, folder, f"table-{theme}")
    session.window.open_page("history")
    QTest.qWait(800)
    shoot(session, folder, f"history-{theme}")
    session.window.open_page("models")
    wait(lambda: session.models.state.machine is not None and session.models.state.ranking is not None)
    QTest.qWait(3000)  # the verdicts and the speed of the memory come in after the page
    shoot(session, folder, f"models-{theme}")
    session.window.open_page("settings")
    shoot(session, folder, f"settings-{theme}")


def session_in(theme: str, home: str) -> Session:
    """The program as it starts for somebody who chose this theme and has no history."""
    os.environ["NEARFAR_HOME"] = home
    qt = QApplication.instance() or QApplication(["nearfar"])
    assert isinstance(qt, QApplication)
    bench = Workbench(app_paths())
    bench.change(theme=theme)
    return Session(qt, bench, first_steps=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/screenshots"))
    parser.add_argument("--theme", choices=("light", "dark"), action="append")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for theme in arguments.theme or ("light", "dark"):
        with tempfile.TemporaryDirectory(prefix="nearfar-screenshots-") as home:
            session = session_in(theme, home)
            try:
                take_all(session, arguments.out, theme)
            finally:
                session.window.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
