"""Measures decoding: our loop and our whole engine beside llama-cpp-python's own two ways. Must not know the window.

    loop      our decode loop, in this process
    engine    LocalEngine: worker process, pipe, events; by the stamps of its tokens
    generate  Llama.generate: tokens only, no text
    chat      Llama.create_chat_completion(stream=True): what most programs use

Models have random weights and are made on the spot. The ways take turns, so that a busy machine slows all of them
alike, and each rate is (N - 1) / (last token - first token) of one answer. Compare ratios, not rates, between days.
On a machine that other work shares, read the ratio of CPU time and give --threads 1: waiting threads burn time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import llama_cpp
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shapes import FOLDER, model_file

from backends.events import Delta, Event
from backends.local.decode import Session
from backends.local.engine import LocalEngine
from backends.local.facts import LoadOptions
from backends.local.log_capture import LogCapture
from backends.local.model import AbortFlag, LoadedModel
from backends.local.native import Native
from backends.records import Message, Prompt, RunRequest, Sampling, Target

MODELS = ("56m", "1b")
QUESTION = "What does it mean to run a local model, and how many tok/s are enough for you?"
N_CTX = 4096
SEED = 1
THEIRS = {"top_k": 40, "top_p": 0.95, "min_p": 0.05, "repeat_penalty": 1.0}  # our own defaults
AIMS = {("56m", "loop"): 1.3, ("1b", "loop"): 1.0}  # times `chat`


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer: its decode rate, and the CPU time of all processes at work, prompt included."""

    tok_s: float
    cpu_ms_per_token: float


@dataclass(frozen=True, slots=True)
class Row:
    """One way on one model over all rounds; the ratios to `chat` are medians of ratios within a round."""

    model: str
    way: str
    samples: list[Sample]
    times_chat: float
    cpu_times_chat: float

    @property
    def tok_s(self) -> list[float]:
        return [sample.tok_s for sample in self.samples]

    @property
    def median_tok_s(self) -> float:
        return statistics.median(self.tok_s)

    @property
    def median_cpu_ms(self) -> float:
        return statistics.median(sample.cpu_ms_per_token for sample in self.samples)


Way = Callable[[int], float]
CpuClock = Callable[[], float]


def rate(stamps_ns: Sequence[int], wanted: int) -> float:
    """Tokens per second between the first and the last stamp."""
    if len(stamps_ns) < wanted:
        raise SystemExit(f"only {len(stamps_ns)} of {wanted} tokens came: the context is too short for this test")
    return (len(stamps_ns) - 1) * 1e9 / (stamps_ns[-1] - stamps_ns[0])


def our_loop(path: Path, threads: int) -> Way:
    native = Native()
    options = LoadOptions(n_ctx=N_CTX, n_threads=threads)
    model = LoadedModel(
        native, LogCapture(native.api), AbortFlag(native.api), path, path.name, options, lambda _fraction: None
    )
    session = Session(model)
    assert model.template is not None
    prompt = session.tokenize(model.template.render([Message("user", QUESTION)]), add_special=False)

    def run(n_tokens: int) -> float:
        stamps: list[int] = []
        session.run(
            prompt,
            Sampling(max_tokens=n_tokens, seed=SEED),
            exact=True,
            on_prefill=lambda _done, _total: None,
            on_text=lambda _text, new: stamps.extend(new),
        )
        return rate(stamps, n_tokens)

    return run


def our_engine(path: Path, threads: int, loop: asyncio.Runner) -> tuple[Way, CpuClock]:
    async def make() -> LocalEngine:
        return LocalEngine(path, options=LoadOptions(n_ctx=N_CTX, n_threads=threads))

    engine = loop.run(make())
    target = Target("local", path.name)

    def run(n_tokens: int) -> float:
        stamps: list[int] = []

        def collect(event: Event) -> None:
            if isinstance(event, Delta):
                stamps.extend(event.stamps_ns)

        sampling = Sampling(max_tokens=n_tokens, seed=SEED)
        loop.run(engine.run(RunRequest("run-1", target, Prompt.ask(QUESTION), sampling), collect))
        return rate(stamps, n_tokens)

    def cpu_s() -> float:
        pid = engine.worker_pid
        worker = psutil.Process(pid).cpu_times() if pid is not None else None
        return time.process_time() + (worker.user + worker.system if worker is not None else 0.0)

    return run, cpu_s


def their_ways(path: Path, threads: int) -> tuple[Way, Way]:
    # Any: its own types want one dictionary class per kind of message and chunk.
    llama: Any = llama_cpp.Llama(
        str(path), n_ctx=N_CTX, n_threads=threads, n_threads_batch=threads, flash_attn=True, verbose=False
    )

    def generate(n_tokens: int) -> float:
        stamps: list[int] = []
        for _token in llama.generate(llama.tokenize(QUESTION.encode()), temp=0.7, **THEIRS):
            stamps.append(time.monotonic_ns())
            if len(stamps) == n_tokens:
                break
        return rate(stamps, n_tokens)

    def chat(n_tokens: int) -> float:
        stamps: list[int] = []
        messages = [{"role": "user", "content": QUESTION}]
        stream = llama.create_chat_completion(
            messages, stream=True, temperature=0.7, max_tokens=n_tokens, seed=SEED, **THEIRS
        )
        for chunk in stream:
            if "content" in chunk["choices"][0]["delta"]:
                stamps += (time.monotonic_ns(),)
        # A chunk holds one token or more where a character spans tokens: the rate is over tokens, not chunks.
        return (n_tokens - 1) * 1e9 / (stamps[-1] - stamps[0])

    return generate, chat


