"""Turns what a person named into what is to be downloaded. Must not fetch, nor know the disk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from backends.errors import UsageError
from backends.models import catalogue
from backends.models.download_names import check_revision
from backends.models.errors import NotRunnable, RepoMissing
from backends.models.hub_listing import RepoListing
from backends.models.records import DownloadPlan, RemoteFile
from backends.models.references import HubRef, parse_ref

NEWEST = "newest"
Listing = Callable[[str, str | None], Awaitable[RepoListing]]


async def plan_for(ref: str, listing: Listing, revision: str | None = None) -> DownloadPlan:
    """What to download for MODEL:QUANT or hf:OWNER/REPO/FILE; `listing` is asked for what the catalogue leaves open.

    `revision` is a commit to take in place of the one that the catalogue or the ref names, or NEWEST.
    Raises BadReference, NotRunnable, RepoMissing, and what `listing` raises.
    """
    wanted = parse_ref(ref)
    asked = None if revision in (None, NEWEST) else check_revision(revision or "")
    if isinstance(wanted, HubRef):
        return _plan_in(await listing(wanted.repo, asked if revision else wanted.revision), wanted.path or "")
    model, quant = catalogue.find(ref)
    if revision is not None:  # what the catalogue knows of the files is of its own revision
        files = tuple(RemoteFile(file.path) for file in quant.files)
        quant = replace(quant, revision=asked, files=files, names_confirmed=False)
    if not (quant.names_confirmed and all(file.size_bytes is not None for file in quant.files)):
        seen = await listing(quant.repo, quant.revision)
        quant = catalogue.resolve(quant, [file for each in seen.models for file in each.files])
        quant = replace(quant, revision=quant.revision or seen.revision)
    return catalogue.plan_of(model, quant)


def offered_ref(name: str) -> str | None:
    """The ref of a model that the catalogue offers under this name; None where it does not."""
    try:
        return catalogue.find(name)[1].ref
    except (UsageError, NotRunnable):
        return None


def _plan_in(listing: RepoListing, path: str) -> DownloadPlan:
    for model in listing.models:
        if any(file.path.lower() == path.lower() for file in model.files):
            if model.missing:
                raise RepoMissing(f"{listing.repo} lacks {model.missing} parts of {path}.", fix="Choose another file.")
            return listing.plan(model)
    raise RepoMissing(
        f"{listing.repo} has no file {path}.",
        fix=f"`nearfar models add {listing.repo}` lists what it has." if listing.models else "It has no GGUF files.",
    )
