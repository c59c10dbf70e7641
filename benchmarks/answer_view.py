"""What a flush of the answer view costs at any length, beside Qt's whole-text setMarkdown in the same run.

    python benchmarks/answer_view.py [--tokens 2000,8000,...] [--kinds mixed,fence,...] [--save FILE] [--compare FILE]

A view is filled to the length, then 27 characters (200 tok/s at 30 Hz) are streamed per tick. One tick is append,
flush, and the layout and painting that follow. Times are CPU milliseconds of the GUI thread, so neighbours do not
count; the ratio is setMarkdown of the whole text to the tick's median. Nothing here gates a test.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEvent, qVersion
from PySide6.QtGui import QTextDocument
from PySide6.QtWidgets import QApplication, QTextBrowser

from widgets import answer_view
from widgets.answer_view import AnswerView

CHARS_PER_TOKEN = 4
TICK_CHARS = 27
TICKS = 400

_PROSE = (
    "A quantised model trades a little *quality* for memory, and `llama.cpp` shows how much: read the **guide** at "
    "https://example.org/guide before you choose. The KV cache grows with the context. "
)
_CODE = (
    'def verdict(total_bytes: int, free_bytes: int) -> str:\n    """Whether it fits."""\n'
    '    return "gpu" if total_bytes < free_bytes else "ram"  # simple\n\n'
)
_ROW = "| Q4_K_M | 4.9 GB | 52 | a good default for most |\n"
_TABLE = "| Quant | Size | tok/s | Note |\n|---|--:|:-:|---|\n"
_ITEM = "- an item with **bold** words and `code` in it\n  - and one inside\n"

KINDS: dict[str, Callable[[int], str]] = {
    "mixed": lambda size: _repeat(
        f"## A heading\n\n{_PROSE * 2}\n\n{_ITEM * 4}\n> {_PROSE}\n\n```python\n{_CODE * 3}```\n\n{_TABLE}{_ROW * 5}\n",
        size,
    ),
    "fence": lambda size: "```python\n" + _repeat(_CODE, size),
    "paragraph": lambda size: _repeat(_PROSE, size),
    "list": lambda size: _repeat(_ITEM, size),
    "table": lambda size: _TABLE + _repeat(_ROW, size),
}


def _repeat(piece: str, size: int) -> str:
    return (piece * (size // len(piece) + 1))[:size]


def filled_view(text: str) -> tuple[AnswerView, list[float]]:
    """A view with `text`, and what each slice of filling it cost."""
    view = AnswerView()
    view.resize(640, 860)
    view.show()
    view.append(text)
    slices = []
    busy = True
    while busy:
        began = time.thread_time()
        busy = view.flush()
        QApplication.processEvents()
        slices.append((time.thread_time() - began) * 1e3)
        answer_view._shelf.wait()
    return view, slices


def stream(view: AnswerView, text: str) -> list[float]:
    """CPU milliseconds per tick."""
    ticks = []
    for at in range(0, len(text), TICK_CHARS):
        began = time.thread_time()
        view.append(text[at : at + TICK_CHARS])
        view.flush()
        QApplication.processEvents()
        ticks.append((time.thread_time() - began) * 1e3)
    return ticks


def whole_text_ms(text: str) -> float:
    """CPU milliseconds to show the whole text by setMarkdown, layout and painting included; median of three."""
    browser = QTextBrowser()
    browser.resize(640, 860)
    browser.show()
    features = QTextDocument.MarkdownFeature
    times = []
    for _ in range(3):
        began = time.thread_time()
        browser.document().setMarkdown(text, features.MarkdownDialectGitHub | features.MarkdownNoHTML)
        browser.verticalScrollBar().setValue(browser.verticalScrollBar().maximum())
        QApplication.processEvents()
        times.append((time.thread_time() - began) * 1e3)
    browser.deleteLater()
    return statistics.median(times)


def measure(kind: str, tokens: int) -> dict[str, float]:
    """One row of the table."""
    size = tokens * CHARS_PER_TOKEN
    text = KINDS[kind](size + TICKS * TICK_CHARS)
    view, slices = filled_view(text[:size])
    ticks = sorted(stream(view, text[size:]))
    whole = whole_text_ms(text)
    view.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    median = statistics.median(ticks)
    return {
        "p50_ms": median,
        "p99_ms": ticks[int(len(ticks) * 0.99)],
        "max_ms": ticks[-1],
        "open_max_ms": max(slices),
        "open_total_ms": sum(slices),
        "whole_text_ms": whole,
        "ratio": whole / median,
    }


def show(name: str, row: dict[str, float], before: dict[str, float] | None) -> None:
    """Print one row, with the change against an earlier run."""
    figures = "  ".join(f"{key} {value:8.2f}" for key, value in row.items())
    change = (
        f"  p99 x{row['p99_ms'] / before['p99_ms']:.2f}  ratio x{row['ratio'] / before['ratio']:.2f}" if before else ""
    )
    print(f"{name:>18}  {figures}{change}", flush=True)


def main(arguments: Iterable[str] | None = None) -> None:
    """Measure, print, save, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", default="2000,8000,32000,128000")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--save", type=Path)
    parser.add_argument("--compare", type=Path)
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    app = QApplication.instance() or QApplication([])
    earlier = json.loads(chosen.compare.read_text(encoding="utf-8"))["rows"] if chosen.compare else {}
    rows = {}
    for kind in chosen.kinds.split(","):
        for tokens in map(int, chosen.tokens.split(",")):
            name = f"{kind} {tokens}"
            rows[name] = measure(kind, tokens)
            show(name, rows[name], earlier.get(name))
    if chosen.save:
        machine = {"python": platform.python_version(), "qt": qVersion(), "machine": platform.machine()}
        chosen.save.parent.mkdir(parents=True, exist_ok=True)
        chosen.save.write_text(json.dumps({**machine, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    del app


if __name__ == "__main__":
    main()
