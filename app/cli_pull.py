"""`nearfar models pull`: shows the licence, downloads one model, and says how to go on. Must not import Qt."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from app.cli_models import ask, can_ask
from app.cli_models_print import ProgressLine, licence_as_text, model_as_json, progress_as_json
from app.cli_print import json_text, one_line, say
from app.cli_signals import stop_on_signal
from app.cli_unfinished import kept_bytes
from app.cli_words import typed
from app.exits import EXIT_CANCELLED, EXIT_FAILED, EXIT_OK
from backends.errors import KeyMissing, ModelMissing, NearfarError, UsageError
from backends.keys import VARIABLE_NAME, key_from_env
from backends.models.errors import LicenceNotAccepted
from backends.models.records import DownloadPlan, DownloadProgress
from backends.sizes import size_words
from backends.wire import problem_as_json

if TYPE_CHECKING:
    from backends.models.manager import Models
    from backends.models.records import InstalledModel

BYTES_PER_MB = 10**6


class LicenceWanted(UsageError):
    """Nobody could be asked, and the option that accepts it was not given."""

    code = LicenceNotAccepted.code
    safe = LicenceNotAccepted.safe


async def pull(arguments: argparse.Namespace, made: Models) -> int:
    """Returns 0 where the model is here now, 1 where the download failed, 130 where it was stopped."""
    _take_token(arguments.token_env, made)
    if arguments.make_folder:
        await asyncio.to_thread(made.library.start_anew)
    await made.installed()
    made.library.check_folder()  # before anybody is asked for anything
    here = _verified(made, arguments.ref)
    if here is not None:
        _say_done(here, "is here already", as_json=arguments.json)
        return EXIT_OK
    try:
        plan = await made.plan_for(arguments.ref, arguments.revision)
        made.permissions.consent()  # before anybody is asked for a licence
        await _licence(arguments, made, plan)
        return await _download(arguments, made, plan)
    except NearfarError as error:
        error.problem = typed(error.problem, kept_bytes=await kept_bytes(made, arguments.ref))
        if arguments.json and (not isinstance(error, UsageError) or isinstance(error, LicenceWanted)):
            failed = {"event": "failed", "ref": arguments.ref, "error": problem_as_json(error.problem)}
            print(json_text(failed), flush=True)
        raise


def _take_token(variable: str | None, made: Models) -> None:
    if variable is None:
        return
    if VARIABLE_NAME.fullmatch(variable) is None:
        raise UsageError(
            "--token-env takes the name of an environment variable, never the token itself.",
            fix="For example: --token-env HF_TOKEN",
        )
    try:
        made.permissions.keep_token(key_from_env(variable))
    except KeyMissing:
        raise UsageError(
            "The environment variable that --token-env names is not set.", fix="Set it, or name another variable."
        ) from None


def _verified(made: Models, ref: str) -> InstalledModel | None:
    try:
        model = made.library.find(ref)
    except ModelMissing:
        return None
    return model if model.check == "verified" and not model.in_place else None


async def _download(arguments: argparse.Namespace, made: Models, plan: DownloadPlan) -> int:
    """A stop pauses it and waits until what arrived is on disk."""
    if arguments.limit is not None:
        made.downloads.set_limit(arguments.limit * BYTES_PER_MB)
    line = ProgressLine(plan.ref, shown=not arguments.json)
    made.on_downloads = _Show(plan.ref, line, as_json=arguments.json)
    if arguments.json:
        print(json_text(_started(plan)), flush=True)
    pausing: set[asyncio.Task[None]] = set()
    stop_on_signal(lambda: pausing.add(asyncio.ensure_future(made.downloads.pause(plan.ref))))
    made.start(plan)
    ended = await made.downloads.wait(plan.ref)
    await asyncio.gather(*pausing)
    line.wipe()
    return _end(made, plan, ended, as_json=arguments.json)


async def _licence(arguments: argparse.Namespace, made: Models, plan: DownloadPlan) -> None:
    """Shown before every first download under it; accepted by a person or by --accept-licence."""
    from backends.models.licensing import licence_of

    if made.permissions.is_accepted(plan):
        return
    licence = licence_of(plan)
    if not arguments.accept_licence:
        for text in licence_as_text(plan, licence).splitlines():
            say(text)
        if not can_ask():
            raise LicenceWanted(
                f"The licence of {plan.name} ({licence.name}, {licence.url}) was not accepted.",
                fix="Read it, then add --accept-licence.",
            )
        if not ask("Do you accept this licence?"):
            raise LicenceNotAccepted(f"The licence of {plan.name} was not accepted.", fix="Choose another model.")
    problem = await made.permissions.accept(plan)
    if problem is not None:
        say(problem.what)


def _end(made: Models, plan: DownloadPlan, ended: DownloadProgress, *, as_json: bool) -> int:
    if ended.state == "done":
        _say_done(made.library.find(plan.ref), "is here and verified", as_json=as_json)
        return EXIT_OK
    kept = ended.received_bytes
    if ended.problem is not None:
        problem = typed(ended.problem, kept_bytes=kept)
        if as_json:
            print(json_text({**progress_as_json("failed", ended), "error": problem_as_json(problem)}))
        say(problem.sentence)
        return EXIT_FAILED
    if as_json:
        print(json_text(progress_as_json("cancelled", ended)))
    so_far = f"{size_words(kept)} are kept" if kept else "Nothing was downloaded yet"
    say(f"Stopped. {so_far}. Go on with the same command: nearfar models pull {plan.ref}")
    return EXIT_CANCELLED


def _started(plan: DownloadPlan) -> dict[str, object]:
    sizes = [file.size_bytes for file in plan.files]
    return {
        "event": "started",
        "ref": plan.ref,
        "name": plan.name,
        "quant": plan.quant or None,
        "repo": plan.repo,
        "revision": plan.revision,
        "licence": plan.licence_tag,
        "files": [file.path for file in plan.files],
        "total_bytes": None if None in sizes else sum(size for size in sizes if size is not None),
    }


def _say_done(model: InstalledModel, words: str, *, as_json: bool) -> None:
    if as_json:
        print(json_text({"event": "finished", "ref": model.ref, "model": model_as_json(model)}), flush=True)
    else:
        print(one_line(f"{model.ref} {words}: {model.path}"))


class _Show:
    """Takes the news of the queue and shows one download."""

    def __init__(self, ref: str, line: ProgressLine, *, as_json: bool) -> None:
        self._ref = ref
        self._line = line
        self._as_json = as_json

    def __call__(self, news: tuple[DownloadProgress, ...]) -> None:
        for each in news:
            if each.ref == self._ref and each.state == "running":
                if self._as_json:
                    print(json_text(progress_as_json("progress", each)), flush=True)
                else:
                    self._line.download(each)
