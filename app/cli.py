"""The command line: reads what was typed and hands it to one command. Must not import Qt or any engine."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import get_args

from app.cli_bench import add_bench
from app.cli_fit import add_fit
from app.cli_key import add_key
from app.cli_models import add_models
from app.cli_parser import Parser, number
from app.cli_print import discard_output, reader_is_gone, say, use_utf8
from app.cli_words import typed
from app.exits import EXIT_CANCELLED, EXIT_FAILED, EXIT_OK, EXIT_USAGE
from backends.errors import NearfarError, UsageError
from backends.records import Effort
from backends.version import APP_VERSION

RUN_ENDS = (
    "Exit status: 0 every answer is complete; 1 a run failed, or the server ended an answer early so that it is "
    "incomplete; 2 bad usage, nothing was started; 130 stopped."
)


def build_parser() -> Parser:
    parser = Parser(
        prog="nearfar",
        description="Compare a local Llama and a cloud model on your own prompts. Without a command: the window.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nearfar {APP_VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    _add_run(commands)
    _add_doctor(commands)
    add_fit(commands)
    add_bench(commands)
    add_models(commands)
    add_key(commands)
    _add_history(commands)
    commands.add_parser("gui", help="open the window (the default)")
    return parser


def _add_run(commands: argparse._SubParsersAction[Parser]) -> None:
    run = commands.add_parser("run", help="one prompt on one or more targets", epilog=RUN_ENDS, allow_abbrev=False)
    run.add_argument("prompt", metavar="PROMPT", help="the question; - reads it from standard input")
    run.add_argument(
        "--target",
        dest="targets",
        metavar="T",
        action="append",
        required=True,
        help="local:demo, local:/path/to/file.gguf, practice, openai:gpt-4o, ollama:MODEL, custom:NAME/MODEL; "
        "repeat to compare",
    )
    run.add_argument("--system", metavar="S", help="system prompt")
    run.add_argument("--max-tokens", type=_positive, metavar="N", default=1024)
    run.add_argument("--temperature", type=_temperature, metavar="X", default=0.7)
    run.add_argument("--seed", type=_seed, metavar="N")
    run.add_argument(
        "--reasoning-effort",
        choices=get_args(Effort),
        metavar="E",
        help=f"{', '.join(get_args(Effort))}: sent to models that are known to take it",
    )
    run.add_argument(
        "--key-env",
        dest="key_variables",
        metavar="[PROVIDER=]NAME",
        action="append",
        default=[],
        help="variable that holds the API key of the cloud targets, in place of one that `nearfar key set` keeps; with "
        "several providers, one for each: "
        "--key-env openai=OPENAI_API_KEY --key-env custom:lab=LAB_API_KEY",
    )
    run.add_argument("--load-anyway", action="store_true", help="load local models even where they would not fit now")
    run.add_argument("--race", action="store_true", help="all targets at once (they compete for this machine)")
    run.add_argument("--json", action="store_true", help="one JSON object per event and line")


def _add_doctor(commands: argparse._SubParsersAction[Parser]) -> None:
    doctor = commands.add_parser("doctor", help="what this machine has, and what is wrong", allow_abbrev=False)
    doctor.add_argument("--json", action="store_true")


def _add_history(commands: argparse._SubParsersAction[Parser]) -> None:
    history = commands.add_parser("history", help="past comparisons", allow_abbrev=False)
    actions = history.add_subparsers(
        dest="action", metavar="list|show|search|export", required=True, parser_class=Parser
    )
    listing = actions.add_parser("list", help="the newest comparisons")
    listing.add_argument("--limit", type=_positive, default=20, metavar="N")
    show = actions.add_parser("show", help="one comparison with its answers and figures")
    show.add_argument("comparison_id", metavar="ID", help="as printed by list; any unique beginning will do")
    search = actions.add_parser("search", help="comparisons whose prompt or answers hold these words")
    search.add_argument("text", metavar="TEXT")
    export = actions.add_parser("export", help="one comparison as Markdown or JSON, on standard output")
    export.add_argument("comparison_id", metavar="ID")
    for action in (listing, show, search, export):
        action.add_argument("--json", action="store_true")


def _positive(text: str) -> int:
    return number(text, int, 1, 1_000_000, "a whole number from 1 to 1000000")


def _seed(text: str) -> int:
    return number(text, int, 0, 2**32 - 2, "a whole number from 0 to 4294967294")


def _temperature(text: str) -> float:
    return number(text, float, 0.0, 2.0, "a number from 0 to 2")


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit status: 0 done, 1 a run failed, 2 bad usage, 130 cancelled."""
    use_utf8()
    logging.getLogger().addHandler(
        logging.NullHandler()
    )  # what a person must know is said; Python would print the rest
    if sys.stdout is None:  # closed by whoever started us
        say("There is no standard output to print to. Nothing was started. Send the output to a file or a pipe.")
        return EXIT_FAILED
    try:
        arguments = build_parser().parse_args(argv)
        status = _dispatch(arguments)
        sys.stdout.flush()  # here a full disk is a sentence; when Python ends it would be a traceback
        return status
    except NearfarError as error:
        say(typed(error.problem).sentence)
        return EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_CANCELLED
    except OSError as error:
        discard_output()
        if reader_is_gone(error):  # as in `nearfar history list | head`
            return EXIT_OK
        say(f"Reading or writing failed ({error.strerror or type(error).__name__}). Send the output elsewhere.")
        return EXIT_FAILED


def _dispatch(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "run":
            from app.cli_run import run

            return run(arguments)
        case "doctor":
            from app.cli_doctor import doctor

            return doctor(arguments)
        case "fit":
            from app.cli_fit import fit

            return fit(arguments)
        case "bench":
            from app.cli_bench import bench

            return bench(arguments)
        case "models":
            from app.cli_models import models

            return models(arguments)
        case "key":
            from app.cli_key import key

            return key(arguments)
        case "history":
            from app.cli_history import history

            return history(arguments)
        case _:
            from app.gui import main as window

            return window([])
