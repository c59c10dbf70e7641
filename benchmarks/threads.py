"""Which number of threads is fastest: model size by threads, on an idle machine and beside programs that take cores.

Writes docs/measurements/threads.md with --write. Every cell is a decode of a few seconds in this process, cut off by
time, since the wrong number of threads on a busy machine takes minutes for what takes a second else.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from decode import QUESTION
from figures import Figure, add_arguments, finish, processor
from shapes import FOLDER, model_file

from backends.local.decode import Session
from backends.local.facts import LoadOptions
from backends.local.log_capture import LogCapture
from backends.local.model import AbortFlag, LoadedModel
from backends.local.native import Native
from backends.local.threads import threads_for, usable_cores
from backends.records import Message, Sampling

MODELS = ("3m", "16m", "56m", "1b")
SECONDS = 4.0
PAGE = Path(__file__).resolve().parents[1] / "docs" / "measurements" / "threads.md"
Cell = tuple[str, int, int]  # model, busy cores, threads


@contextlib.contextmanager
def others(n_cores: int) -> Iterator[None]:
    """So many programs that take a core each."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n_cores)]
    try:
        yield
    finally:
        for child in spinning:
            child.kill()
            child.wait()


def decode_tok_s(path: Path, native: Native, threads: int, seconds: float) -> float:
    """Tokens per second of greedy decoding for so long; 0 where not two tokens came."""
    abort = AbortFlag(native.api)
    options = LoadOptions(n_ctx=4096, n_threads=threads)
    model = LoadedModel(native, LogCapture(native.api), abort, path, path.name, options, lambda _fraction: None)
    session = Session(model)
    assert model.template is not None
    prompt = session.tokenize(model.template.render([Message("user", QUESTION)]), add_special=False)
    stamps: list[int] = []
    timer = threading.Timer(seconds, abort.set)
    timer.start()
    session.run(
        prompt,
        Sampling(max_tokens=None, temperature=0.0, seed=1),
        exact=True,
        on_prefill=lambda _done, _total: None,
        on_text=lambda _text, new: stamps.extend(new),
    )
    timer.cancel()
    session.close()
    model.close()
    return (len(stamps) - 1) * 1e9 / (stamps[-1] - stamps[0]) if len(stamps) > 1 else 0.0


def measure(arguments: argparse.Namespace) -> dict[Cell, list[float]]:
    native, cores = Native(), usable_cores()
    rows: dict[Cell, list[float]] = {}
    for _ in range(arguments.rounds):
        for busy in range(cores + 1):
            with others(busy):
                for name in MODELS:
                    for threads in range(1, cores + 1):
                        value = decode_tok_s(model_file(arguments.folder, name), native, threads, arguments.seconds)
                        rows.setdefault((name, busy, threads), []).append(value)
                        print(f"{name}, {busy} busy, {threads} threads: {value:.1f} tok/s", file=sys.stderr)
    return rows


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def figures_of(rows: dict[Cell, list[float]], folder: Path) -> list[Figure]:
    """For each model and load: what our choice reaches of the best number of threads that leaves the window a core."""
    cores = usable_cores()
    figures: list[Figure] = []
    for name in MODELS:
        size = model_file(folder, name).stat().st_size
        for busy in range(cores + 1):
            mine = threads_for(cores, size, busy)
            best = max(median(rows[name, busy, threads]) for threads in range(1, max(2, cores)))
            chosen = median(rows[name, busy, mine])
            figures.append(
                Figure(f"{name}, {busy} of {cores} cores busy: {mine} threads / best", chosen / best, aim=0.9)
            )
    return figures


def page(rows: dict[Cell, list[float]], arguments: argparse.Namespace) -> str:
    cores = usable_cores()
    head = " | ".join(f"{threads} thread{'s' * (threads > 1)}" for threads in range(1, cores + 1))
    lines = [
        "# Threads",
        "",
        f"Measured on {datetime.now(UTC):%Y-%m-%d}, {processor()}, {cores} cores, by "
        f"`.venv/bin/python benchmarks/threads.py --write` "
        f"({arguments.rounds} rounds of {arguments.seconds:g} s, medians).",
        "Tokens per second, random weights in Q4_0. A busy core is a program that does nothing but spin.",
        "",
        f"| model | busy cores | {head} | chosen |",
        f"|---|---|{'---|' * cores}---|",
    ]
    for name in MODELS:
        size = model_file(arguments.folder, name).stat().st_size
        for busy in range(cores + 1):
            cells = " | ".join(f"{median(rows[name, busy, threads]):.1f}" for threads in range(1, cores + 1))
            lines.append(f"| {name} | {busy} | {cells} | {threads_for(cores, size, busy)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    add_arguments(parser)
    arguments = parser.parse_args()
    rows = measure(arguments)
    if arguments.write:
        PAGE.write_text(page(rows, arguments), encoding="utf-8")
    return finish(figures_of(rows, arguments.folder), arguments, rounds=arguments.rounds, seconds=arguments.seconds)


if __name__ == "__main__":
    sys.exit(main())