def measure(name: str, path: Path, rounds: int, n_tokens: int, threads: int) -> list[Row]:
    """All ways in turn, `rounds` times; the first round of each is a warm-up of 16 tokens and does not count."""
    with asyncio.Runner() as loop:
        generate, chat = their_ways(path, threads)
        engine, engine_cpu_s = our_engine(path, threads, loop)
        ways: dict[str, tuple[Way, CpuClock]] = {
            "loop": (our_loop(path, threads), time.process_time),
            "engine": (engine, engine_cpu_s),
            "generate": (generate, time.process_time),
            "chat": (chat, time.process_time),
        }
        results: dict[str, list[Sample]] = {way: [] for way in ways}
        for run, _cpu_s in ways.values():
            run(16)
        for number in range(rounds):
            for way, (run, cpu_s) in ways.items():
                started_s = cpu_s()
                tok_s = run(n_tokens)
                results[way].append(Sample(tok_s, (cpu_s() - started_s) * 1000 / n_tokens))
                print(f"{name} round {number + 1} {way:8} {tok_s:8.1f} tok/s", file=sys.stderr)
    return [row_of(name, way, samples, results["chat"]) for way, samples in results.items()]


def row_of(name: str, way: str, samples: list[Sample], chat: Sequence[Sample]) -> Row:
    pairs = list(zip(samples, chat, strict=True))
    return Row(
        name,
        way,
        samples,
        times_chat=statistics.median(mine.tok_s / theirs.tok_s for mine, theirs in pairs),
        cpu_times_chat=statistics.median(theirs.cpu_ms_per_token / mine.cpu_ms_per_token for mine, theirs in pairs),
    )


def report(rows: Sequence[Row]) -> str:
    lines = [
        "| model | way | median tok/s | low | high | times chat | CPU ms/token | times chat, by CPU time |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.model} | {row.way} | {row.median_tok_s:.1f} | {min(row.tok_s):.1f} | {max(row.tok_s):.1f} "
        f"| {row.times_chat:.2f} | {row.median_cpu_ms:.3f} | {row.cpu_times_chat:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def missed_aims(rows: Sequence[Row]) -> list[str]:
    return [
        f"{row.model} {row.way}: {row.times_chat:.2f} times chat, the aim is {AIMS[row.model, row.way]}"
        for row in rows
        if row.times_chat < AIMS.get((row.model, row.way), 0.0)
    ]


def save(path: Path, rows: Sequence[Row], arguments: argparse.Namespace, threads: int) -> None:
    facts = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "llama_cpp_python": llama_cpp.__version__,
        "threads": threads,
        "tokens": arguments.tokens,
        "rounds": arguments.rounds,
        "rows": [
            {
                "model": row.model,
                "way": row.way,
                "median_tok_s": round(row.median_tok_s, 1),
                "tok_s": [round(value, 1) for value in row.tok_s],
                "times_chat": round(row.times_chat, 3),
                "cpu_ms_per_token": round(row.median_cpu_ms, 4),
                "cpu_times_chat": round(row.cpu_times_chat, 3),
            }
            for row in rows
        ],
    }
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def compare(path: Path, rows: Sequence[Row]) -> str:
    before = {(row["model"], row["way"]): row for row in json.loads(path.read_text(encoding="utf-8"))["rows"]}
    lines = [f"against {path.name}:"]
    lines += [
        f"  {row.model} {row.way:8} {row.median_tok_s / old['median_tok_s']:.2f} of its tok/s, "
        f"times chat {old['times_chat']:.2f} -> {row.times_chat:.2f}"
        for row in rows
        if (old := before.get((row.model, row.way))) is not None
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--tokens", type=int, default=1000, help="tokens per answer (1000)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="all physical cores by default: the machine should be idle")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--save", type=Path, help="write the figures to this file")
    parser.add_argument("--compare", type=Path, help="print the change against figures saved before")
    arguments = parser.parse_args()
    threads = arguments.threads or psutil.cpu_count(logical=False) or 1
    rows: list[Row] = []
    for name in arguments.models:
        path = model_file(arguments.folder, name)
        rows += measure(name, path, arguments.rounds, arguments.tokens, threads)
    print(report(rows))
    if arguments.compare is not None:
        print(compare(arguments.compare, rows))
    if arguments.save is not None:
        save(arguments.save, rows, arguments, threads)
    missed = missed_aims(rows)
    for line in missed:
        print(line)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
