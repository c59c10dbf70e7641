"""How soon the window stands, and what the app takes at rest, beside a bare PySide6 window on the same display.

    start   from starting Python to the first exposure of the mapped window; bare and ours in turns
    rest    CPU over some seconds with the window open and nothing asked, resident memory, threads' wake-ups aside

On Linux without a display it starts Xvfb. Must not reach into the app: it only listens for the window to be mapped.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
from figures import Figure, add_arguments, finish

ROOT = Path(__file__).resolve().parents[1]
MEBI = 2**20
START_AIM, IDLE_AIM_PERCENT, RESIDENT_AIM_MB = 1.5, 0.5, 130.0
SETTLE_S = 8.0  # what the app does of its own: fills the window, looks at the machine

LISTEN = """
import sys, time
from PySide6.QtCore import QEvent, QObject
class Mapped(QObject):
    def eventFilter(self, watched, event):
        if event.type() == QEvent.Type.Expose:
            watched.removeEventFilter(self)
            heavy = [name for name in HEAVY if name in sys.modules]
            print("MAPPED", time.monotonic_ns(), *heavy, flush=True)
        return False
"""
BARE = f"""
HEAVY = ()
{LISTEN}
from PySide6.QtWidgets import QApplication, QLabel, QMainWindow
qt = QApplication([])
window, listener = QMainWindow(), Mapped()
window.setCentralWidget(QLabel("Nearfar"))
window.resize(1280, 800)
window.winId()
window.windowHandle().installEventFilter(listener)
window.show()
qt.exec()
"""
OURS = f"""
from app import gui
from tests.heavy import HEAVY
from widgets import main_window
{LISTEN}
class Window(main_window.MainWindow):
    def __init__(self, opening=""):
        super().__init__(opening)
        self.listener = Mapped()
        self.winId()
        self.windowHandle().installEventFilter(self.listener)
main_window.MainWindow = Window
gui.main([])
"""


@contextlib.contextmanager
def display() -> Iterator[None]:
    """A display of its own where there is none."""
    if not sys.platform.startswith("linux") or os.environ.get("DISPLAY"):
        yield
        return
    program = shutil.which("Xvfb")
    if program is None:
        raise SystemExit("no display, and no Xvfb to make one")
    read, write = os.pipe()
    argv = [program, "-displayfd", str(write), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"]
    server = subprocess.Popen(argv, pass_fds=(write,), stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as said:
        os.environ["DISPLAY"] = f":{said.readline().strip()}"
    os.environ["QT_QPA_PLATFORM"] = "xcb"
    try:
        yield
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def started(code: str) -> Iterator[tuple[subprocess.Popen[str], float, list[str]]]:
    """The process, milliseconds until its window is mapped, and the heavy modules that were imported by then."""
    began = time.monotonic_ns()
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        word, stamp, *heavy = child.stdout.readline().split()
        assert word == "MAPPED"
        yield child, (int(stamp) - began) / 1e6, heavy
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def at_rest(pid: int, seconds: float) -> tuple[float, float, float]:
    """CPU in percent of a core, and resident and proportional memory in MB, of a process left alone for so long."""
    process = psutil.Process(pid)
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    memory = process.memory_full_info()
    percent = (after.user + after.system - before.user - before.system) / seconds * 100
    return percent, memory.rss / MEBI, getattr(memory, "pss", memory.rss) / MEBI


def prepare(home: str) -> None:
    """Not the first start, so that the assistant does not stand before the window."""
    os.environ["NEARFAR_HOME"] = home
    from backends.paths import app_paths
    from backends.workbench import Workbench

    bench = Workbench(app_paths())
    bench.change(first_start_done=True)
    asyncio.run(bench.save())


def measure(rounds: int, seconds: float) -> list[Figure]:
    bare, ours = list[float](), list[float]()
    for number in range(rounds + 1):
        with started(BARE) as (_child, bare_ms, _none):
            pass
        with started(OURS) as (child, ours_ms, heavy):
            if number == rounds:
                time.sleep(SETTLE_S)
                percent, resident_mb, proportional_mb = at_rest(child.pid, seconds)
                assert child.poll() is None, "the app ended by itself"
        print(f"bare {bare_ms:.0f} ms, ours {ours_ms:.0f} ms", file=sys.stderr)
        if number:  # the first of each warms the disk
            bare.append(bare_ms)
            ours.append(ours_ms)
    ratios = tuple(a / b for a, b in zip(ours, bare, strict=True))
    return [
        Figure("bare window, start until mapped", statistics.median(bare), "ms", less=True, samples=tuple(bare)),
        Figure("our window, start until mapped", statistics.median(ours), "ms", less=True, samples=tuple(ours)),
        Figure("ours / bare", statistics.median(ratios), aim=START_AIM, less=True, samples=ratios),
        Figure("heavy modules before it is mapped", float(len(heavy)), "modules", aim=0.0, less=True),
        Figure("CPU at rest", percent, "% of a core", aim=IDLE_AIM_PERCENT, less=True),
        Figure("resident memory at rest", resident_mb, "MiB", aim=RESIDENT_AIM_MB, less=True),
        Figure("of it, shared pages counted in part", proportional_mb, "MiB", less=True),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to watch it rest")
    add_arguments(parser)
    arguments = parser.parse_args()
    with display(), tempfile.TemporaryDirectory() as home:
        prepare(home)
        figures = measure(arguments.rounds, arguments.seconds)
    return finish(figures, arguments, rounds=arguments.rounds, seconds=arguments.seconds)


if __name__ == "__main__":
    sys.exit(main())
