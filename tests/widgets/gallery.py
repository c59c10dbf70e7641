"""Grabs the window in many states to PNG files, for looking: `python -m tests.widgets.gallery FOLDER [NAME...]`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QApplication, QWidget

from backends.errors import Problem
from backends.records import OtherWork
from tests.widgets import samples
from widgets import icons, theme, verdict
from widgets.compare_page import ComparePage
from widgets.history_page import HistoryPage
from widgets.key_dialog import KeyDialog
from widgets.main_window import MainWindow
from widgets.settings_page import SettingsPage
from widgets.values import SettingsView, ThemeChoice

SMALL, MEDIUM, LARGE = QSize(1024, 700), QSize(1280, 800), QSize(1600, 1000)


class Shown:
    """The whole window with its pages, as the app builds it."""

    def __init__(self) -> None:
        self.window = MainWindow()
        self.compare, self.history, self.settings = ComparePage(), HistoryPage(), SettingsPage()
        self.window.add_page("compare", "Compare", "compare", self.compare)
        self.window.add_page("history", "History", "history", self.history)
        self.window.add_page("settings", "Settings", "settings", self.settings, at_bottom=True)
        self.window.show_devices((samples.GPU, samples.CPU))
        self.window.show_privacy(samples.QUIET)
        self.compare.set_targets(samples.CHOICES)
        self.compare.set_samples(samples.SAMPLES)

    def lanes(self, *targets: str) -> list[str]:
        return [self.compare.add_lane(target) for target in targets]

    def settle(self) -> None:
        while self.compare.tick():
            pass


LOCAL, CLOUD = "local:llama-3.2-3b:Q4_K_M", "openai:gpt-4o"


def empty(shown: Shown) -> None:
    shown.lanes("local:demo", "practice")


def streaming(shown: Shown) -> None:
    now = monotonic_ns()
    first, second = shown.lanes(LOCAL, CLOUD)
    shown.window.show_privacy(samples.AWAY)
    shown.compare.set_prompt(samples.PROMPT)
    shown.compare.begin()
    shown.compare.set_running(True)
    half = samples.ANSWER[:700]
    start = now - 1800 * samples.MS
    shown.compare.show_events(first, [*samples.opening(LOCAL, start), *samples.deltas(half, start, tok_s=90)])
    shown.compare.show_events(
        second,
        [*samples.opening(CLOUD, start), *samples.deltas(half[:260], start, ttft_ms=612, tok_s=40, counted=False)],
    )


def finished(shown: Shown) -> None:
    now = monotonic_ns()
    first, second = shown.lanes(LOCAL, "practice")
    shown.compare.set_prompt(samples.PROMPT)
    shown.compare.show_events(first, samples.whole_run(LOCAL, samples.local_result(), now, tok_s=131))
    shown.compare.show_events(second, samples.whole_run("practice", samples.practice_result(), now, tok_s=410))
    shown.compare.show_verdict(verdict.sentence(shown.compare.outcomes()))


def busy(shown: Shown) -> None:
    now = monotonic_ns()
    first, second = shown.lanes(LOCAL, "practice")
    shown.compare.set_prompt(samples.PROMPT)
    slowed = samples.local_result(decode_tok_s=48.3, other_work=OtherWork(1.0, 1.8, 1.8, 2))
    shown.compare.show_events(first, samples.whole_run(LOCAL, slowed, now, tok_s=48))
    shown.compare.show_events(second, samples.whole_run("practice", samples.practice_result(), now, tok_s=410))
    shown.compare.show_verdict(verdict.sentence(shown.compare.outcomes()))


def failed(shown: Shown) -> None:
    now = monotonic_ns()
    first, second = shown.lanes(LOCAL, CLOUD)
    shown.window.show_privacy(samples.AWAY)
    shown.compare.set_prompt(samples.PROMPT)
    partial = samples.cloud_result(text=samples.ANSWER[:300], complete=False, finish_reason=None, decode_tok_s=None)
    shown.compare.show_events(first, samples.whole_run(LOCAL, samples.local_result(), now, tok_s=131))
    shown.compare.show_events(second, samples.failed_run(CLOUD, partial, samples.CUT, now))
    shown.compare.show_verdict(verdict.sentence(shown.compare.outcomes()))


def four(shown: Shown) -> None:
    now = monotonic_ns()
    ids = shown.lanes(LOCAL, "practice", CLOUD, "local:demo")
    shown.window.show_privacy(samples.AWAY)
    shown.compare.set_prompt(samples.PROMPT)
    shown.compare.begin()
    shown.compare.set_running(True)
    shown.compare.show_events(ids[0], samples.whole_run(LOCAL, samples.local_result(), now, tok_s=131))
    shown.compare.show_events(ids[1], samples.whole_run("practice", samples.practice_result(), now, tok_s=410))
    shown.compare.show_events(ids[2], samples.reading(CLOUD, now))


def parameters(shown: Shown) -> None:
    finished(shown)
    shown.compare.prompt_box.toggle_parameters()


def history(shown: Shown) -> None:
    shown.history.show_lines(samples.history(), samples.NOW)
    shown.window.open_page("history")


def history_empty(shown: Shown) -> None:
    shown.history.set_keep_history(False)
    shown.window.open_page("history")


def settings(shown: Shown) -> None:
    shown.settings.show_settings(SettingsView(local_only=True))
    shown.window.show_privacy(samples.LOCAL_ONLY)
    shown.window.open_page("settings")


def settings_servers(shown: Shown) -> None:
    shown.settings.show_settings(SettingsView(servers=samples.SERVERS))
    shown.window.open_page("settings")
    shown.settings.servers.refuse(
        Problem("x", "“foo” does not begin with http:// or https://.", "", "Give an address.")
    )


def gone(shown: Shown) -> None:
    now = monotonic_ns()
    (lane,) = shown.lanes(CLOUD)
    shown.compare.set_prompt(samples.PROMPT)
    no_text = samples.cloud_result(text="", complete=False, finish_reason=None, decode_tok_s=None)
    shown.compare.show_events(lane, samples.failed_run(CLOUD, no_text, samples.GONE, now))
    shown.compare.lane(lane).offer_target("openai:gpt-6-luna", "gpt-6-luna")


STATES: dict[str, tuple[Callable[[Shown], None], QSize]] = {
    "empty": (empty, MEDIUM),
    "empty-small": (empty, SMALL),
    "streaming": (streaming, MEDIUM),
    "finished": (finished, MEDIUM),
    "finished-large": (finished, LARGE),
    "finished-small": (finished, SMALL),
    "busy": (busy, MEDIUM),
    "busy-small": (busy, SMALL),
    "failed": (failed, MEDIUM),
    "four": (four, LARGE),
    "four-small": (four, SMALL),
    "parameters": (parameters, MEDIUM),
    "parameters-small": (parameters, SMALL),
    "history": (history, MEDIUM),
    "history-empty": (history_empty, MEDIUM),
    "settings": (settings, MEDIUM),
    "settings-servers": (settings_servers, QSize(1280, 1500)),
    "gone": (gone, MEDIUM),
}


def grab(app: QApplication, widget: QWidget, path: Path) -> None:
    widget.show()
    for _ in range(4):
        app.processEvents()
    if not widget.grab().save(str(path)):
        raise OSError(f"cannot write {path}")


def grab_popups(app: QApplication, folder: Path, tag: str) -> None:
    dialog = KeyDialog("openai", "OpenAI", "api.openai.com")
    grab(app, dialog, folder / f"key-dialog-{tag}.png")
    dialog.close()
    shown = Shown()
    lane = shown.compare.lane(shown.lanes("local:demo")[0])
    shown.window.show()
    app.processEvents()
    lane.head.picker.open()
    opened = lane.head.picker.target_list()
    assert opened is not None
    grab(app, opened, folder / f"picker-{tag}.png")
    opened.hide()
    lane.set_targets((*samples.CHOICES, *samples.SERVED), samples.ACTIONS)
    lane.head.picker.open()
    opened.resize(opened.width(), 1100)
    grab(app, opened, folder / f"picker-servers-{tag}.png")
    opened.hide()
    shown.window.close()


def main(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    app = QApplication(sys.argv[:1])
    scale = os.environ.get("QT_SCALE_FACTOR", "1")
    choices: tuple[ThemeChoice, ...] = ("light", "dark")
    for choice in choices:
        theme.apply(app, choice)
        icons.load()
        for name, (build, size) in STATES.items():
            if names and name not in names:
                continue
            shown = Shown()
            shown.window.resize(size)
            build(shown)
            shown.window.show()
            app.processEvents()
            shown.settle()
            grab(app, shown.window, folder / f"{name}-{choice}-{scale}x.png")
            shown.window.close()
        if not names or "popups" in names:
            grab_popups(app, folder, f"{choice}-{scale}x")


if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    main(Path(sys.argv[1]), sys.argv[2:])
