"""A visit on which everything goes wrong while a key is in use, as a process of its own; its parent ends it.

    python -m tests.proofs.crash_visit MODEL        the key comes on standard input

Prints a JSON line after each stage. Must not print the key, nor soften the program but for one wait of a minute.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psutil
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QAccessible
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit, QPushButton

from tests.proofs.journey import wait

if TYPE_CHECKING:
    from app.session import Session

CLOUD = "openai:gpt-4o"


def main() -> int:
    from app.__main__ import prepare

    prepare()
    key = sys.stdin.readline().strip()
    from app import gui
    from app.crash import keep_logs
    from backends.paths import app_paths

    qt = QApplication(["nearfar"])
    session = gui.open_window(qt, keep_logs(app_paths().logs))
    visit = Visit(session, key)
    session.window.show()
    wait(lambda: session.first_steps.sheet is not None)
    assert session.first_steps.sheet is not None
    session.first_steps.sheet.reject()
    visit.choose(sys.argv[1])
    for stage in ("refused", "limited", "timed out"):
        visit.ask()
        wait(lambda: not session.runs.busy)
        say(stage=stage, said=visit.said(), accessible=visit.accessible())
    visit.ask(max_tokens=None)
    wait(lambda: all(visit.answers()))
    visit.kill_worker()
    wait(lambda: session.compare.outcomes()[0].phase == "failed")
    say(stage="streaming", said=visit.said(), accessible=visit.accessible(), dialogs=visit.dialogs)
    while True:
        QTest.qWait(100)


def say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


class Visit:
    """Types the key wherever it is asked for, and runs the same comparison again and again."""

    def __init__(self, session: Session, key: str) -> None:
        self.session = session
        self.dialogs = 0
        self._key = key
        self._typist = QTimer()
        self._typist.setInterval(30)
        self._typist.timeout.connect(self._type_key)
        self._typist.start()

    def choose(self, model: str) -> None:
        """The local model first, then the cloud model, for which the key is asked."""
        from backends.cloud.patience import Patience
        from backends.targets import parse_target

        engine: Any = self.session.bench.engine_for(parse_target(CLOUD))
        engine._patience = Patience(connect_s=5, read_s=1, silence_s=2, tail_s=1)
        lanes = self.session.compare.lane_ids
        for lane_id, target in zip(lanes, (f"local:{model}", CLOUD), strict=True):
            self.session.compare.lane(lane_id).set_target(target)
            self.session.compare.target_chosen.emit(lane_id, target)
        box = self.session.compare.prompt_box
        box.set_mode("race")
        QTest.keyClicks(box.editor, "What does tok/s mean?")

    def ask(self, max_tokens: int | None = 64) -> None:
        sampling = replace(self.session.bench.settings.sampling, max_tokens=max_tokens)
        self.session.compare.prompt_box.parameters.set_sampling(sampling)
        QTest.mouseClick(self.session.compare.prompt_box.run_button(), Qt.MouseButton.LeftButton)
        wait(lambda: self.session.runs.busy)

    def answers(self) -> list[str]:
        return [self.session.compare.lane(each).answer_text() for each in self.session.compare.lane_ids]

    def said(self) -> list[str]:
        return [str(outcome) for outcome in self.session.compare.outcomes()]

    def kill_worker(self) -> None:
        for child in psutil.Process().children(recursive=True):
            if "backends.local.worker" in child.cmdline() and child.num_threads() > 1:
                os.kill(child.pid, signal.SIGSEGV)

    def accessible(self) -> list[str]:
        """All that a screen reader could say now."""
        found: list[str] = []
        for widget in QApplication.allWidgets():
            interface = QAccessible.queryAccessibleInterface(widget)
            if interface is not None:
                found += [interface.text(kind) for kind in (QAccessible.Text.Name, QAccessible.Text.Description)]
                found += [interface.text(kind) for kind in (QAccessible.Text.Value, QAccessible.Text.Help)]
        return sorted({text for text in found if text})

    def _type_key(self) -> None:
        from widgets.key_dialog import KeyDialog

        for dialog in QApplication.topLevelWidgets():
            if isinstance(dialog, KeyDialog) and dialog.isVisible():
                field = dialog.findChild(QLineEdit)
                assert isinstance(field, QLineEdit)
                if not field.text():
                    QTest.keyClicks(field, self._key)
                    self.dialogs += 1
                    say(stage="dialog", accessible=self.accessible())
                    use = next(each for each in dialog.findChildren(QPushButton) if each.text() == "Use this key")
                    QTest.mouseClick(use, Qt.MouseButton.LeftButton)


if __name__ == "__main__":
    sys.exit(main())
