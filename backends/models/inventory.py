"""Turns the files that are there into models with refs, names and what is known of them. Must not write anything.

A ref is the same at every start: for a download it follows from repo and file, for an import from the file's name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backends.models.download_names import is_valid, safe_name
from backends.models.folder import Group, gguf_files, group_of, grouped, model_stem
from backends.models.headers import facts_of
from backends.models.importing import IMPORTED, noted
from backends.models.index import FileNote, FoundModel, HeaderFacts, Index, Stamp
from backends.models.records import CatalogueModel, CatalogueQuant, FileCheck, InstalledModel, Origin

FOUND_PREFIX = {
    "lm_studio": "lm-studio",
    "jan": "jan",
    "gpt4all": "gpt4all",
    "hugging_face": "hf-cache",
    "ollama": "ollama",
}


@dataclass(frozen=True, slots=True)
class Known:
    """A quant of the catalogue that a file belongs to."""

    model: CatalogueModel
    quant: CatalogueQuant

    def sha256(self, name: str) -> str | None:
        """What the catalogue says of one of its files."""
        found = (file.sha256 for file in self.quant.files if _last(file.path) == name.lower())
        return next(found, None)


class CatalogueFiles:
    """Looks catalogue files up by repo and name, whatever their folder and number of parts, or by hash."""

    def __init__(self, models: Iterable[CatalogueModel]) -> None:
        self._by_name: dict[tuple[str, str], Known] = {}
        self._by_hash: dict[str, Known] = {}
        for model in models:
            for quant in model.quants:
                for file in quant.files:
                    known = Known(model, quant)
                    self._by_name[quant.repo.lower(), model_stem(_last(file.path))] = known
                    if file.sha256 is not None:
                        self._by_hash[file.sha256] = known

    def named(self, repo: str | None, name: str) -> Known | None:
        return None if repo is None else self._by_name.get((repo.lower(), model_stem(_last(name))))

    def hashed(self, sha256: str) -> Known | None:
        return self._by_hash.get(sha256)


def _last(path: str) -> str:
    return path.rpartition("/")[2].lower()


@dataclass(frozen=True, slots=True)
class _Listed:
    """A model before it has its notes: its files, and all that follows from where they lie."""

    group: Group
    ref: str
    name: str
    origin: Origin
    in_place: bool = False
    known: Known | None = None
    licence_tag: str | None = None
    repo: str | None = None
    said: Mapping[Path, str | None] = field(default_factory=dict)


def file_key(folder: Path, path: Path) -> str:
    """How the index calls a file: by its path in the models folder where it is in it, written so that JSON holds it."""
    name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()
    return name if is_valid(name) else os.fsencode(name).decode("utf-8", "backslashreplace")


class Inventory:
    """One look at the folder and at what lies elsewhere.

    By the index's names: `fresh` are the notes of files read anew, `seen` all files, `expected` the hashes that their
    sources said they have.
    """

    def __init__(self, folder: Path, index: Index, catalogue: CatalogueFiles, *, without_folder: bool = False) -> None:
        self._folder = folder
        self._without_folder = without_folder
        self._index = index
        self._catalogue = catalogue
        self.fresh: dict[str, FileNote] = {}
        self.seen: set[str] = set()
        self.expected: dict[str, str] = {}

    def take(self) -> tuple[InstalledModel, ...]:
        """All models, our own first, then by name; raises OSError where the folder is there and cannot be read."""
        refs: set[str] = set()
        models: list[InstalledModel] = []
        files: set[tuple[int, int]] = set()
        for listed in self._all(refs):
            model = self._model(listed)
            if model is None or (model.origin in FOUND_PREFIX and not files.isdisjoint(self._identities(model))):
                continue
            files.update(self._identities(model))
            models.append(model)
        return tuple(sorted(models, key=lambda model: (model.in_place, model.name.lower(), model.ref)))

    def _all(self, refs: set[str]) -> Iterator[_Listed]:
        """Downloads, then imports, then files put here by hand, notes, and models of other programs.

        A later one never takes the ref of an earlier.
        """
        reads = not self._without_folder and os.path.lexists(self._folder)
        groups = grouped(gguf_files(self._folder)) if reads else []
        places = [(group, group.first.relative_to(self._folder).parts) for group in groups]
        for group, parts in places:
            if _repo(parts) is not None:
                yield self._download(group, parts, refs)
        for by_hand in (False, True):
            for group, parts in places:
                if _repo(parts) is None and (parts[0] != IMPORTED) == by_hand:
                    yield _Listed(group, _free(group.stem, refs), group.stem, "imported")
        for stem, path in noted(self._folder).items() if reads else ():
            yield _Listed(group_of(path), _free(stem, refs), stem, "imported", in_place=True)
        for found in self._index.found:
            yield self._found(found, refs)

    def _download(self, group: Group, parts: Sequence[str], refs: set[str]) -> _Listed:
        repo, name = _repo(parts) or "", group.first.name
        known = self._catalogue.named(repo, name)
        if known is not None:
            return _Listed(
                group,
                _free(known.quant.ref, refs),
                known.model.name,
                "downloaded",
                known=known,
                licence_tag=known.model.licence.tag,
                repo=repo,
            )
        named = self._index.named.get(file_key(self._folder, group.first))
        if named is not None:
            return _Listed(group, _free(named.ref, refs), named.name, "downloaded", licence_tag=named.licence_tag)
        return _Listed(group, _free(f"hf:{repo}/{'/'.join(parts[1:])}", refs), group.stem, "downloaded")

    def _found(self, found: FoundModel, refs: set[str]) -> _Listed:
        missing = tuple(found.files[0].with_name(name) for name in found.missing_parts)
        first = min([*found.files, *missing], key=lambda path: path.name)
        known = self._catalogue.named(found.repo, found.repo_path or "")
        return _Listed(
            Group(first, found.files, missing),
            _free(f"{FOUND_PREFIX[found.origin]}:{found.name}", refs),
            found.name,
            found.origin,
            in_place=True,
            known=known,
            licence_tag=None if known is None else known.model.licence.tag,
            repo=found.repo,
            said=dict(zip(found.files, found.sha256, strict=False)),
        )

    def _model(self, listed: _Listed) -> InstalledModel | None:
        """With sizes, header and proofs; None for what is no regular file, and for another program's that is gone."""
        stamps = {path: stamp for path in listed.group.files if (stamp := stamp_of(path)) is not None}
        gone = [path.name for path in (*listed.group.files, *listed.group.missing) if path not in stamps]
        foreign = listed.origin in FOUND_PREFIX
        for path in listed.group.files:
            self._expect(path, listed)
        if not stamps and not (listed.in_place and not foreign):
            return None
        notes = {path: self._note(path, stamp) for path, stamp in stamps.items()}
        if foreign and any(note.header is not None and note.header.problem for note in notes.values()):
            return None
        header = next(iter(notes.values())).header if notes else None
        known = listed.known
        return InstalledModel(
            ref=listed.ref,
            name=safe_name(listed.name),
            quant=_quant(header, known),
            path=listed.group.first,
            files=tuple(stamps),
            size_bytes=sum(stamp.size_bytes for stamp in stamps.values()),
            check=_check(gone, [(notes[path], stamp) for path, stamp in stamps.items()]),
            origin=listed.origin,
            model_id=known.model.id if known else None,
            licence_tag=listed.licence_tag,
            sha256=tuple(_proven(notes[path], stamp) for path, stamp in stamps.items()),
            last_used_at=self._index.used.get(listed.ref),
            missing_parts=tuple(sorted(gone)),
            in_place=listed.in_place or any(path.is_symlink() for path in stamps),
            note=next((note.header.problem for note in notes.values() if note.header and note.header.problem), ""),
        )

    def _expect(self, path: Path, listed: _Listed) -> None:
        key = file_key(self._folder, path)
        self.seen.add(key)
        known = self._catalogue.named(listed.repo, path.name)
        said = (
            self._index.note(key).expected_sha256
            or (known.sha256(path.name) if known else None)
            or listed.said.get(path)
        )
        if said is not None:
            self.expected[key] = said

    def _note(self, path: Path, stamp: Stamp) -> FileNote:
        """The index's note, with the header read anew where the file is not the one it was read from."""
        key = file_key(self._folder, path)
        note = self._index.note(key)
        if note.header is not None and note.stamp == stamp:
            return note
        facts, lasting = facts_of(path)
        note = FileNote(stamp if lasting else None, facts, note.proof, note.expected_sha256)
        self.fresh[key] = note
        return note

    def _identities(self, model: InstalledModel) -> set[tuple[int, int]]:
        stamps = (stamp_of(path) for path in model.files)
        return {(stamp.dev, stamp.inode) for stamp in stamps if stamp is not None}


