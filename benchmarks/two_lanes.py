"""Stalls of the real window: CPU of the GUI thread per turn of its event loop, while two lanes answer at 200 tok/s.

    python benchmarks/two_lanes.py [--tokens 2000,8000,...] [--kinds mixed,fence,...] [--seconds 5] [--only PART]

    stream   both lanes hold that many tokens already; a thread puts events into the Inbox as an engine does
    open     a comparison from history whose two answers have 128k tokens, until nothing is left to paint
    drag     the window with these two answers, dragged to another width at 60 Hz and let go

A turn is one pass of the event loop: what a click would have to wait for. CPU of the GUI thread alone is counted, so
neighbours do not count; a turn cannot take less time than that. Lanes, page, Inbox and timers are those of the app.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from answer_view import CHARS_PER_TOKEN, KINDS
from figures import Figure, add_arguments, finish
from PySide6.QtCore import QEvent, QEventLoop
from PySide6.QtWidgets import QApplication

from app.engine_thread import Inbox
from app.memory import freeze
from backends.events import Delta, Event, Finished, Sent, Started
from backends.records import Cost, RunResult, Sampling, Usage
from backends.targets import parse_target
from widgets import answer_view, icons, theme
from widgets.compare_page import ComparePage
from widgets.main_window import MainWindow
from widgets.values import StoredComparison, StoredLane, TargetChoice

RATE_TOK_S = 200
LONG_TOKENS = 128_000
FILL_TOKENS = 64  # of one event while the earlier text is filled in
SETTLE_S = 0.5
OPENINGS = 3  # of 600 turns each: a lone page fault of the machine's would else decide
P99_MS, MAX_MS = 8.0, 16.0
TARGETS = ("local:one", "openai:gpt-4o")
WIDTHS = (*range(1280, 980, -10), *range(980, 1180, 10))


class Window:
    """Two lanes in the main window, and the app's own way from an event to the screen."""

    def __init__(self) -> None:
        self.page = ComparePage()
        self.page.set_targets([TargetChoice(name, name, "") for name in TARGETS])
        self.inbox = Inbox(self._show)
        self.page.tick_wanted.connect(self.inbox.wake)
        self._lanes = {f"run-{name}": self.page.add_lane(name) for name in TARGETS}
        self._main = MainWindow()
        self._main.add_page("compare", "Compare", "columns", self.page)
        self._main.resize(WIDTHS[0], 860)
        self._main.show()
        turns_for(SETTLE_S)

    def _show(self, batch: list[Event]) -> bool:
        by_lane: dict[str, list[Event]] = defaultdict(list)
        for event in batch:
            by_lane[self._lanes[event.run_id]].append(event)
        for lane_id, events in by_lane.items():
            self.page.show_events(lane_id, events)
        return self.page.tick()

    def begin(self, text: str) -> None:
        """Two runs that have answered `text` already."""
        self.page.begin()
        self.page.set_running(True)
        for run_id, name in zip(self._lanes, TARGETS, strict=True):
            for event in _begun(run_id, name, text):
                self.inbox.put(event)
        self.inbox.work_began()
        while self._queued():  # as fast as it can be
            self.inbox.drain()
            answer_view._shelf.wait()
        turns_for(SETTLE_S)

    def end(self) -> None:
        for run_id, name in zip(self._lanes, TARGETS, strict=True):
            lane = self.page.lane(self._lanes[run_id])
            self.inbox.put(Finished(run_id, time.monotonic_ns(), _result(run_id, name, lane.answer_text())))
        self.inbox.work_ended()
        self.page.set_running(False)
        self.until_painted()

    def until_painted(self) -> list[float]:
        """CPU milliseconds of each turn until every lane shows all of its text."""
        return turns_while(lambda: self._queued() or not self.inbox.resting)

    def _queued(self) -> bool:
        lanes = [self.page.lane(lane_id) for lane_id in self.page.lane_ids]
        return bool(self.inbox._events) or any(lane.has_queued or lane.view.queued for lane in lanes)

    def show_stored(self, text: str) -> list[float]:
        """Turns while a comparison with this answer in both lanes is opened."""
        lanes = tuple(StoredLane(name, _result(name, name, text), "finished", run_id=name) for name in TARGETS)
        stored = StoredComparison("cmp", datetime.now(UTC), "Why?", None, "race", Sampling(), lanes)
        first = turn(lambda: self.page.show_comparison(stored))
        return [first, *self.until_painted(), *turns_for(SETTLE_S)]

    def drag(self) -> tuple[list[float], int]:
        """Turns while the window is dragged to each width and let go, and how often an answer was laid out anew."""
        views = [self.page.lane(lane_id).view for lane_id in self.page.lane_ids]
        self._main.resize(WIDTHS[0], 860)
        turns_for(SETTLE_S)
        turns_while(self._queued)
        widths, layouts, turns = [view.lineWrapColumnOrWidth() for view in views], 0, []

        def count() -> None:
            nonlocal widths, layouts
            now = [view.lineWrapColumnOrWidth() for view in views]
            layouts += sum(before != after for before, after in zip(widths, now, strict=True))
            widths = now

        for width in WIDTHS:
            turns.append(turn(lambda width=width: self._main.resize(width, 860)))  # type: ignore[misc]  # its default
            turns += turns_for(1 / 60, count)
        return turns + turns_for(2.0, count), layouts

    def close(self) -> None:
        self._main.close()


