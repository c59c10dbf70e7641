"""`nearfar run`: one prompt on the named targets, streamed to the terminal or as JSON lines. Must not import Qt."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable

from app.cli import EXIT_CANCELLED, EXIT_FAILED, EXIT_OK
from app.cli_print import JsonLines, Terminal
from backends.compare import Comparison
from backends.errors import UsageError
from backends.events import Event, Finished, is_terminal
from backends.ids import new_id
from backends.records import Prompt, RunRequest, Sampling
from backends.targets import parse_target
from backends.workbench import Workbench

MAX_STDIN_CHARS = 16 * 1024 * 1024


def run(arguments: argparse.Namespace) -> int:
    """Returns 0 when every run finished, 1 when one failed, 130 when it was cancelled."""
    targets = [parse_target(name) for name in arguments.targets]
    prompt = Prompt.ask(_question(arguments.prompt), arguments.system)
    sampling = Sampling(max_tokens=arguments.max_tokens, temperature=arguments.temperature, seed=arguments.seed)
    requests = [RunRequest(new_id("run"), target, prompt, sampling) for target in targets]
    bench = Workbench.open()
    bench.consent(targets)
    if arguments.key_env:
        bench.keys_from_variable(arguments.key_env, targets)
    printer = JsonLines(requests) if arguments.json else Terminal(requests, sys.stdout)
    return asyncio.run(_compare(bench, requests, printer, race=arguments.race))


def _question(text: str) -> str:
    question = sys.stdin.read(MAX_STDIN_CHARS) if text == "-" else text
    if not question.strip():
        raise UsageError("The prompt is empty.", fix="Type a question after `nearfar run`.")
    return question


async def _compare(bench: Workbench, requests: list[RunRequest], printer: Terminal | JsonLines, *, race: bool) -> int:
    recording = bench.record(requests, "race" if race else "sequence", new_id("cmp"))
    ends: list[Event] = []

    def emit(event: Event) -> None:
        recording(event)
        printer.show(event)
        if is_terminal(event):
            ends.append(event)

    comparison = Comparison(requests, bench.engine_for, emit, "race" if race else "sequence")
    interrupted = _stop_on_signal(comparison.stop_all)
    try:
        await comparison.run()
    finally:
        await bench.close()
    if interrupted():
        return EXIT_CANCELLED
    return EXIT_OK if all(isinstance(end, Finished) for end in ends) else EXIT_FAILED


def _stop_on_signal(stop: Callable[[], None]) -> Callable[[], bool]:
    """Ctrl-C and SIGTERM stop the lanes, so that what arrived is still printed and kept."""
    seen = [False]

    def handle(*_arguments: object) -> None:
        seen[0] = True
        stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, handle)
        except NotImplementedError:  # Windows loops have no signal handlers
            signal.signal(number, lambda *_arguments: loop.call_soon_threadsafe(handle))
    return lambda: seen[0]