def stamp_of(path: Path) -> Stamp | None:
    """None for what is not there, or is no regular file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return Stamp.of(found) if stat.S_ISREG(found.st_mode) else None


def _repo(parts: Sequence[str]) -> str | None:
    """OWNER/REPO of a file below OWNER--REPO; None for any other place."""
    owner, dashes, repo = parts[0].partition("--")
    return f"{owner}/{repo}" if len(parts) > 1 and dashes and owner and repo else None


def _free(wanted: str, refs: set[str]) -> str:
    """A ref that can be typed, whatever the file is called, and that no model before has."""
    wanted = safe_name(wanted)
    ref, number = wanted, 1
    while ref.lower() in refs or ref.lower() == "demo":
        number += 1
        ref = f"{wanted}-{number}"
    refs.add(ref.lower())
    return ref


def _quant(header: HeaderFacts | None, known: Known | None) -> str | None:
    if known is not None:
        return known.quant.quant
    return header.quant if header is not None else None


def _check(gone: Sequence[str], files: Sequence[tuple[FileNote, Stamp]]) -> FileCheck:
    if gone:
        return "missing"
    proofs = [(note.proof, stamp) for note, stamp in files]
    if any(
        proof is not None and (not proof.stamp.looks_like(stamp) or proof.matched is False) for proof, stamp in proofs
    ):
        return "changed"
    holds = all(proof is not None and proof.matched and proof.stamp == stamp for proof, stamp in proofs)
    return "verified" if holds else "unverified"


def _proven(note: FileNote, stamp: Stamp) -> str | None:
    return note.proof.sha256 if note.proof is not None and note.proof.stamp == stamp else None
