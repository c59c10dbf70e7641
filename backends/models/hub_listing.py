"""What a repo holds, read from the hub's listing: GGUF files by model, with sizes and hashes. Must not fetch it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backends.errors import UsageError
from backends.models.download_names import check_path, shown
from backends.models.errors import ServerMisbehaved
from backends.models.folder import MAX_PARTS, SPLIT, model_stem, part_name
from backends.models.records import DownloadPlan, RemoteFile

SHA256 = re.compile(r"[0-9a-f]{64}")
COMMIT = re.compile(r"[0-9a-f]{40}")
QUANT = re.compile(
    r"(?<![A-Z0-9])(I?Q[1-8]_[A-Z0-9]+(?:_[A-Z0-9]+)*|BF16|F16|F32|MXFP4|TQ[12]_0)(?![A-Z0-9])", re.IGNORECASE
)
TAIL = re.compile(r"(I?Q[1-8])_(K_(?:XS|XL|S|M|L)|K|[01](?:_\d_\d)?|XXS|XS|S|M|NL|L)", re.IGNORECASE)
MAX_LISTED = 10_000
Size = Annotated[int, Field(ge=0, lt=2**53)]


class _Lfs(BaseModel):
    model_config = ConfigDict(extra="ignore")

    sha256: Annotated[str, Field(max_length=200)] | None = None
    size: Size | None = None


class _Sibling(BaseModel):
    model_config = ConfigDict(extra="ignore")

    rfilename: Annotated[str, Field(max_length=4096)]
    size: Size | None = None
    lfs: _Lfs | None = None


class _Reply(BaseModel):
    model_config = ConfigDict(extra="ignore")

    sha: Annotated[str, Field(pattern=COMMIT)] | None = None
    gated: bool | str = False
    tags: list[Any] = Field(default_factory=list)
    cardData: dict[str, Any] | None = None  # noqa: N815  the hub's own name
    siblings: Annotated[list[_Sibling], Field(max_length=MAX_LISTED)] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RepoModel:
    """One GGUF model of a repo, all its parts in order. `quant` is a guess from the file's name, None without one.

    `missing` counts parts that the repo lacks; such a model cannot be downloaded.
    """

    ref: str
    name: str
    quant: str | None
    files: tuple[RemoteFile, ...]
    missing: int = 0

    @property
    def size_bytes(self) -> int | None:
        """All parts together; None where the hub does not say of one."""
        sizes = [file.size_bytes for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)


@dataclass(frozen=True, slots=True)
class RepoListing:
    """A repo at one commit. `left_out` are names of GGUF files that no safe path can be made of."""

    repo: str
    revision: str | None
    gated: bool
    licence_tag: str | None
    models: tuple[RepoModel, ...]
    left_out: tuple[str, ...] = ()

    def plan(self, model: RepoModel) -> DownloadPlan:
        """What to hand to `Downloads.add` for one of the models."""
        return DownloadPlan(
            ref=model.ref,
            name=model.name,
            quant=model.quant or "",
            repo=self.repo,
            revision=self.revision,
            files=model.files,
            licence_tag=self.licence_tag,
        )


def guess_quant(path: str) -> str | None:
    """The quant that a file name or, failing that, its folder names: `Q4_K_M`, `IQ3_M`, `F16`; None without one."""
    parts = PurePosixPath(path).parts
    for text in (model_stem(parts[-1]), *reversed(parts[:-1])) if parts else ():
        found = [match.group(1) for match in QUANT.finditer(text)]
        if found:
            quant = found[-1].upper()
            tail = TAIL.match(quant)
            return tail.group(0) if tail else quant
    return None


def read_listing(repo: str, raw: bytes) -> RepoListing:
    """The listing in the hub's reply; raises ServerMisbehaved for one that cannot be read."""
    try:
        reply = _Reply.model_validate_json(raw)
    except ValidationError as error:
        if any(
            each["type"] == "too_long" and each["loc"] == ("siblings",) for each in error.errors(include_input=False)
        ):
            raise ServerMisbehaved(
                f"{repo} has more than {MAX_LISTED:,} files, which is too many to list.",
                safe="Nothing was downloaded.",
                fix="Choose another repo.",
            ) from None
        raise ServerMisbehaved(
            f"The hub's list of the files of {repo} cannot be read.", safe="Nothing was downloaded.", fix="Try again."
        ) from None
    files: list[RemoteFile] = []
    left_out: list[str] = []
    for sibling in reply.siblings:
        if not sibling.rfilename.lower().endswith(".gguf"):
            continue
        try:
            files.append(_file(sibling))
        except UsageError:
            left_out.append(shown(sibling.rfilename))
    return RepoListing(
        repo=repo,
        revision=reply.sha,
        gated=reply.gated is not False,
        licence_tag=_licence(reply),
        models=_grouped(repo, files),
        left_out=tuple(left_out),
    )


def _file(sibling: _Sibling) -> RemoteFile:
    lfs = sibling.lfs or _Lfs()
    sha256 = (lfs.sha256 or "").lower()
    size = lfs.size if lfs.size is not None else sibling.size
    return RemoteFile(check_path(sibling.rfilename), size, sha256 if SHA256.fullmatch(sha256) else None)


def _licence(reply: _Reply) -> str | None:
    """The tag, such as `llama3.1`; of a licence that has only a name of its own, that name."""
    card = reply.cardData or {}
    tag = card.get("license")
    if tag == "other" and isinstance(card.get("license_name"), str):
        tag = card["license_name"]
    if not isinstance(tag, str):
        tag = next((each[8:] for each in reply.tags if isinstance(each, str) and each.startswith("license:")), None)
    return shown(tag) if tag else None


def _grouped(repo: str, files: list[RemoteFile]) -> tuple[RepoModel, ...]:
    """Splits put together, smallest first."""
    whole: list[RepoModel] = []
    split: dict[tuple[str, str, int], dict[int, RemoteFile]] = {}
    for file in files:
        path = PurePosixPath(file.path)
        match = SPLIT.fullmatch(path.name)
        if match and 1 <= int(match["number"]) <= int(match["count"]) <= MAX_PARTS:
            where = (str(path.parent), match["stem"], int(match["count"]))
            split.setdefault(where, {})[int(match["number"])] = file
        else:
            whole.append(_model(repo, file.path, (file,)))
    for (folder, stem, count), parts in split.items():
        first = str(PurePosixPath(folder) / part_name(stem, 1, count))
        present = tuple(parts[number] for number in sorted(parts))
        whole.append(_model(repo, first, present, missing=count - len(present)))
    return tuple(sorted(whole, key=lambda model: (model.size_bytes or 0, model.name)))


def _model(repo: str, first: str, files: tuple[RemoteFile, ...], missing: int = 0) -> RepoModel:
    name = model_stem(PurePosixPath(first).name)
    return RepoModel(f"hf:{repo}/{first}", name, guess_quant(first), files, missing)
