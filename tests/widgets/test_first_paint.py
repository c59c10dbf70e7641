"""The window is painted before anything heavy is imported."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from PySide6.QtWidgets import QApplication
from tests.heavy import HEAVY
from widgets import theme
from widgets.compare_page import ComparePage
from widgets.history_page import HistoryPage
from widgets.main_window import MainWindow
from widgets.settings_page import SettingsPage
app = QApplication([])
theme.apply(app, "light")
window = MainWindow()
pages = (ComparePage(), HistoryPage(), SettingsPage())
for key, page in zip(("compare", "history", "settings"), pages):
    window.add_page(key, key, key, page)
pages[0].add_lane("local:demo")
window.shown.connect(lambda: print("SHOWN", sorted(set(sys.modules) & HEAVY)))
window.show()
window.grab()
print("PAINTED", sorted(set(sys.modules) & HEAVY))
app.processEvents()
window.close()
"""


def test_first_paint_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["PAINTED []", "SHOWN []"]
