"""`nearfar run`: one prompt on the named targets, streamed to the terminal or as JSON lines. Must not import Qt."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date

from app.cli_print import JsonLines, Terminal, discard_output, reader_is_gone, say
from app.cli_signals import stop_on_signal
from app.cli_words import LOAD_ADVICE, typed
from app.estimates import estimates, may_cost
from app.exits import EXIT_CANCELLED, EXIT_FAILED, EXIT_OK
from backends.cloud.providers import model_of
from backends.compare import Comparison
from backends.errors import KeyMissing, NearfarError, Problem, UsageError
from backends.events import Cancelled, Event, Failed, Finished
from backends.ids import new_id
from backends.keys import usual_variable
from backends.models.errors import WouldNotFit
from backends.records import Prompt, RunRequest, Sampling, Target
from backends.targets import parse_target
from backends.workbench import Workbench
from widgets import estimate_words

GROUPED = "\u202f"
SOON_DAYS = 90  # a retirement is said from then on
MAX_STDIN_CHARS = 16 * 1024 * 1024

HISTORY_S = 1.0  # the first write takes milliseconds; a disk that hangs holds up no question for longer

Printer = Terminal | JsonLines


def run(arguments: argparse.Namespace) -> int:
    """Returns 0 when every answer is complete, 1 when a run failed or broke off, 130 when it was cancelled."""
    targets = [parse_target(name) for name in arguments.targets]
    prompt = Prompt.ask(_question(arguments.prompt), arguments.system)
    sampling = Sampling(
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
        seed=arguments.seed,
        reasoning_effort=arguments.reasoning_effort,
    )
    requests = [RunRequest(new_id("run"), target, prompt, sampling) for target in targets]
    bench = Workbench.open()
    for warning in bench.warnings:
        say(warning)
    bench.access.consent(targets)
    bench.access.keys_from_variables(arguments.key_variables, targets)
    for warning in _retirements(bench, targets):
        say(warning)
    printer = JsonLines(requests) if arguments.json else Terminal(requests, sys.stdout)
    if arguments.load_anyway:
        bench.local.plans.allow_all()
    if arguments.json or (sys.stderr is not None and sys.stderr.isatty()):
        _say_what_it_may_cost(bench, requests)
    return asyncio.run(_compare(bench, requests, printer, race=arguments.race))


def _say_what_it_may_cost(bench: Workbench, requests: Sequence[RunRequest]) -> None:
    """Before anything is sent. The table of prices is read for it only where a target is paid."""
    paid = [str(request.target) for request in requests if may_cost(str(request.target))]
    lanes = estimates(bench, paid, requests[0].prompt, requests[0].sampling) if paid else []
    if not lanes:
        return
    words = estimate_words.words(lanes).replace(GROUPED, "")  # digits as one can search and copy them
    if words.startswith("up to"):
        say(f"May cost {words}.")
    else:
        say("What it may cost is not known." if words == "cost unknown" else f"What it may cost: {words}.")


def _retirements(bench: Workbench, targets: Sequence[Target]) -> Iterator[str]:
    """A sentence for each model that its provider ends soon, or has ended."""
    today = date.today()  # noqa: DTZ011  announced days are calendar days
    for target in dict.fromkeys(targets):
        endpoint = bench.access.endpoint(target)
        day = bench.access.retires(endpoint, model_of(target)) if endpoint is not None else None
        if endpoint is None or day is None or (day - today).days > SOON_DAYS:
            continue
        verb = "retires" if day >= today else "has retired"
        yield f"{endpoint.label} {verb} {model_of(target)} on {day:%Y-%m-%d}."


def _question(text: str) -> str:
    question = _from_stdin() if text == "-" else text
    if not question.strip():
        raise UsageError("The prompt is empty.", fix="Type a question after `nearfar run`.")
    return question


def _from_stdin() -> str:
    if sys.stdin is None:  # closed by whoever started us
        raise UsageError("There is no standard input to read the prompt from.", fix="Type it after `nearfar run`.")
    question = sys.stdin.read(MAX_STDIN_CHARS + 1)
    if len(question) > MAX_STDIN_CHARS:
        raise UsageError(f"The prompt is longer than {MAX_STDIN_CHARS:,} characters.", fix="Shorten it.")
    return question


class Screen:
    """Between the engines and the printer: an engine never meets the printer's errors, the first of them stops it."""

    def __init__(self, printer: Printer, stop: Callable[[], None]) -> None:
        self._printer = printer
        self._stop = stop
        self.error: Exception | None = None

    def show(self, event: Event) -> None:
        """Never raises; shows nothing more after the first error."""
        if self.error is not None:
            return
        try:
            self._printer.show(event)
        except Exception as error:  # noqa: BLE001 - told to the person by `check`, when the engines are closed
            self.error = error
            self._stop()

    def check(self, *, is_kept: bool) -> None:
        """Raises NearfarError where something could not be printed, unless its reader had gone."""
        if self.error is None:
            return
        discard_output()
        if not reader_is_gone(self.error):
            why = getattr(self.error, "strerror", None) or type(self.error).__name__
            raise NearfarError(
                f"The answers could not be printed ({why}), so the runs were stopped.",
                safe="What arrived is in the history." if is_kept else "",
                fix="Send the output elsewhere and run it again.",
            )


