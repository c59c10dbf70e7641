"""`nearfar models`: the models on this disk, and getting more of them. Must not import Qt or print figures itself."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from app import cli_unfinished as unfinished
from app.cli_models_print import (
    OWNERS,
    ProgressLine,
    listing_as_json,
    listing_as_text,
    model_as_json,
    models_as_text,
)
from app.cli_parser import quoted
from app.cli_print import json_text, one_line, say
from app.cli_signals import stop_on_signal
from app.cli_words import typed
from app.exits import EXIT_CANCELLED, EXIT_FAILED, EXIT_OK
from backends.errors import ModelMissing, UsageError
from backends.models.errors import FileMismatch
from backends.sizes import size_words
from backends.wire import problem_as_json

if TYPE_CHECKING:
    from backends.models.importing import How
    from backends.models.manager import Models
    from backends.models.records import InstalledModel
    from backends.models.unfinished import Unfinished

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
    pull.add_argument(
        "--revision",
        metavar="REV",
        help="newest, or a commit of the repo, in place of the one that the catalogue names",
    )
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
    for action in (pull, bring):
        action.add_argument(
            "--make-folder", action="store_true", help="begin anew where the models folder is empty or gone"
        )
    for action in (listing, pull, bring, verify, remove, add):
        action.add_argument("--json", action="store_true")


def _limit(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MAX_LIMIT_MB_S:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a number of megabytes per second above 0")
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
        async with bench.live.watched():  # a download ends where a window switches local only on
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
    left = await unfinished.all_unfinished(made)
    library = made.library
    if arguments.json:
        report = {
            "folder": str(library.folder),
            "problem": None if library.problem is None else typed(library.problem).sentence,
            "search_complete": complete,
            "models": [model_as_json(model) for model in found],
            "unfinished": [unfinished.as_json(each) for each in left],
        }
        print(json_text(report))
        return _list_status(made)
    for sentence in (library.notice, typed(library.problem).sentence if library.problem else ""):
        if sentence:
            say(sentence)
    if complete is False:
        say("The search was ended before it had looked everywhere.")
    parts = [models_as_text(found)] if found else []
    parts += [unfinished.as_text(left)] if left else []
    if not parts and library.problem is None:
        parts = ["No models here yet. `nearfar fit` shows which ones this machine can run."]
    if parts:
        print("\n".join(parts))
    return _list_status(made)


def _list_status(made: Models) -> int:
    """A folder that cannot be read is a failure: what is in it is not in the list."""
    return EXIT_OK if made.library.problem is None else EXIT_FAILED


async def _import(arguments: argparse.Namespace, made: Models) -> int:
    if arguments.make_folder:
        await asyncio.to_thread(made.library.start_anew)
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
    except FileMismatch as error:
        if arguments.json:
            bad = model_as_json(made.library.find(arguments.ref))
            print(json_text({"model": bad, "error": problem_as_json(typed(error.problem))}))
        raise
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
    try:
        model = made.library.find(arguments.ref)
    except ModelMissing:
        left = await unfinished.named(made, arguments.ref)
        if left is None:
            raise
        return await _discard(arguments, made, left)
    frees = made.library.what_remove_frees(model.ref)
    if not arguments.yes and not _agreed(model, frees):
        say("Nothing was removed.")
        return EXIT_OK
    freed = await made.remove(model.ref)
    done = f"removed, {size_words(freed)} freed"
    if not freed and model.in_place:
        done = "taken off the list; its file stays where it is"
    _print_removed(model.ref, freed, done, as_json=arguments.json)
    return EXIT_OK


async def _discard(arguments: argparse.Namespace, made: Models, left: Unfinished) -> int:
    came = f"The unfinished download of {left.ref}, {unfinished.share_words(left)}"
    if not arguments.yes:
        if not can_ask():
            raise _unasked(f"{came}: discarding it frees {size_words(left.disk_bytes)} and cannot be undone.")
        if not ask(f"Discard it? {came}. This frees {size_words(left.disk_bytes)}."):
            say("Nothing was removed.")
            return EXIT_OK
    freed = await unfinished.discard(made, left)
    _print_removed(left.ref, freed, f"discarded, {size_words(freed)} freed", as_json=arguments.json)
    return EXIT_OK


def _print_removed(ref: str, freed_bytes: int, words: str, *, as_json: bool) -> None:
    print(json_text({"ref": ref, "freed_bytes": freed_bytes}) if as_json else one_line(f"{ref}: {words}"))


def _unasked(what: str) -> UsageError:
    return UsageError(one_line(what), safe="Nothing was removed.", fix="Add --yes to remove it without being asked.")


def _agreed(model: InstalledModel, frees: int) -> bool:
    if not can_ask():
        if model.in_place and not frees:
            raise _unasked(f"{model.ref} would be taken off the list; its file stays.")
        raise _unasked(f"Removing {model.ref} frees {size_words(frees)} and cannot be undone.")
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
    print(json_text(listing_as_json(listing)) if arguments.json else listing_as_text(listing))
    return EXIT_OK


def _print_model(model: InstalledModel, words: str, *, as_json: bool) -> None:
    print(json_text({"model": model_as_json(model)}) if as_json else one_line(words))