class Garbage:
    """The longest collection of cycles in the GUI thread: it explains a lone long turn that no view caused."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self._began_ns = 0
        gc.callbacks.append(self._called)

    def _called(self, phase: str, _info: object) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        if phase == "start":
            self._began_ns = time.thread_time_ns()
        else:
            self.longest_ms = max(self.longest_ms, (time.thread_time_ns() - self._began_ns) / 1e6)


class Feeder(threading.Thread):
    """Puts tokens into the inbox as an engine's thread does: every 20 ms what came in that time, with its stamps."""

    def __init__(self, inbox: Inbox, run_ids: list[str], text: str) -> None:
        super().__init__(name="feeder", daemon=True)
        self._inbox, self._runs, self._text = inbox, run_ids, text

    def run(self) -> None:
        began, given = time.monotonic_ns(), 0
        end = len(self._text) // CHARS_PER_TOKEN
        while given < end:
            time.sleep(0.02)  # the pace of the worker's lines
            due = min(end, (time.monotonic_ns() - began) * RATE_TOK_S // 1_000_000_000)
            if due > given:
                for run_id in self._runs:
                    self._inbox.put(_delta(run_id, self._text, given, due, began))
                given = due


def turn(work: Callable[[], object] = lambda: None) -> float:
    """CPU milliseconds of the GUI thread for one pass of the event loop, with `work` as a part of it."""
    began = time.thread_time_ns()
    work()
    QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    return (time.thread_time_ns() - began) / 1e6


def turns_while(busy: Callable[[], bool], watch: Callable[[], None] = lambda: None) -> list[float]:
    turns = []
    waker = QEventLoop()  # a timer of its own keeps a resting loop from waiting for ever
    timer = waker.startTimer(20)
    while busy():
        turns.append(turn())
        watch()
    waker.killTimer(timer)
    return turns


def turns_for(seconds: float, watch: Callable[[], None] = lambda: None) -> list[float]:
    until = time.monotonic() + seconds
    return turns_while(lambda: time.monotonic() < until, watch)


def _begun(run_id: str, name: str, text: str) -> list[Event]:
    tokens = len(text) // CHARS_PER_TOKEN
    sent_ns = time.monotonic_ns() - tokens * 1_000_000_000 // RATE_TOK_S
    deltas = [_delta(run_id, text, at, min(at + FILL_TOKENS, tokens), sent_ns) for at in range(0, tokens, FILL_TOKENS)]
    return [Started(run_id, sent_ns, parse_target(name)), Sent(run_id, sent_ns), *deltas]


def _delta(run_id: str, text: str, first: int, last: int, began_ns: int) -> Delta:
    stamps = tuple(began_ns + (token + 1) * 1_000_000_000 // RATE_TOK_S for token in range(first, last))
    piece = text[first * CHARS_PER_TOKEN : last * CHARS_PER_TOKEN]
    return Delta(run_id, stamps[-1], piece, last - first, stamps)


def _result(run_id: str, name: str, text: str) -> RunResult:
    return RunResult(
        run_id, name, name, name.partition(":")[0], text, "", "stop", True, Usage(), 100.0, None,
        float(RATE_TOK_S), None, None, None, None, Cost(None, "not_measured"),
    )  # fmt: skip


def stream(window: Window, kind: str, tokens: int, seconds: float) -> list[Figure]:
    size, more = tokens * CHARS_PER_TOKEN, int(seconds * RATE_TOK_S) * CHARS_PER_TOKEN
    text = KINDS[kind](size + more)
    window.begin(text[:size])
    feeder = Feeder(window.inbox, list(window._lanes), text[size:])
    feeder.start()
    turns = turns_while(feeder.is_alive)
    window.end()
    return _stalls(f"{kind}, {tokens} tokens", turns)


def _stalls(name: str, turns: list[float]) -> list[Figure]:
    inside = sorted(turns)
    p99 = inside[int(len(inside) * 0.99)]
    return [
        Figure(f"{name}: p99", p99, "ms", P99_MS, less=True),
        Figure(f"{name}: longest of {len(inside)}", inside[-1], "ms", MAX_MS, less=True),
    ]


def stored(window: Window, kind: str, parts: list[str]) -> list[Figure]:
    found = []
    longest = [max(window.show_stored(KINDS[kind](LONG_TOKENS * CHARS_PER_TOKEN))) for _ in range(OPENINGS)]
    if "open" in parts:
        name = f"{kind}: longest turn while 128k open"
        found.append(Figure(name, statistics.median(longest), "ms", MAX_MS, less=True, samples=tuple(longest)))
    if "drag" in parts:
        turns, layouts = window.drag()
        found.append(Figure(f"{kind}: longest turn of a drag", max(turns), "ms", MAX_MS, less=True))
        found.append(Figure(f"{kind}: layouts of a drag over {len(WIDTHS)} widths", layouts, "", 2, less=True))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", default="2000,8000,32000,128000")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--seconds", type=float, default=5.0, help="of streaming, for each length and kind")
    parser.add_argument("--only", default="stream,open,drag")
    add_arguments(parser)
    arguments = parser.parse_args()
    sys.setswitchinterval(0.001)  # as the app does
    app = QApplication([])
    theme.apply(app, "light")
    icons.load()
    window, garbage = Window(), Garbage()
    freeze()  # as the app does once its window is filled
    parts, found = arguments.only.split(","), []
    for kind in arguments.kinds.split(","):
        for tokens in map(int, arguments.tokens.split(",")) if "stream" in parts else ():
            found += _said(stream(window, kind, tokens, arguments.seconds))
        if "open" in parts or "drag" in parts:
            found += _said(stored(window, kind, parts))
    window.close()
    print(f"longest collection of cycles in the GUI thread: {garbage.longest_ms:.1f} ms", file=sys.stderr)
    about = {"seconds": arguments.seconds, "rate_tok_s": RATE_TOK_S, "garbage_ms": garbage.longest_ms}
    return finish(found, arguments, **about)


def _said(figures: list[Figure]) -> list[Figure]:
    for figure in figures:
        print(f"{figure.name}: {figure.value:.4g} {figure.unit}", file=sys.stderr, flush=True)
    return figures


if __name__ == "__main__":
    sys.exit(main())