async def _compare(bench: Workbench, requests: list[RunRequest], printer: Printer, *, race: bool) -> int:
    recording = bench.record(requests, "race" if race else "sequence", new_id("cmp"))
    screen = Screen(printer, lambda: comparison.stop_all())
    advice = _key_advice(bench, [request.target for request in requests])
    ends: list[Finished | Failed | Cancelled] = []

    def emit(event: Event) -> None:
        recording(event)
        if isinstance(event, Finished | Failed | Cancelled):
            ends.append(event)
        screen.show(_advised(event, advice, texts_kept=_is_kept(bench)))

    comparison = Comparison(requests, bench.engine_for, emit, "race" if race else "sequence")
    interrupted = stop_on_signal(comparison.stop_all)
    try:
        await bench.history.tried(HISTORY_S)
        await bench.run(comparison, requests)
    finally:
        await bench.close()
    if bench.history.problem is not None:
        say(_unwritten(bench.history.problem, ends))
    screen.check(is_kept=_is_kept(bench))
    if interrupted() or any(isinstance(end, Cancelled) for end in ends):
        return EXIT_CANCELLED
    return EXIT_OK if all(isinstance(end, Finished) and end.result.complete for end in ends) else EXIT_FAILED


def _is_kept(bench: Workbench) -> bool:
    """Whether prompt and answers are in the history, as far as is known now."""
    return bench.settings.keep_history and bench.history.problem is None


def _unwritten(problem: Problem, ends: Sequence[Finished | Failed | Cancelled]) -> str:
    """To be said once the last attempt to write has failed."""
    answers = sum(bool(end.result.text) for end in ends)
    lost = {0: "This prompt is", 1: "This answer is"}.get(answers, "These answers are")
    why = problem.what[:1].lower() + problem.what[1:]
    return f"The history could not be written: {why} {lost} kept nowhere else. {typed(problem).fix}"


def _key_advice(bench: Workbench, targets: Sequence[Target]) -> str:
    """What to type where a key is missing; the window has a dialog instead."""
    servers: dict[str, None] = {}
    for target in targets:
        endpoint = bench.access.endpoint(target)
        if endpoint is not None:
            servers[endpoint.key_name] = None
    named = [(f"{name}=" if len(servers) > 1 else "") + usual_variable(name) for name in servers]
    return (
        f"Name the variable that holds it: {' '.join(f'--key-env {each}' for each in named)}, or keep it in the "
        f"keyring: nearfar key set {next(iter(servers), 'PROVIDER')}."
    )


def _advised(event: Event, advice: str, *, texts_kept: bool) -> Event:
    """A failure in the words of a command line."""
    if not isinstance(event, Failed):
        return event
    problem = typed(event.problem, texts_kept=texts_kept)
    if problem.code == KeyMissing.code:
        problem = replace(problem, fix=advice)
    if problem.code == WouldNotFit.code:
        problem = replace(problem, fix=LOAD_ADVICE)
    return replace(event, problem=problem)
