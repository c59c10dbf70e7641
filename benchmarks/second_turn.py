"""TTFT of a conversation's tenth turn, of an edit and of a conversation that comes back, beside cold ones. No window.

Each is set beside a fresh engine that reads the same messages with nothing to reuse; at temperature 0 the texts must
be equal.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from figures import Figure, add_arguments, finish
from shapes import FOLDER, model_file

from backends.events import Event, Finished
from backends.local.engine import LocalEngine
from backends.local.facts import LoadOptions
from backends.local.threads import threads_for, usable_cores
from backends.local.worker import REST_S
from backends.records import Message, Prompt, RunRequest, RunResult, Sampling, Target

TURNS = 10
N_CTX = 8192
ANSWER_TOKENS = 100
WORDS = "the model that runs on this machine and the one in the cloud answer the same question in turns "
AIM = 0.15
TARGET = Target("local", "benchmark")


@dataclass(frozen=True, slots=True)
class Way:
    """How tokens are drawn: only the repeatable way must give the same text."""

    name: str
    temperature: float

    def sampling(self, seed: int | None) -> Sampling:
        return Sampling(max_tokens=ANSWER_TOKENS, temperature=self.temperature, seed=seed)


WAYS = (Way("temperature 0", 0.0), Way("drawn", 0.7))


def question(topic: str, turn: int) -> Message:
    return Message("user", f"{topic} {turn}: " + WORDS * 3)


async def answer(engine: LocalEngine, messages: Sequence[Message], way: Way) -> RunResult:
    events: list[Event] = []
    request = RunRequest("run", TARGET, Prompt(tuple(messages)), way.sampling(None))
    await engine.run(request, events.append)
    end = events[-1]
    assert isinstance(end, Finished), end
    return end.result


async def talk(engine: LocalEngine, topic: str, turns: int, way: Way) -> list[Message]:
    """A conversation of so many turns; ends with an answer."""
    messages: list[Message] = []
    for turn in range(turns):
        messages.append(question(topic, turn))
        messages.append(Message("assistant", (await answer(engine, messages, way)).text))
    return messages


class Pair:
    """A warm engine, and a cold one for each comparison."""

    def __init__(self, model: Path, threads: int) -> None:
        self._model = model
        self._options = LoadOptions(n_ctx=N_CTX, n_threads=threads)
        self.warm = LocalEngine(model, options=self._options)

    async def ratio(self, messages: Sequence[Message], way: Way) -> float:
        """TTFT warm over TTFT cold; the same text where it must be the same."""
        warm = await answer(self.warm, messages, way)
        cold_engine = LocalEngine(self._model, options=self._options)
        try:
            await answer(cold_engine, [Message("user", "Hello")], way)  # loads the model
            cold = await answer(cold_engine, messages, way)
        finally:
            await cold_engine.close()
        if way.temperature == 0 and warm.text != cold.text:
            raise SystemExit("the text is another one than without reuse")
        assert warm.ttft_ms is not None
        assert cold.ttft_ms is not None
        print(
            f"  {warm.usage.prompt_tokens:,} tokens, {warm.usage.cached_tokens:,} reused: "
            f"{warm.ttft_ms:.0f} ms, cold {cold.ttft_ms:.0f} ms",
            file=sys.stderr,
        )
        return warm.ttft_ms / cold.ttft_ms


async def one_round(pair: Pair, way: Way, number: int) -> dict[str, float]:
    """The ratios of one round, each of another conversation."""
    first = await talk(pair.warm, f"first {number}", TURNS - 1, way)
    turn_10 = await pair.ratio([*first, question("last", TURNS)], way)
    await asyncio.sleep(2 * REST_S)  # as long as a person needs to turn to another conversation
    await talk(pair.warm, f"second {number}", TURNS - 1, way)
    back = await pair.ratio([*first, question("back", TURNS)], way)
    last_edited = [*first[:-2], Message("user", first[-2].text + " And why?")]
    edit = await pair.ratio(last_edited, way)
    return {"turn 10": turn_10, "back from another conversation": back, "last question edited": edit}


async def measure(pair: Pair, rounds: int) -> list[Figure]:
    figures: list[Figure] = []
    try:
        for way in WAYS:
            print(way.name, file=sys.stderr)
            runs = [await one_round(pair, way, number) for number in range(rounds)]
            figures += [
                Figure(
                    f"{way.name}: {what}",
                    statistics.median(run[what] for run in runs),
                    aim=AIM,
                    less=True,
                    samples=tuple(run[what] for run in runs),
                )
                for what in runs[0]
            ]
    finally:
        await pair.warm.close()
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="as the app chooses by default")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    add_arguments(parser)
    arguments = parser.parse_args()
    model = model_file(arguments.folder, "56m")
    threads = arguments.threads or threads_for(usable_cores(), model.stat().st_size)
    figures = asyncio.run(measure(Pair(model, threads), arguments.rounds))
    return finish(figures, arguments, rounds=arguments.rounds, threads=threads, turns=TURNS)


if __name__ == "__main__":
    sys.exit(main())
