"""Opens the window. Must import nothing heavy before the first paint, and must not know what the pages do."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from app.crash import Teller
    from app.session import Session
    from backends.errors import Problem

log = logging.getLogger("nearfar")

NO_DISPLAY = """nearfar: there is no display, so the window cannot open. Nothing was started.
On a desktop, run it from a terminal inside the session. Over ssh, use ssh -X. Without a display, use the command line:
    nearfar run "What does tok/s mean?" --target local:demo --target practice
    nearfar doctor"""

BROKEN_QT = """nearfar: PySide6 {qt} makes Python {python} abort. Nothing was started.
Install what the project locks: run `make run` again, or use Python 3.12 or newer."""


NOT_OPENED = """nearfar: the window could not be opened. Your settings and your history are as they were.
Start it again; if that does not help, the command line works without the window. What happened {where}."""


def has_display() -> bool:
    """False where no window can open: on Linux without X11, Wayland or a platform named on purpose."""
    wanted = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in wanted)


def qt_is_safe(qt: str, python: tuple[int, int]) -> bool:
    """PySide6 6.12 drops references to None and True, which ends Python before 3.12."""
    return python >= (3, 12) or tuple(int(part) for part in qt.split(".")[:2]) < (6, 12)


def main(arguments: Sequence[str]) -> int:
    """Run the window until it is closed; returns the exit status."""
    if not has_display():
        print(NO_DISPLAY, file=sys.stderr)
        return 2
    # Before Qt: PySide6's import hook looks into every later module, which pydantic's lazy ones do not survive.
    importlib.import_module("pydantic.types")
    from PySide6.QtCore import qVersion

    if not qt_is_safe(qVersion(), sys.version_info[:2]):
        python = ".".join(str(part) for part in sys.version_info[:3])
        print(BROKEN_QT.format(qt=qVersion(), python=python), file=sys.stderr)
        return 2
    # Engine threads hand the interpreter back sooner, which keeps the window smooth (5 ms by default).
    sys.setswitchinterval(0.001)
    from PySide6.QtWidgets import QApplication

    from app.crash import keep_logs
    from backends.errors import NearfarError
    from backends.paths import app_paths

    qt = QApplication(["nearfar", *arguments])
    qt.setApplicationName("nearfar")
    qt.setApplicationDisplayName("Nearfar")
    qt.setDesktopFileName("nearfar")
    teller = keep_logs(app_paths().logs)
    try:
        session = open_window(qt, teller)
    except NearfarError as error:
        print(f"nearfar: {error}", file=sys.stderr)
        return 1
    except Exception:  # whatever it was, a person who clicked an icon is told where it is written
        teller.listener = lambda _problem: print(NOT_OPENED.format(where=teller.where), file=sys.stderr)
        log.critical("the window could not be opened", exc_info=True)
        return 1
    session.window.show()
    return qt.exec()


def open_window(qt: QApplication, teller: Teller) -> Session:
    """The whole window, not shown yet; from here on it is where unexpected errors are told."""
    from app.crash_notice import CrashNotice
    from app.session import Session
    from backends.workbench import Workbench

    bench = Workbench.open()
    teller.filter_of_logs.keys = bench.keys.all
    session = Session(qt, bench, first_steps=True)

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
