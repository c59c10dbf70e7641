"""`nearfar bench`: what one model reaches on this machine, and what the app costs. Must not import Qt or keep texts."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from app.cli_parser import Parser, number
from app.cli_print import StatusLine, json_text, say
from app.cli_signals import stop_on_signal
from app.cli_words import LOAD_ADVICE
from app.exits import EXIT_CANCELLED, EXIT_OK
from backends.errors import NearfarError, UnknownTarget
from backends.models.errors import WouldNotFit
from backends.records import Target
from backends.targets import PROVIDERS, parse_target

if TYPE_CHECKING:
    from backends.bench import BenchWish
    from backends.bench_figures import BenchReport

MOST_ROUNDS, MOST_TOKENS = 100, 1_000_000
BENCH_ENDS = (
    "Nothing is sent anywhere and nothing is written to the history. Exit status: 0 done; 1 the model could not run; "
    "2 bad usage, nothing was started; 130 stopped."
)


def add_bench(commands: argparse._SubParsersAction[Parser]) -> None:
    """Declare the command and its arguments."""
    bench = commands.add_parser(
        "bench",
        help="how fast a model of this machine reads and writes, and what the app costs",
        epilog=BENCH_ENDS,
        allow_abbrev=False,
    )
    bench.add_argument(
        "model", metavar="MODEL", help="demo, MODEL:QUANT as `nearfar models list` has it, or /path/to/file.gguf"
    )
    for name, default, most, words in (
        ("--rounds", 3, MOST_ROUNDS, "how often to measure"),
        ("--prompt-tokens", 512, MOST_TOKENS, "about how long the prompts are"),
        ("--tokens", 128, MOST_TOKENS, "how much to decode in each round"),
    ):
        bench.add_argument(name, type=_up_to(most), default=default, metavar="N", help=f"{words} (default: {default})")
    bench.add_argument("--load-anyway", action="store_true", help="load the model even where it would not fit now")
    bench.add_argument("--json", action="store_true", help="one JSON object")


def _up_to(most: int) -> Callable[[str], int]:
    return lambda text: number(text, int, 1, most, f"a whole number from 1 to {most}")


def bench(arguments: argparse.Namespace) -> int:
    """Returns 0, or 130 when it was stopped; raises NearfarError where the model cannot run."""
    from app.bench_text import as_text
    from backends.bench import BenchWish
    from backends.bench_figures import report_as_json

    target = local_target(arguments.model)
    wish = BenchWish(arguments.rounds, arguments.prompt_tokens, arguments.tokens)
    report = asyncio.run(_measure(target, wish, load_anyway=arguments.load_anyway))
    if report is None:
        return EXIT_CANCELLED
    print(json_text(report_as_json(report)) if arguments.json else as_text(report))
    return EXIT_OK


def local_target(name: str) -> Target:
    """What `--target` takes for models of this machine, with or without `local:`. Raises UnknownTarget."""
    provider = name.strip().partition(":")[0]
    if provider == "practice" or (provider in PROVIDERS and provider != "local"):
        raise UnknownTarget(
            "Only models that run in this app can be measured.",
            fix="Name one as `nearfar models list` has it, demo, or the path of a .gguf file.",
        )
    return parse_target(name if provider == "local" else f"local:{name.strip()}")


async def _measure(target: Target, wish: BenchWish, *, load_anyway: bool) -> BenchReport | None:
    """None where it was stopped."""
    from backends.bench import measure
    from backends.workbench import Workbench

    workbench = Workbench.open()
    for warning in workbench.warnings:
        say(warning)
    if load_anyway:
        workbench.local.plans.allow_all()
    progress = _Progress()
    task = asyncio.create_task(measure(workbench, target, wish, progress.show))

    def stop() -> None:
        task.cancel()

    interrupted = stop_on_signal(stop)
    try:
        return await task
    except asyncio.CancelledError:
        if not interrupted():
            raise
        return None
    except NearfarError as error:
        if error.problem.code == WouldNotFit.code:
            error.problem = replace(error.problem, fix=LOAD_ADVICE)
        raise
    finally:
        progress.wipe()
        await workbench.close()


class _Progress:
    """One line on standard error, written anew for each step; nothing where that is no terminal."""

    def __init__(self) -> None:
        self._line: StatusLine | None = None

    def show(self, text: str) -> None:
        self.wipe()
        self._line = StatusLine(f"{text} ...")

    def wipe(self) -> None:
        if self._line is not None:
            self._line.wipe()
