"""What one tick of the context slider costs the window: GUI-thread CPU of the Models page, with real verdicts.

    python benchmarks/models_page.py [--ticks N] [--device NAME:TOTAL:FREE ...] [--save FILE]

A tick is a new ranking shown while the knob is held, with the layout and painting that follow. The page shows its parts
one after the other then, so a tick is several turns of the event loop: `turn` is the longest of a tick, which is what
can be felt, `tick` is all of them together. `at once` is the same with the knob let go, everything in one turn; the
ratio is between the two. The step from one stop to the next doubles the context, so every row and sentence changes.
Times are CPU milliseconds of the GUI thread alone, so neighbours and the ranking's own thread do not count. Nothing
here gates a test.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PySide6.QtCore import qVersion
from PySide6.QtWidgets import QApplication

from app.models_ranking import Question, Ranking, ranked
from app.models_state import ModelsState
from backends.devices.machine import read_machine
from backends.devices.simulated import simulated_machine
from backends.fit.learned import Learned
from backends.fit.records import Wish
from backends.models.catalogue import catalogue
from widgets import icons, theme
from widgets.catalogue import LATER_MS, Catalogue
from widgets.context_slider import STOPS, StopSlider
from widgets.main_window import MainWindow
from widgets.models_page import ModelsPage

DEVICES = ("RTX 4090:24:15", "cpu:64:45:80")
BUDGET_MS = 8.0


def rankings(specs: Iterable[str]) -> list[Ranking]:
    """One per stop of the slider, as the ranking thread hands them over."""
    machine = simulated_machine(list(specs), read_machine())
    return [ranked(Question(machine, Wish(n_ctx=n_ctx), Learned()), catalogue()) for n_ctx in STOPS]


def show(page: ModelsPage, state: ModelsState, found: Ranking) -> None:
    """What the controller does when a ranking has come."""
    state.ranking, state.machine, state.wish = found, found.question.machine, found.question.wish
    ref = page.selected_ref()
    page.show_view(state.view(ref, local_only=False))


def turn(work: Callable[[], None]) -> float:
    began = time.thread_time()
    work()
    QApplication.processEvents()
    return (time.thread_time() - began) * 1e3


def measure(page: ModelsPage, found: list[Ranking], ticks: int) -> tuple[list[float], list[float]]:
    """CPU milliseconds of the longest turn and of all turns, per tick, sorted."""
    state, longest, whole = ModelsState(), [], []
    catalogue_part = page.findChildren(Catalogue)[0]
    there_and_back = [*found, *reversed(found)]
    for at in range(-len(found), ticks):
        ranking = there_and_back[at % len(there_and_back)]
        turns = [turn(lambda ranking=ranking: show(page, state, ranking))]  # type: ignore[misc]  # a lambda's default
        while catalogue_part._waiting:
            time.sleep(LATER_MS / 1000 + 0.002)
            turns.append(turn(lambda: None))
        if at >= 0:
            longest.append(max(turns))
            whole.append(sum(turns))
    return sorted(longest), sorted(whole)


def figures(taken: list[float]) -> dict[str, float]:
    return {"p50_ms": statistics.median(taken), "p99_ms": taken[int(len(taken) * 0.99)], "max_ms": taken[-1]}


def main(arguments: Iterable[str] | None = None) -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ticks", type=int, default=400)
    parser.add_argument("--device", action="append")
    parser.add_argument("--save", type=Path)
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    app = QApplication([])
    theme.apply(app, "light")
    icons.load()
    window, page = MainWindow(), ModelsPage()
    window.add_page("models", "Models", "cube", page)
    window.show()
    found = rankings(chosen.device or DEVICES)
    at_once, _ = measure(page, found, chosen.ticks)
    page.findChildren(StopSlider)[0].setSliderDown(True)
    longest, whole = measure(page, found, chosen.ticks)
    rows = {"turn": figures(longest), "tick": figures(whole), "at once": figures(at_once)}
    for name, row in rows.items():
        print(f"{name:>8}  " + "  ".join(f"{key} {value:6.2f}" for key, value in row.items()))
    print(f"   ratio  {rows['at once']['p99_ms'] / rows['turn']['p99_ms']:.2f} (p99), budget {BUDGET_MS:g} ms")
    if chosen.save:
        versions = {"python": platform.python_version(), "qt": qVersion(), "machine": platform.machine()}
        chosen.save.parent.mkdir(parents=True, exist_ok=True)
        chosen.save.write_text(json.dumps({**versions, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    window.close()


if __name__ == "__main__":
    main()
