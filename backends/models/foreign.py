"""Finds the models that other programs keep on this disk, to use them where they lie. Must not write or remove any.

Only when the person asks. What a program says of its files (the digest in an Ollama manifest, the name of a blob in
the Hugging Face cache) is noted as the hash to expect, and proves nothing before it was taken here. A manifest's digest
becomes part of a path, so only 64 hex digits are taken for one.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from backends.models.folder import Bounds, Group, gguf_files, group_of, grouped, never
from backends.models.foreign_places import (
    Machine,
    gpt4all_folders,
    hugging_face_folders,
    jan_data_folders,
    lm_studio_folders,
    ollama_folders,
    read_json,
    read_text,
)
from backends.models.index import FoundModel

log = logging.getLogger(__name__)

MAX_MODELS = 2_000
SEARCH_S = 20.0
BOUNDS = Bounds(depth=6, entries=50_000)
OLLAMA_MODEL = "application/vnd.ollama.image.model"
OLLAMA_HOST, OLLAMA_OWNER = "registry.ollama.ai", "library"
DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
SHA256 = re.compile(r"[0-9a-f]{64}")
YAML_PATH = re.compile(r"^model_path:[ \t]*(.+?)[ \t]*$", re.MULTILINE)
PROJECTOR = re.compile(r"(^|[-_.])mmproj", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Search:
    """What was found, sorted by program. `complete` is False where a bound or a cancel ended the search early."""

    models: tuple[FoundModel, ...]
    complete: bool


class _Limits:
    """How long a search may go on, and whether anything cut it short."""

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self._cancelled = cancelled
        self._ends = time.monotonic() + SEARCH_S
        self.was_cut = False

    def stop(self) -> bool:
        if self._cancelled() or time.monotonic() > self._ends:
            self.was_cut = True
            return True
        return False

    def cut(self) -> None:
        """One folder had more in it than is looked at; the others are still searched."""
        self.was_cut = True


def find_foreign(machine: Machine | None = None, *, cancelled: Callable[[], bool] = never) -> Search:
    """Look through the folders of the other programs; takes seconds at most, so call it in a thread. Never raises."""
    here = machine or Machine.this()
    limits = _Limits(cancelled)
    models: list[FoundModel] = []
    seen: set[tuple[int, int]] = set()
    for finder in (_lm_studio, _jan, _gpt4all, _hugging_face, _ollama):
        for model in finder(here, limits):
            identity = _identity(model.files[0])
            if identity is None or identity in seen:
                continue
            if limits.stop() or len(models) >= MAX_MODELS:
                return Search(tuple(models), complete=False)
            seen.add(identity)
            models.append(model)
    return Search(tuple(models), complete=not limits.was_cut)


def _identity(path: Path) -> tuple[int, int] | None:
    """The same file found twice is one model; what is no readable regular file is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    readable = stat.S_ISREG(found.st_mode) and found.st_size > 0 and os.access(path, os.R_OK)
    return (found.st_dev, found.st_ino) if readable else None


def _groups(folder: Path, limits: _Limits) -> list[Group]:
    try:
        paths = list(gguf_files(folder, bounds=BOUNDS, follow=True, stop=limits.stop, on_cut=limits.cut))
    except OSError as error:
        log.info("no models were looked for in a folder: %s", error.strerror)
        return []
    return [group for group in grouped(paths) if not PROJECTOR.search(group.first.name)]


def _readable_name(group: Group) -> str:
    """The file's stem; Jan calls every file model.gguf, and there the folder has the name."""
    return group.first.parent.name if group.stem.lower() == "model" else group.stem


def _lm_studio(machine: Machine, limits: _Limits) -> Iterator[FoundModel]:
    for folder in lm_studio_folders(machine):
        for group in _groups(folder, limits):
            parts = group.first.relative_to(folder).parts
            repo = "/".join(parts[:2]) if len(parts) == 3 else None
            yield FoundModel(
                "lm_studio", _readable_name(group), group.files, _names(group), repo=repo, repo_path=parts[-1]
            )


def _jan(machine: Machine, limits: _Limits) -> Iterator[FoundModel]:
    for data in jan_data_folders(machine):
        for folder in (data / "llamacpp" / "models", data / "models"):
            for group in _groups(folder, limits):
                yield FoundModel("jan", _readable_name(group), group.files, _names(group))
            yield from _jan_elsewhere(folder, limits)


