"""The bare window that stands before the pages: as a process, closed early, and in the theme of last time."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from app import gui
from backends.paths import app_paths

LIMIT_S = 120

OPEN = """
    import sys
    from PySide6.QtCore import QTimer
    from PySide6.QtWidgets import QApplication, QLabel
    from app import gui
    from widgets import main_window
    class Window(main_window.MainWindow):
        def __init__(self, opening=""):
            super().__init__(opening)
            self.shown.connect(self.look)
        def look(self):
            print("BARE", self.centralWidget().text(), "app.session" in sys.modules, flush=True)
            {then}
        def add_page(self, key, *rest, **more):
            super().add_page(key, *rest, **more)
            print("PAGE", key, self.current_page(), flush=True)
            if key == "settings":
                QTimer.singleShot(300, self.leave)
        def leave(self):
            print("FOCUS", type(self.focusWidget()).__name__, flush=True)
            self.close()
    main_window.MainWindow = Window
    sys.exit(gui.main([]))
"""


def opened(then: str = "pass") -> subprocess.CompletedProcess[str]:
    code = textwrap.dedent(OPEN.format(then=then))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S, check=False)


def test_the_window_stands_before_what_fills_it() -> None:
    done = opened()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "BARE Opening … False"
    pages = [f"PAGE {key} compare" for key in ("compare", "models", "history", "settings")]
    assert lines[1:] == [*pages, "FOCUS GrowingEdit"], "a person may type at once"
    assert "Traceback" not in done.stderr


def test_a_window_that_is_closed_while_it_opens_just_goes() -> None:
    done = opened(then="self.close()")
    assert (done.returncode, done.stdout.splitlines()) == (0, ["BARE Opening … False"])
    assert not done.stderr


@pytest.mark.parametrize(
    ("text", "theme"),
    [
        ('{"theme": "dark"}', "dark"),
        ('{"theme": "light"}', "light"),
        ('{"theme": "system"}', "system"),
        ('{"theme": ["dark"]}', "system"),
        ("[]", "system"),
        ("{", "system"),
        ("\udcff", "system"),
        (None, "system"),
    ],
)
def test_the_theme_of_last_time_is_read_without_trusting_the_file(text: str | None, theme: str) -> None:
    path: Path = app_paths().settings_file
    if text is not None:
        path.parent.mkdir(parents=True)
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert gui.last_theme() == theme
