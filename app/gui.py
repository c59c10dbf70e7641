"""Opens the window. Must import nothing heavy before the first paint, and must not know what the pages do."""

from __future__ import annotations

import builtins
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backends.paths import app_paths

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from app.crash import Teller
    from app.session import Session
    from backends.errors import Problem
    from widgets.main_window import MainWindow
    from widgets.values import ThemeChoice

NO_DISPLAY = """nearfar: there is no display, so the window cannot open. Nothing was started.
On a desktop, run it from a terminal inside the session. Over ssh, use ssh -X. Without a display, use the command line:
    nearfar run "What does tok/s mean?" --target local:demo --target practice
    nearfar doctor"""

BROKEN_QT = """nearfar: PySide6 {qt} makes Python {python} abort. Nothing was started.
Install what the project locks: run `make run` again, or use Python 3.12 or newer."""


NOT_OPENED = """nearfar: the window could not be opened. Your settings and your history are as they were.
Start it again; if that does not help, the command line works without the window. What happened {where}."""


SETTLED_MS = 4000  # after the window was filled; the first look at the machine takes two or three seconds


def has_display() -> bool:
    """False where no window can open: on Linux without X11, Wayland or a platform named on purpose."""
    wanted = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in wanted)


def qt_is_safe(qt: str, python: tuple[int, int]) -> bool:
    """PySide6 6.12 drops references to None and True, which ends Python before 3.12."""
    return python >= (3, 12) or tuple(int(part) for part in qt.split(".")[:2]) < (6, 12)


def main(arguments: Sequence[str]) -> int:
    """Run the window until it is closed; returns the exit status.

    The bare window stands first. What fills it takes most of a second to import, which another thread does.
    """
    if not has_display():
        print(NO_DISPLAY, file=sys.stderr)
        return 2
    from PySide6.QtCore import qVersion

    if not qt_is_safe(qVersion(), sys.version_info[:2]):
        python = ".".join(str(part) for part in sys.version_info[:3])
        print(BROKEN_QT.format(qt=qVersion(), python=python), file=sys.stderr)
        return 2
    import_as_python_does()
    # Engine threads hand the interpreter back sooner, which keeps the window smooth (5 ms by default).
    sys.setswitchinterval(0.001)
    from PySide6.QtWidgets import QApplication

    from app.opening import Opening
    from widgets import theme
    from widgets.main_window import MainWindow

    qt = QApplication(["nearfar", *arguments])
    qt.setApplicationName("nearfar")
    qt.setApplicationDisplayName("Nearfar")
    qt.setDesktopFileName("nearfar")
    theme.apply_bare(qt, last_theme())
    window = MainWindow(opening="Opening …")
    opening = Opening(qt, window, fill_window)
    window.show()
    status = qt.exec()
    opening.end()
    return status


def import_as_python_does() -> None:
    """Take back the hook that PySide6 puts into every import, for `from __future__`-like switches that we do not use.

    It looks into each module on the way, which costs 15 MB and a tenth of the start, and which pydantic's lazily made
    names do not survive.
    """
    plain = getattr(builtins, "__orig_import__", None)
    if plain is not None:
        builtins.__import__ = plain


def last_theme() -> ThemeChoice:
    """The theme of the settings file, read without the code that checks settings: that comes after the first paint."""
    try:
        chosen = json.loads(app_paths().settings_file.read_text(encoding="utf-8")).get("theme")
    except (OSError, ValueError, AttributeError):
        return "system"
    return chosen if chosen in ("light", "dark") else "system"


def fill_window(qt: QApplication, window: MainWindow) -> Session | None:
    """Open the pages in the window; None where that cannot be, which is then told."""
    import logging

    from app.crash import keep_logs
    from backends.errors import NearfarError

    teller = keep_logs(app_paths().logs)
    try:
        session = open_window(qt, teller, window)
    except NearfarError as error:
        print(f"nearfar: {error}", file=sys.stderr)
    except Exception:  # whatever it was, a person who clicked an icon is told where it is written
        teller.listener = lambda _problem: print(NOT_OPENED.format(where=teller.where), file=sys.stderr)
        logging.getLogger("nearfar").critical("the window could not be opened", exc_info=True)
    else:
        _settle_later(session)
        return session
    return None


def _settle_later(session: Session) -> None:
    """Only here, where one session lasts as long as the program: what is frozen is never collected."""
    import asyncio

    from PySide6.QtCore import QTimer

    from app.memory import freeze, give_back

    def settle() -> None:
        freeze()
        session.engine.ask(asyncio.to_thread(give_back), lambda _none: None)

    QTimer.singleShot(SETTLED_MS, session, settle)


def open_window(qt: QApplication, teller: Teller, window: MainWindow | None = None) -> Session:
    """The whole window, not shown yet unless it is given; from here on it is where unexpected errors are told."""
    from app.crash_notice import CrashNotice
    from app.session import Session
    from backends.workbench import Workbench

    bench = Workbench.open()
    teller.filter_of_logs.keys = bench.keys.all
    session = Session(qt, bench, first_steps=True, window=window)

    def show(problem: Problem) -> None:
        match session.window.current_page():
            case "history":
                session.history.show_problem(problem)
            case "settings":
                session.settings.show_problem(problem)
            case "models":
                session.models_page.show_problem(problem)
            case _:
                session.compare.show_problem(problem)

    teller.listener = CrashNotice(show, session.window).tell
    session.window.closing.connect(lambda: setattr(teller, "listener", None))
    return session
