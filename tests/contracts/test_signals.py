"""Guards against a PySide6 that loses references to None and True, as 6.12.0 does before Python 3.12. Runs a child.

Such a Qt aborts the whole program after some thousands of calls, so the test needs a process to lose.
"""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from PySide6.QtCore import QObject, Signal

class Sender(QObject):
    said = Signal(bool)

heard = []
sender = Sender()
sender.said.connect(heard.append)
before = sys.getrefcount(None), sys.getrefcount(True)
for _ in range(10_000):
    sender.said.emit(True)
    sender.setObjectName("x")
heard_count = len(heard)
heard.clear()
after = sys.getrefcount(None), sys.getrefcount(True)
print(heard_count, max(abs(b - a) for a, b in zip(after, before)) < 1_000)
"""


def test_ten_thousand_signals_and_void_calls_cost_no_reference() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "10000 True\n"), done.stderr
