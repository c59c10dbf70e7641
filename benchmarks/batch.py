"""Total tok/s of 8 answers at once through the whole engine, beside a bare C-API loop and beside one answer. No window.

    bare     llama_batch of 8 sequences, greedy, nothing else, in a process of its own (batch_bare.py)
    engine   LocalEngine with n_parallel = 8: worker, pipe, events; tokens by their stamps, while all 8 are decoding
    one      the same engine with one answer under way

The three take turns in each round. Prompts are as long as the bare loop's, and so are the answers.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from figures import Figure, add_arguments, finish
from shapes import FOLDER, model_file

from backends.events import Delta, Event, Finished
from backends.local.engine import LocalEngine
from backends.local.facts import LoadOptions
from backends.local.threads import usable_cores
from backends.records import Prompt, RunRequest, Sampling, Target

N_PARALLEL = 8
N_CTX = 2048
QUESTION = "What does it mean to run a local model, and how many tok/s are enough for you? Number"
TARGET = Target("local", "benchmark")
AIM_BARE, AIM_ONE = 0.95, 1.5
BARE = Path(__file__).resolve().parent / "batch_bare.py"


async def stamps(engine: LocalEngine, number: int, n_tokens: int) -> tuple[list[int], int]:
    """When each token of one answer was drawn, and the length of its prompt."""
    events: list[Event] = []
    prompt = Prompt.ask(f"{QUESTION} {number}")
    await engine.run(
        RunRequest(f"run-{number}", TARGET, prompt, Sampling(max_tokens=n_tokens, temperature=0.0)), events.append
    )
    end = events[-1]
    assert isinstance(end, Finished), end
    assert end.result.usage.completion_tokens == n_tokens, "the answer ended early"
    drawn = [stamp for event in events if isinstance(event, Delta) for stamp in event.stamps_ns]
    return drawn, end.result.usage.prompt_tokens or 0


async def together(engine: LocalEngine, count: int, n_tokens: int) -> tuple[float, int]:
    """Tokens a second of all answers while all of them are decoding, and the length of a prompt."""
    answers = await asyncio.gather(*(stamps(engine, number, n_tokens) for number in range(count)))
    start = max(drawn[0] for drawn, _ in answers)
    end = min(drawn[-1] for drawn, _ in answers)
    n_drawn = sum(start < stamp <= end for drawn, _ in answers for stamp in drawn)
    return n_drawn * 1e9 / (end - start), answers[0][1]


def bare(model: Path, n_prompt: int, n_tokens: int, threads: int) -> float:
    command = [sys.executable, str(BARE), str(model), *map(str, (N_PARALLEL, n_prompt, n_tokens, N_CTX, threads))]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


async def measure(model: Path, rounds: int, n_tokens: int, threads: int) -> list[Figure]:
    engine = LocalEngine(model, options=LoadOptions(n_ctx=N_CTX, n_threads=threads, n_parallel=N_PARALLEL))
    to_bare: list[float] = []
    to_one: list[float] = []
    try:
        _, n_prompt = await together(engine, N_PARALLEL, 16)
        for number in range(rounds):
            alone = await asyncio.to_thread(bare, model, n_prompt, n_tokens, threads)
            all_tok_s, _ = await together(engine, N_PARALLEL, n_tokens)
            one_tok_s, _ = await together(engine, 1, n_tokens)
            print(
                f"round {number + 1}: bare {alone:.0f}, engine {all_tok_s:.0f}, one {one_tok_s:.0f} tok/s",
                file=sys.stderr,
            )
            to_bare.append(all_tok_s / alone)
            to_one.append(all_tok_s / one_tok_s)
    finally:
        await engine.close()
    return [
        _figure(f"{N_PARALLEL} answers through the engine / bare loop, total tok/s", to_bare, AIM_BARE),
        _figure(f"{N_PARALLEL} answers / one answer, total tok/s", to_one, AIM_ONE),
    ]


def _figure(name: str, samples: Sequence[float], aim: float) -> Figure:
    return Figure(name, statistics.median(samples), aim=aim, samples=tuple(samples))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=500, help="tokens of each answer (500)")
    parser.add_argument("--threads", type=int, help="all cores by default: the machine should be idle")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    add_arguments(parser)
    arguments = parser.parse_args()
    model = model_file(arguments.folder, "56m")
    threads = arguments.threads or usable_cores()
    figures = asyncio.run(measure(model, arguments.rounds, arguments.tokens, threads))
    return finish(figures, arguments, rounds=arguments.rounds, tokens=arguments.tokens, threads=threads)


if __name__ == "__main__":
    sys.exit(main())
