"""Decode speed as a person sees it beside llama-bench and create_chat_completion. Must not reach past the window.

    displayed   the tok/s that stands in the lane: the real window, engine thread, pipe and worker
    bench       llama-bench of the same llama.cpp: as many tokens after as long a prompt, same threads, no sampling,
                no text
    chat        Llama.create_chat_completion(stream=True) in a process of its own

The ways take turns; a ratio is the median of the ratios within a round. All three have the same threads, by default as
many as the app chooses.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import llama_bench
from decode import QUESTION, THEIRS
from figures import Figure, add_arguments, finish
from shapes import FOLDER, model_file

AIMS = {"56m": 0.80, "1b": 0.97}
TIMES_CHAT = {1000: 1.4, 6000: 1.8}
ROUNDS_TIMES = {"56m": 1, "1b": 3}
"""Turns of the 1B shape differ by more than the 3 % that its aim leaves."""
N_CTX = 8192
TRIES = 20  # a random model may end an answer by chance


class Window:
    """The whole app with one lane, in this process."""

    def __init__(self, home: Path, model: Path, threads: int) -> None:
        os.environ["NEARFAR_HOME"] = str(home)
        os.environ.setdefault("QT_QPA_PLATFORM", "xcb" if os.environ.get("DISPLAY") else "offscreen")
        from PySide6.QtWidgets import QApplication

        from app.session import Session
        from backends.paths import app_paths
        from backends.workbench import Workbench

        self.prompt_tokens = 0
        """Of the last answer, as the model counts them: what its context held before."""
        self._qt = QApplication.instance() or QApplication([])
        bench = Workbench(app_paths())
        bench.change(lanes=(f"local:{model}",), n_ctx=N_CTX, first_start_done=True)
        _load_with(bench.local.plans, threads)
        self._session = Session(self._qt, bench)  # type: ignore[arg-type] # instance() is of the base class
        self._session.window.resize(1280, 800)
        self._session.window.show()
        self._until(lambda: self._session.status.begun)

    def tok_s(self, n_tokens: int) -> float:
        """What the strip shows after an answer of so many tokens; asks again where the model ended it earlier."""
        page = self._session.compare
        box = page.prompt_box
        box.parameters.set_sampling(replace(self._session.bench.settings.sampling, max_tokens=n_tokens))
        for _ in range(TRIES):
            box.editor.setPlainText(QUESTION)
            box.run_button().click()
            assert self._session.runs.busy
            self._until(lambda: not self._session.runs.busy and not page.tick())
            lane = page.lane(page.lane_ids[0])
            shown = lane.strip.values()
            if shown["tokens"].replace(",", "") == str(n_tokens):
                assert lane.state.result is not None
                self.prompt_tokens = lane.state.result.usage.prompt_tokens or 0
                return float(shown["tok/s"].replace(",", ""))
        raise SystemExit(f"no answer of {n_tokens} tokens came in {TRIES} tries: {shown}")

    def close(self) -> None:
        self._session.window.close()
        self._qt.processEvents()

    def _until(self, holds: Any) -> None:
        # Waits in the event loop as the app does, rather than asking all the time, which would take the other core.
        from PySide6.QtCore import QEventLoop, QTimer

        loop, timer = QEventLoop(), QTimer()
        timer.timeout.connect(lambda: loop.quit() if holds() else None)
        timer.start(50)
        loop.exec()
        timer.stop()


def _load_with(plans: Any, threads: int) -> None:
    """Every load with so many threads, which no setting of the app can ask for."""
    planned = plans.options

    async def options(ref: str, path: Path) -> Any:
        return replace(await planned(ref, path), n_threads=threads)

    plans.options = options


def chat(model: Path, threads: int, n_tokens: int) -> float:
    """`create_chat_completion` in a child, which prints its rate."""
    argv = [sys.executable, __file__, "--chat", str(model), str(threads), str(n_tokens)]
    return float(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()[-1])


def chat_here(path: str, threads: int, n_tokens: int) -> None:
    import llama_cpp

    # Any: its own types want one dictionary class per kind of message and chunk.
    llama: Any = llama_cpp.Llama(
        path, n_ctx=N_CTX, n_threads=threads, n_threads_batch=threads, flash_attn=True, verbose=False
    )
    messages = [{"role": "user", "content": QUESTION}]
    for seed in range(TRIES):
        stamps: list[int] = []
        length = False
        for chunk in llama.create_chat_completion(
            messages, stream=True, temperature=0.7, max_tokens=n_tokens, seed=seed, **THEIRS
        ):
            if "content" in chunk["choices"][0]["delta"]:
                stamps.append(time.monotonic_ns())
            length = chunk["choices"][0]["finish_reason"] == "length" or length
        if length:
            print((n_tokens - 1) * 1e9 / (stamps[-1] - stamps[0]))
            return
    raise SystemExit("no answer was long enough")


def measure(name: str, n_tokens: int, arguments: argparse.Namespace, *, with_chat: bool) -> list[Figure]:
    model = model_file(arguments.folder, name)
    program = llama_bench.ensure(arguments.llama_bench)
    from backends.local.threads import threads_for, usable_cores

    threads = arguments.threads or threads_for(usable_cores(), model.stat().st_size)
    rows: dict[str, list[float]] = {"displayed": [], "bench": [], "chat": []}
    with tempfile.TemporaryDirectory() as home:
        window = Window(Path(home), model, threads)
        window.tok_s(32)
        for number in range(ROUNDS_TIMES[name] * arguments.rounds):
            rows["displayed"].append(window.tok_s(n_tokens))
            depth = window.prompt_tokens
            rows["bench"].append(llama_bench.tok_s(program, model, threads=threads, n_gen=n_tokens, depth=depth))
            if with_chat:
                rows["chat"].append(chat(model, threads, n_tokens))
            shown = ", ".join(f"{way} {values[-1]:.1f}" for way, values in rows.items() if values)
            print(f"{name} {n_tokens} tokens, {threads} threads, round {number + 1}: {shown} tok/s", file=sys.stderr)
        window.close()
    what = f"{name}, {n_tokens} tokens, {threads} thread{'s' * (threads > 1)}"
    figures = [
        Figure(f"{what}: {way}", statistics.median(values), "tok/s", samples=tuple(values))
        for way, values in rows.items()
        if values
    ]
    figures.append(_ratio(f"{what}: displayed / bench", rows["displayed"], rows["bench"], AIMS[name]))
    if with_chat:
        figures.append(_ratio(f"{what}: displayed / chat", rows["displayed"], rows["chat"], TIMES_CHAT[n_tokens]))
    return figures


def _ratio(name: str, mine: Sequence[float], theirs: Sequence[float], aim: float | None) -> Figure:
    ratios = tuple(a / b for a, b in zip(mine, theirs, strict=True))
    return Figure(name, statistics.median(ratios), aim=aim, samples=ratios)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--threads", type=int, help="for all three; what the app chooses by default")
    parser.add_argument("--only", choices=AIMS)
    parser.add_argument("--chat", nargs=3, help=argparse.SUPPRESS)
    llama_bench.add_argument(parser)
    add_arguments(parser)
    arguments = parser.parse_args()
    if arguments.chat is not None:
        path, threads, n_tokens = arguments.chat
        chat_here(path, int(threads), int(n_tokens))
        return 0
    figures: list[Figure] = []
    if arguments.only != "1b":
        for n_tokens in TIMES_CHAT:
            figures += measure("56m", n_tokens, arguments, with_chat=True)
    if arguments.only != "56m":
        figures += measure("1b", 200, arguments, with_chat=False)
    return finish(figures, arguments, rounds=arguments.rounds, n_ctx=N_CTX)


if __name__ == "__main__":
    sys.exit(main())
