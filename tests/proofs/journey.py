"""A whole visit to the real program, as a process of its own: start, load, ask, compare, search, export, quit.

    python -m tests.proofs.journey PROMPT TARGET [TARGET...]

Prints one JSON object: what the person saw, and every use of an internet address that Python's audit events told of.
Must not judge any of it, nor soften the program: it starts as `python -m app` does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable

SEEN: list[str] = []
INTERNET = (2, 10, 23, 28, 30)  # AF_INET, and AF_INET6 on the systems there are
LIMIT_S = 120.0


def _hear(event: str, args: tuple[object, ...]) -> None:
    """Before the program's own guard, so that nothing it refuses is missed."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        SEEN.append(f"{event} {args[0]}")
    elif event.startswith("socket.") and int(getattr(args[0] if args else None, "family", 0)) in INTERNET:
        SEEN.append(f"{event} {args[1] if len(args) > 1 else ''}")
    elif event == "socket.__new__" and len(args) > 1 and args[1] in INTERNET:
        SEEN.append(f"{event} {args[1]}")


def main() -> int:
    sys.addaudithook(_hear)
    prompt, targets = sys.argv[1], sys.argv[2:]
    from app.__main__ import prepare

    prepare()
    from PySide6.QtWidgets import QApplication

    from app import gui
    from app.crash import keep_logs
    from backends.paths import app_paths

    qt = QApplication(["nearfar"])
    qt.setApplicationName("nearfar")
    session = gui.open_window(qt, keep_logs(app_paths().logs))
    visit = Visit(session, prompt)
    try:
        report = visit.go(targets)
    finally:
        session.window.close()
    report["contacts"] = [[each.purpose, each.host, each.port, each.outcome] for each in session.bench.egress.log()]
    report["connections"] = session.bench.egress.snapshot().connections
    report["internet"] = SEEN
    print(json.dumps(report))
    return 0


class Visit:
    """One person at the window. `session` is an app.session.Session, imported late so that the hook comes first."""

    def __init__(self, session: object, prompt: str) -> None:
        from app.session import Session

        assert isinstance(session, Session)
        self.session = session
        self.prompt = prompt

    def go(self, targets: list[str]) -> dict[str, object]:
        from PySide6.QtGui import QGuiApplication

        session = self.session
        session.window.show()
        wait(lambda: session.first_steps.sheet is not None)
        sheet = session.first_steps.sheet
        assert sheet is not None
        wait(lambda: bool(sheet.shown().machine.devices))
        sheet.reject()
        for place, target in enumerate(targets):
            session.compare.lane(session.compare.lane_ids[place]).set_target(target)
        session.window.open_page("models")
        wait(lambda: session.models.state.machine is not None)
        session.window.open_page("compare")
        self.ask()
        found = self.search()
        QGuiApplication.clipboard().setText("")
        return {
            "answers": [session.compare.lane(each).answer_text() for each in session.compare.lane_ids],
            "phases": [outcome.phase for outcome in session.compare.outcomes()],
            "chip": session.window._privacy.text(),
            "found": len(found),
            "exported": [self.export(each) for each in found],
        }

    def ask(self) -> None:
        from PySide6.QtCore import Qt
        from PySide6.QtTest import QTest

        box = self.session.compare.prompt_box
        QTest.keyClicks(box.editor, self.prompt)
        QTest.mouseClick(box.run_button(), Qt.MouseButton.LeftButton)
        wait(lambda: self.session.runs.busy)
        wait(lambda: not self.session.runs.busy)
        wait(lambda: not self.session.compare.tick())

    def search(self) -> tuple[str, ...]:
        """The comparisons that hold the last word of the prompt."""
        from PySide6.QtTest import QTest

        self.session.window.open_page("history")
        if self.session.bench.settings.keep_history:
            wait(lambda: bool(self.session.history.shown_ids()))
        self.session.history.focus_main()
        told: list[str] = []
        self.session.history.search_changed.connect(told.append)
        QTest.keyClicks(self.session.history._search, self.prompt.split()[-1])
        wait(lambda: bool(told))
        QTest.qWait(300)
        return self.session.history.shown_ids()

    def export(self, comparison_id: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "app", "history", "export", comparison_id],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout if done.returncode == 0 else f"status {done.returncode}: {done.stderr}"


def wait(until: Callable[[], bool]) -> None:
    """Let the program work until something is so; RuntimeError where it never is."""
    from PySide6.QtTest import QTest

    end = time.monotonic() + LIMIT_S
    while not until():
        if time.monotonic() > end:
            raise RuntimeError("the program did not get there in time")
        QTest.qWait(10)


if __name__ == "__main__":
    sys.exit(main())
