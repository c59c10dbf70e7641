"""What our own work costs per token as an answer grows to 16,000 tokens, and what memory it takes. In one process.

Our work is all of a token's time but what passes inside llama_decode: sampling, text, flushing, and the line that the
worker writes to its pipe. The pipe ends in /dev/null here, the rest is the worker's own code.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from decode import QUESTION
from figures import Figure, add_arguments, finish
from shapes import FOLDER, model_file

from backends.local.decode import Session
from backends.local.facts import LoadOptions
from backends.local.log_capture import LogCapture
from backends.local.messages import TextDelta
from backends.local.model import AbortFlag, LoadedModel
from backends.local.native import Native
from backends.local.worker_io import Outlet
from backends.records import Message, Sampling

QUARTERS = 4
AIM = 1.1
TEXT_BYTES_AIM = 40.0  # per token: its text, its place in the cache's list; 16 bytes are one pointer and one number


class TimedApi:
    """llama.cpp's functions, with a clock around llama_decode."""

    def __init__(self, api: Any) -> None:
        self._api = api
        self.inside_ns = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def llama_decode(self, context: Any, batch: Any) -> int:
        started = time.monotonic_ns()
        status = int(self._api.llama_decode(context, batch))
        self.inside_ns += time.monotonic_ns() - started
        return status


class Watch:
    """Notes total and inside time where a quarter of the answer is done."""

    def __init__(self, api: TimedApi, n_tokens: int) -> None:
        self._api = api
        self._step = n_tokens // QUARTERS
        self._outlet = Outlet(os.open(os.devnull, os.O_WRONLY))
        self._n = 0
        self.marks: list[tuple[int, int, int]] = []  # tokens, clock, time inside
        self.traced: list[int] = []
        self.text_bytes = 0

    def on_text(self, text: str, stamps: tuple[int, ...]) -> None:
        self._outlet.send(TextDelta(1, text, stamps))
        self.text_bytes += len(text.encode())
        before, self._n = self._n, self._n + len(stamps)
        if not self.marks or before // self._step != self._n // self._step:
            self.marks.append((self._n, time.monotonic_ns(), self._api.inside_ns))
            if tracemalloc.is_tracing():
                self.traced.append(tracemalloc.get_traced_memory()[0])

    def overheads_us(self) -> list[float]:
        """Our own time per token in each quarter, in microseconds."""
        return [
            ((at - at0) - (inside - inside0)) / 1000 / (n - n0)
            for (n0, at0, inside0), (n, at, inside) in zip(self.marks, self.marks[1:], strict=False)
        ]


def answer(model: LoadedModel, n_tokens: int) -> Watch:
    """One answer from an empty cache; tries other seeds where the model ends it by chance."""
    assert model.template is not None
    for seed in range(20):
        session = Session(model)
        api = TimedApi(model.api)
        session._api = api
        watch = Watch(api, n_tokens)
        prompt = session.tokenize(model.template.render([Message("user", QUESTION)]), add_special=False)
        gc.collect()
        session.run(
            prompt,
            Sampling(max_tokens=n_tokens + 8, seed=seed),
            exact=True,
            on_prefill=lambda _done, _total: None,
            on_text=watch.on_text,
        )
        session.close()
        if len(watch.marks) > QUARTERS:
            return watch
    raise SystemExit("the model ended every answer early")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=16_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    add_arguments(parser)
    arguments = parser.parse_args()
    native = Native()
    path = model_file(arguments.folder, "56m-long")
    options = LoadOptions(n_ctx=arguments.tokens + 512, n_threads=arguments.threads)
    model = LoadedModel(
        native, LogCapture(native.api), AbortFlag(native.api), path, path.name, options, lambda _fraction: None
    )
    rounds = [answer(model, arguments.tokens).overheads_us() for _ in range(arguments.rounds)]
    for quarters in rounds:
        print("us per token by quarter:", ", ".join(f"{value:.1f}" for value in quarters[:QUARTERS]), file=sys.stderr)
    tracemalloc.start()
    watch = answer(model, arguments.tokens)
    per_token = (watch.traced[QUARTERS] - watch.traced[1]) / (watch.marks[QUARTERS][0] - watch.marks[1][0])
    tracemalloc.stop()
    ratios = tuple(quarters[QUARTERS - 1] / quarters[0] for quarters in rounds)
    costs = tuple(statistics.median(quarters[:QUARTERS]) for quarters in rounds)
    figures = [
        Figure("own cost, last quarter / first", statistics.median(ratios), aim=AIM, less=True, samples=ratios),
        Figure("own cost per token", statistics.median(costs), "us", less=True, samples=costs),
        Figure("Python memory kept per token", per_token, "bytes", aim=TEXT_BYTES_AIM, less=True),
        Figure("text per token", watch.text_bytes / arguments.tokens, "bytes", less=True),
    ]
    return finish(figures, arguments, tokens=arguments.tokens, threads=arguments.threads, rounds=arguments.rounds)


if __name__ == "__main__":
    sys.exit(main())
