"""Finds an installed model by what a person or a target calls it, or says what is closest. Must not look at disks."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from backends.errors import ModelMissing, ModelUnusable
from backends.models.download_names import layout_of
from backends.models.records import DownloadPlan, InstalledModel

HF = "hf:"
N_CLOSEST = 3
LONGEST_SHOWN = 80


def find_model(models: Sequence[InstalledModel], name: str) -> InstalledModel:
    """By ref, by `hf:OWNER/REPO/FILE`, or by a name or model id that only one has; raises ModelMissing."""
    wanted = name.strip()
    for candidates in (
        [model for model in models if model.ref == wanted],
        [model for model in models if model.ref.lower() == wanted.lower()],
        [model for model in models if _is_hub_file(model, wanted)],
        [model for model in models if wanted.lower() in (model.name.lower(), model.path.stem.lower())],
        [model for model in models if model.model_id is not None and model.model_id.lower() == wanted.lower()],
    ):
        if len(candidates) == 1:
            return candidates[0]
    raise ModelMissing(_sentence(models, wanted), safe="Nothing was changed.", fix=_advice(models))


def _is_hub_file(model: InstalledModel, wanted: str) -> bool:
    """A file of a repo lies in OWNER--REPO with the folder that it has in the repo.

    A repo can have files of one name in two folders, so only one that the catalogue knows by its name is also found
    where it lies without its folder.
    """
    owner, slash, rest = wanted.removeprefix(HF).partition("/")
    repo, second, path = rest.lower().partition("/")
    if not wanted.startswith(HF) or not slash or not second or model.in_place:
        return False
    places = [f"{owner.lower()}--{repo}/{path}"]
    if model.model_id is not None:
        places.append(f"{owner.lower()}--{repo}/{path.rpartition('/')[2]}")
    files = [f"/{file.as_posix().lower()}" for file in (model.path, *model.files)]
    return any(file.endswith(f"/{place}") for file in files for place in places)


def refuse_changed(model: InstalledModel) -> None:
    """Raises ModelUnusable for a model that is not what it was when it was verified, or that did not pass.

    What llama.cpp opens should be what was checked, and a hash holds for exactly the file it was taken of.
    """
    if model.check != "changed":
        return
    again = f"Verify it again on the Models page or with `nearfar models verify {model.ref}`."
    if None not in model.sha256:  # every hash is of the file as it is now
        what = f"{model.name} did not pass its verification: its sha256 is not the one it should have."
        again = f"Remove it, then download or import it again. {again}"
    elif len(model.files) > 1:
        what = f"A part of {model.name} changed since it was verified, or did not pass."
    else:
        what = f"{model.name} changed since it was verified."
    raise ModelUnusable(what, safe="Nothing was loaded and your prompt is kept.", fix=again)


def is_damaged(folder: Path, plan: DownloadPlan, models: Sequence[InstalledModel]) -> bool:
    """Whether the very files of this plan are here, fetched by us and changed since. Raises BadReference."""
    places = set(layout_of(folder, plan).final)
    return any(
        model.check == "changed" and model.origin == "downloaded" and places.issuperset(model.files) for model in models
    )


def _sentence(models: Sequence[InstalledModel], wanted: str) -> str:
    what = f"There is no installed model named “{wanted[:LONGEST_SHOWN]}”."
    refs = {model.ref.lower(): model.ref for model in models}
    close = difflib.get_close_matches(wanted.lower(), refs, n=N_CLOSEST, cutoff=0.5)
    beginning = [ref for ref in refs if wanted and ref.startswith(wanted.lower())][:N_CLOSEST]
    names = list(dict.fromkeys([*beginning, *close]))[:N_CLOSEST]
    return f"{what} The closest: {', '.join(refs[name] for name in names)}." if names else what


def _advice(models: Sequence[InstalledModel]) -> str:
    return "Choose one that is installed, or download it first." if models else "Download a model first."
