"""`nearfar models`: the models on this disk, and getting more of them. Must not import Qt or print figures itself."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from app.cli_models_print import (
    OWNERS,
    ProgressLine,
    listing_as_json,
    listing_as_text,
    model_as_json,
    models_as_text,
    size_words,
)
from app.cli_print import one_line, say
from app.cli_signals import stop_on_signal
from app.exits import EXIT_CANCELLED, EXIT_OK
from backends.errors import UsageError

if TYPE_CHECKING:
    from backends.models.importing import How
    from backends.models.manager import Models
    from backends.models.records import InstalledModel

MAX_LIMIT_MB_S = 100_000.0
AnyParser = TypeVar("AnyParser", bound=argparse.ArgumentParser)
MODELS_ENDS = "Exit status: 0 done; 1 it failed; 2 bad usage, nothing was started; 130 stopped, what arrived is kept."
REF_HELP = "as printed by list, or as fit prints them: llama-3.1-8b:Q4_K_M, hf:OWNER/REPO/FILE"


def add_models(commands: argparse._SubParsersAction[AnyParser]) -> None:
    """Declare the command and its actions."""
    models = commands.add_parser(
        "models", help="models on this disk, and getting more", epilog=MODELS_ENDS, allow_abbrev=False
    )
    actions = models.add_subparsers(
        dest="action",
        metavar="list|pull|import|verify|remove|add",
        required=True,
        parser_class=type(models),
    )
    listing = actions.add_parser("list", help="what is on this disk", allow_abbrev=False)
    listing.add_argument("--found", action="store_true", help="look also for what other programs have downloaded")
    pull = actions.add_parser("pull", help="download a model, or go on with it", epilog=MODELS_ENDS, allow_abbrev=False)
    pull.add_argument("ref", metavar="REF", help="MODEL:QUANT as fit prints them, or hf:OWNER/REPO/FILE")
    pull.add_argument("--accept-licence", action="store_true", help="accept the licence that is shown")
    pull.add_argument("--token-env", metavar="NAME", help="variable that holds a Hugging Face token, for gated repos")
    pull.add_argument("--limit", type=_limit, metavar="MB_PER_S", help="use no more than this of the network")
    bring = actions.add_parser("import", help="take a GGUF file of your own into the list", allow_abbrev=False)
    bring.add_argument("file", metavar="FILE", help="the file, or any part of a split one")
    bring.add_argument(
        "--copy", action="store_true", help="copy it; else it is linked, or used where it lies, which takes no space"
    )
    verify = actions.add_parser("verify", help="read a model and compare its sha256", allow_abbrev=False)
    verify.add_argument("ref", metavar="REF", help=REF_HELP)
    remove = actions.add_parser("remove", help="remove a model; files of other programs stay", allow_abbrev=False)
    remove.add_argument("ref", metavar="REF", help=REF_HELP)
    remove.add_argument("--yes", action="store_true", help="do not ask")
    add = actions.add_parser("add", help="list a Hugging Face repo and remember it", allow_abbrev=False)
    add.add_argument("repo", metavar="OWNER/REPO")
    for action in (listing, pull, bring, verify, remove, add):
        action.add_argument("--json", action="store_true")


def _limit(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MAX_LIMIT_MB_S:
        raise argparse.ArgumentTypeError(f"“{text[:40]}” is not a number of megabytes per second above 0")
    return value


def models(arguments: argparse.Namespace) -> int:
    """Returns 0, or 130 where it was stopped; raises NearfarError."""
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    from backends.workbench import Workbench

    bench = Workbench.open()
    for warning in bench.warnings:
        say(warning)
    try:
        return await _action(arguments.action)(arguments, bench.models)
    finally:
        await bench.close()


def _action(name: str) -> Callable[[argparse.Namespace, Models], Awaitable[int]]:
    if name == "pull":
        from app.cli_pull import pull

        return pull
    return {"list": _list, "import": _import, "verify": _verify, "remove": _remove, "add": _add}[name]


async def _list(arguments: argparse.Namespace, made: Models) -> int:
    complete = None
    if arguments.found:
        complete = (await made.find_foreign()).complete
    found = await made.installed()
    library = made.library
    if arguments.json:
        report = {
            "folder": str(library.folder),
            "problem": None if library.problem is None else library.problem.sentence,
            "search_complete": complete,
            "models": [model_as_json(model) for model in found],
        }
        print(json.dumps(report))
        return EXIT_OK
    for sentence in (library.notice, library.problem.sentence if library.problem else ""):
        if sentence:
            say(sentence)
    if complete is False:
        say("The search was ended before it had looked everywhere.")
    print(
        models_as_text(found) if found else "No models here yet. `nearfar fit` shows which ones this machine can run."
    )
    return EXIT_OK


async def _import(arguments: argparse.Namespace, made: Models) -> int:
    how: How = "copy" if arguments.copy else "link"
    line = ProgressLine(Path(arguments.file).name, shown=not arguments.json)
    stopped = stop_on_signal(lambda: None)
    model = await made.import_file(Path(arguments.file), how, line.bytes, stopped)
    line.wipe()
    if model is None:
        say("Stopped. Nothing was imported and your file is as it was.")
        return EXIT_CANCELLED
    where = "used where it lies" if model.in_place else f"in {one_line(str(model.path.parent))}"
    _print_model(model, f"{model.ref}: {where}", as_json=arguments.json)
    return EXIT_OK


async def _verify(arguments: argparse.Namespace, made: Models) -> int:
    await made.installed()
    line = ProgressLine(arguments.ref, shown=not arguments.json)
    stopped = stop_on_signal(lambda: None)
    try:
        model = await made.verify(arguments.ref, line.bytes, stopped)
    finally:
        line.wipe()
    if model is None:
        say("Stopped. No file was changed.")
        return EXIT_CANCELLED
    if model.check == "verified":
        words = f"{model.ref}: every byte is as it should be"
    elif model.missing_parts:
        words = f"{model.ref}: {model.missing_parts[0]} is missing"
    else:
        words = f"{model.ref}: read to its end; nobody says what its sha256 should be. It is {model.sha256[0]}"
    _print_model(model, words, as_json=arguments.json)
    return EXIT_OK


async def _remove(arguments: argparse.Namespace, made: Models) -> int:
    await made.installed()
    model = made.library.find(arguments.ref)
    frees = made.library.what_remove_frees(model.ref)
    if not arguments.yes and not _agreed(model, frees):
        say("Nothing was removed.")
        return EXIT_OK
    freed = await made.remove(model.ref)
    if arguments.json:
        print(json.dumps({"ref": model.ref, "freed_bytes": freed}))
    else:
        print(one_line(f"{model.ref}: removed, {size_words(freed)} freed"))
    return EXIT_OK


def _agreed(model: InstalledModel, frees: int) -> bool:
    if not can_ask():
        raise UsageError(
            f"Removing {one_line(model.ref)} frees {size_words(frees)} and cannot be undone.",
            safe="Nothing was removed.",
            fix="Add --yes to remove it without being asked.",
        )
    if model.in_place:
        owner = OWNERS.get(model.origin)
        return ask(
            f"{model.name} {f'belongs to {owner}' if owner else 'is used where it lies'}. "
            "Its file stays; take it off the list?"
        )
    return ask(f"Remove {model.name} ({model.ref})? This frees {size_words(frees)}.")


def can_ask() -> bool:
    """Whether a person sits at both ends."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def ask(question: str) -> bool:
    """A question on standard error; anything but y or yes is no, and Ctrl-C ends the command."""
    # asyncio's own handler would wait for the loop, which waits for the answer.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        print(f"{one_line(question)} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    finally:
        signal.signal(signal.SIGINT, before)


async def _add(arguments: argparse.Namespace, made: Models) -> int:
    listing = await made.add_repo(arguments.repo)
    print(json.dumps(listing_as_json(listing)) if arguments.json else listing_as_text(listing))
    return EXIT_OK


def _print_model(model: InstalledModel, words: str, *, as_json: bool) -> None:
    print(json.dumps({"model": model_as_json(model)}) if as_json else one_line(words))