def _jan_elsewhere(folder: Path, limits: _Limits) -> Iterator[FoundModel]:
    """Models that Jan itself uses where they lie: a model.yml names a path outside."""
    for card in _named_files(folder, "model.yml", limits):
        match = YAML_PATH.search(read_text(card))
        text = match[1].strip("\"'") if match else ""
        if text and "\0" not in text and os.path.isabs(text):
            group = group_of(Path(text))
            name = card.parent.relative_to(folder).name if group.stem.lower() == "model" else group.stem
            yield FoundModel("jan", name, group.files, _names(group))


def _named_files(folder: Path, name: str, limits: _Limits) -> Iterator[Path]:
    left = BOUNDS.entries
    for place, folders, files in os.walk(folder):
        left -= len(files) + len(folders)
        if left < 0 or limits.stop():
            limits.cut()
            return
        folders.sort()
        if len(Path(place).relative_to(folder).parts) >= BOUNDS.depth:
            folders.clear()
        if name in files:
            yield Path(place) / name


def _gpt4all(machine: Machine, limits: _Limits) -> Iterator[FoundModel]:
    for folder in gpt4all_folders(machine):
        for group in _groups(folder, limits):
            if not group.first.name.startswith("incomplete"):
                yield FoundModel("gpt4all", _readable_name(group), group.files, _names(group))


def _hugging_face(machine: Machine, limits: _Limits) -> Iterator[FoundModel]:
    for hub in hugging_face_folders(machine):
        for repo_folder in _folders(hub):
            owner, dashes, repo = repo_folder.name.removeprefix("models--").partition("--")
            if not repo_folder.name.startswith("models--") or not dashes:
                continue
            for snapshot in _folders(repo_folder / "snapshots"):
                for group in _groups(snapshot, limits):
                    yield FoundModel(
                        "hugging_face",
                        _readable_name(group),
                        group.files,
                        _names(group),
                        tuple(_blob_hash(path) for path in group.files),
                        f"{owner}/{repo}",
                        group.first.relative_to(snapshot).as_posix(),
                    )


def _folders(place: Path) -> list[Path]:
    try:
        with os.scandir(place) as listing:
            return sorted(place / entry.name for entry in listing if entry.is_dir())
    except OSError:
        return []


def _blob_hash(path: Path) -> str | None:
    """A snapshot holds links to blobs; the blob of a large file is named by its sha256, of a small one by a sha1."""
    name = Path(os.path.realpath(path)).name
    return name if SHA256.fullmatch(name) else None


def _ollama(machine: Machine, limits: _Limits) -> Iterator[FoundModel]:
    """Ollama's own listing takes manifests/HOST/OWNER/MODEL/TAG, no shallower and no deeper."""
    for folder in ollama_folders(machine):
        for host in _folders(folder / "manifests"):
            for owner in _folders(host):
                for model in _folders(owner):
                    for tag in _files(model):
                        if limits.stop():
                            return
                        digest = _model_digest(read_json(tag))
                        if digest is not None:
                            blob = folder / "blobs" / f"sha256-{digest}"
                            name = _ollama_name(host.name, owner.name, f"{model.name}:{tag.name}")
                            yield FoundModel("ollama", name, (blob,), sha256=(digest,))


def _files(place: Path) -> list[Path]:
    try:
        with os.scandir(place) as listing:
            return sorted(place / entry.name for entry in listing if entry.is_file())
    except OSError:
        return []


def _ollama_name(host: str, owner: str, model: str) -> str:
    """As Ollama shows it: host and owner are left out where they are the usual ones."""
    if host != OLLAMA_HOST:
        return f"{host}/{owner}/{model}"
    return model if owner == OLLAMA_OWNER else f"{owner}/{model}"


def _model_digest(manifest: object) -> str | None:
    """The digest of the one GGUF that a manifest names; None for cloud models, adapters and other formats."""
    layers = manifest.get("layers") if isinstance(manifest, dict) else None
    if not isinstance(layers, list):
        return None
    digests = [
        layer.get("digest") for layer in layers if isinstance(layer, dict) and layer.get("mediaType") == OLLAMA_MODEL
    ]
    match = DIGEST.fullmatch(digests[0]) if len(digests) == 1 and isinstance(digests[0], str) else None
    return match[1] if match else None


def _names(group: Group) -> tuple[str, ...]:
    return tuple(path.name for path in group.missing)
