"""The models that Nearfar offers: find one, what it needs, what to download. Must not touch disk or network."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

from backends.models.catalogue_file import read_catalogue
from backends.models.download_names import shown
from backends.models.errors import BadReference, NotRunnable, RepoMissing
from backends.models.folder import SPLIT, model_stem
from backends.models.records import (
    CatalogueModel,
    CatalogueQuant,
    DownloadPlan,
    Licence,
    ModelFacts,
    RemoteFile,
)
from backends.models.references import CatalogueRef, parse_ref
from backends.models.weights import facts_by_rule

SUGGESTIONS = 3


@cache
def _read() -> tuple[tuple[CatalogueModel, ...], tuple[Licence, ...]]:
    return read_catalogue()


def catalogue() -> tuple[CatalogueModel, ...]:
    """All models, those that cannot run here included; quants from small to large. Read once."""
    return _read()[0]


def licences() -> tuple[Licence, ...]:
    return _read()[1]


def licence(tag: str) -> Licence | None:
    """The licence of a tag such as llama3.1, as catalogue and hub name it; None for one that is not Llama's."""
    return next((found for found in licences() if found.tag == tag), None)


def find(ref: str) -> tuple[CatalogueModel, CatalogueQuant]:
    """The quant that `ref` names, in any case.

    Raises BadReference with the nearest names where there is none, NotRunnable for a model that llama.cpp cannot run.
    """
    wanted = parse_ref(ref)
    if not isinstance(wanted, CatalogueRef):
        raise BadReference(f"{shown(ref)} is a file of the hub, not a model of the catalogue.")
    model = find_model(wanted.model_id)
    if model.not_runnable:
        raise NotRunnable(f"{model.name} cannot be used. {model.not_runnable}")
    for quant in model.quants:
        if quant.quant == wanted.quant:
            return model, quant
    names = [quant.ref for quant in model.quants]
    raise _unknown(f"{model.name} has no quant {shown(wanted.quant)} here.", str(wanted), names)


def find_model(model_id: str) -> CatalogueModel:
    """The model of an id in any case; raises BadReference with the nearest ids."""
    wanted = model_id.strip().lower()
    for model in catalogue():
        if model.id == wanted:
            return model
    names = [model.id for model in catalogue()]
    raise _unknown(f"There is no model {shown(wanted)} in the catalogue.", wanted, names)


def facts_of(model: CatalogueModel, quant: CatalogueQuant) -> ModelFacts:
    """What fit must know, computed by rule: exact but for the mixtures that no published rule makes."""
    return facts_by_rule(model.name, quant.quant, model.shape, imatrix=quant.imatrix, size_bytes=quant.size_bytes)


def plan_of(model: CatalogueModel, quant: CatalogueQuant) -> DownloadPlan:
    """What to download; where `quant.names_confirmed` is False, `resolve` it with the hub's listing first."""
    return DownloadPlan(
        ref=quant.ref,
        name=model.name,
        quant=quant.quant,
        repo=quant.repo,
        revision=quant.revision,
        files=quant.files,
        licence_tag=model.licence.tag,
    )


def resolve(quant: CatalogueQuant, listing: Sequence[RemoteFile]) -> CatalogueQuant:
    """The quant with names, sizes and hashes as the hub lists them for the repo; raises RepoMissing where it does not.

    Names that the listing has are kept; else the files of the same model and quant are taken, in whatever folder or
    number of parts the repo keeps them. What the catalogue knows of a pinned file stays: one that changed on the hub
    must not pass.
    """
    by_path = {file.path: file for file in listing}
    if all(file.path in by_path for file in quant.files):
        pinned = quant.revision is not None
        found = tuple(_merged(file, by_path[file.path], pinned) for file in quant.files)
    else:
        found = _alike(quant.files[0].path, listing)
    if not found:
        raise RepoMissing(f"{quant.repo} has no file for {quant.ref}.", fix="Choose another quant of this model.")
    sizes = [file.size_bytes for file in found if file.size_bytes is not None]
    known = len(sizes) == len(found)
    return replace(
        quant,
        files=found,
        size_bytes=sum(sizes) if known else quant.size_bytes,
        size_exact=known or quant.size_exact,
        names_confirmed=True,
    )


def _merged(ours: RemoteFile, hubs: RemoteFile, pinned: bool) -> RemoteFile:
    if not pinned and ours.sha256 is None:
        return hubs
    return RemoteFile(ours.path, ours.size_bytes or hubs.size_bytes, ours.sha256 or hubs.sha256)


def _alike(path: str, listing: Iterable[RemoteFile]) -> tuple[RemoteFile, ...]:
    """The complete set of parts, or the one file, whose name without folder and part number is that of `path`."""
    sets: dict[tuple[str, int], list[RemoteFile]] = {}
    wanted, _, _ = _split_name(path)
    for file in listing:
        name, folder, n_parts = _split_name(file.path)
        if name == wanted:
            sets.setdefault((folder, n_parts), []).append(file)
    complete = [files for (_, n_parts), files in sets.items() if len(files) == n_parts]
    return tuple(sorted(sorted(complete, key=len)[0], key=lambda file: file.path)) if complete else ()


def _split_name(path: str) -> tuple[str, str, int]:
    """A file's name without part number, in lower case since repos differ; its folder; and its number of parts."""
    folder, _, name = path.rpartition("/")
    part = SPLIT.fullmatch(name)
    return model_stem(name).lower(), folder, int(part["count"]) if part else 1


def _unknown(what: str, wanted: str, names: Iterable[str]) -> BadReference:
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(wanted.lower(), by_lower, n=SUGGESTIONS, cutoff=0.4)
    if not near:
        return BadReference(what)
    listed = " or ".join(by_lower[name] for name in near)
    return BadReference(what, fix=f"Did you mean {listed}?")
