"""Reading a long prompt: our engine beside llama-bench pp, the best n_batch, and how soon Stop stops. No window.

table    llama-bench for each n_batch (= n_ubatch): what decides CPU_BATCH in backends/local/facts.py
engine   LocalEngine: worker, pipe, progress; from the first progress event to the last
cancel   from the task's cancelling, at points spread over the prompt, to the run's Cancelled
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import llama_bench
from figures import Figure, add_arguments, finish
from shapes import FOLDER, model_file

from backends.events import Cancelled, Event, Prefill
from backends.local.engine import LocalEngine
from backends.local.facts import CPU_BATCH, LoadOptions
from backends.local.threads import threads_for, usable_cores
from backends.records import Prompt, RunRequest, Sampling, Target

N_PROMPT = {"56m-long": 16_000, "1b": 2_000}
WIDTHS = (64, 128, 256, 512, 1024)
WORD = " the"
AIM = 0.97
CANCEL_AIM_S = 0.2
CANCELS = 5
TARGET = Target("local", "benchmark")


class Prompts:
    """Prompts of a wished length in tokens, no two of which begin alike: nothing of one is reused for the next."""

    def __init__(self, n_tokens: int) -> None:
        self._n_tokens = n_tokens
        self._number = 0

    def next(self) -> RunRequest:
        self._number += 1
        # The template's own tokens and the number's digits are few beside the words.
        text = f"{self._number}:" + WORD * (self._n_tokens - 24)
        return RunRequest(f"run-{self._number}", TARGET, Prompt.ask(text), Sampling(max_tokens=1, seed=1))


async def ours(engine: LocalEngine, request: RunRequest) -> float:
    """Prompt tokens per second, by the stamps of progress, first to last."""
    seen: list[Prefill] = []
    await engine.run(request, lambda event: seen.append(event) if isinstance(event, Prefill) else None)
    first, last = seen[0], seen[-1]
    assert first.done == 0, "something was reused"
    assert last.done == last.total
    return last.done * 1e9 / (last.at_ns - first.at_ns)


async def stopped_after_s(engine: LocalEngine, request: RunRequest, share: float) -> float:
    """Seconds from cancelling in mid-prompt, when this share of it is read, to the end of the run."""
    events: list[Event] = []
    reached = asyncio.Event()

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, Prefill) and event.done >= share * event.total:
            reached.set()

    task = asyncio.create_task(engine.run(request, emit))
    await reached.wait()
    await asyncio.sleep(0.05)  # into the middle of a chunk
    started = time.monotonic()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    took_s = time.monotonic() - started
    assert isinstance(events[-1], Cancelled), "the prompt was read before it could be stopped"
    return took_s


async def measure(name: str, arguments: argparse.Namespace, threads: int) -> list[Figure]:
    model, program = model_file(arguments.folder, name), llama_bench.ensure(arguments.llama_bench)
    n_prompt = N_PROMPT[name]
    table: dict[int, list[float]] = {width: [] for width in WIDTHS}
    mine: list[float] = []
    prompts = Prompts(n_prompt)
    engine = LocalEngine(model, options=LoadOptions(n_ctx=n_prompt + 512, n_threads=threads))
    try:
        await ours(engine, Prompts(600).next())  # loads the model
        for number in range(arguments.rounds):
            mine.append(await ours(engine, prompts.next()))
            for width, values in table.items():
                values.append(
                    llama_bench.tok_s(program, model, threads=threads, n_prompt=n_prompt, n_gen=0, n_batch=width)
                )
            shown = ", ".join(f"{width}: {values[-1]:.0f}" for width, values in table.items())
            print(f"{name} round {number + 1}: ours {mine[-1]:.0f}; {shown} tok/s", file=sys.stderr)
        stops = [await stopped_after_s(engine, prompts.next(), (at + 0.5) / CANCELS) for at in range(CANCELS)]
    finally:
        await engine.close()
    best = max(table, key=lambda width: statistics.median(table[width]))
    ratios = tuple(a / b for a, b in zip(mine, table[best], strict=True))
    what = f"{name}, {n_prompt:,} tokens, {threads} thread{'s' * (threads > 1)}"
    return [
        Figure(f"{what}: ours, n_batch {CPU_BATCH}", statistics.median(mine), "tok/s", samples=tuple(mine)),
        *(
            Figure(f"{what}: llama-bench, n_batch {width}", statistics.median(values), "tok/s", samples=tuple(values))
            for width, values in table.items()
        ),
        Figure(f"{what}: ours / best llama-bench ({best})", statistics.median(ratios), aim=AIM, samples=ratios),
        Figure(f"{what}: longest cancel", max(stops), "s", aim=CANCEL_AIM_S, less=True, samples=tuple(stops)),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=N_PROMPT, default=list(N_PROMPT))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="as the app chooses by default")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    llama_bench.add_argument(parser)
    add_arguments(parser)
    arguments = parser.parse_args()
    figures: list[Figure] = []
    for name in arguments.models:
        size = model_file(arguments.folder, name).stat().st_size
        threads = arguments.threads or threads_for(usable_cores(), size)
        figures += asyncio.run(measure(name, arguments, threads))
    return finish(figures, arguments, rounds=arguments.rounds)


if __name__ == "__main__":
    sys.exit(main())
