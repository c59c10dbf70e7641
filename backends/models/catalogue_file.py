"""Reads resources/catalogue.toml strictly into values. Must not answer questions about them or touch the network."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from backends.models.download_names import check_path, check_repo
from backends.models.quality import quality_of
from backends.models.records import CatalogueModel, CatalogueQuant, Licence, RemoteFile, Shape
from backends.models.shapes import SHAPES, parameters
from resources import resource_path

Text = Annotated[str, Field(min_length=1)]
Size = Annotated[int, Field(gt=0)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Quant(_Row):
    quant: Annotated[str, Field(pattern=r"^[A-Z0-9_-]+$")]
    size_bytes: Size
    files: Annotated[list[str], Field(min_length=1)]
    exact: bool = True
    named: bool = True
    part_bytes: list[Size] = []
    sha256: list[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = []

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for listed in (self.part_bytes, self.sha256):
            if listed and len(listed) != len(self.files):
                raise ValueError(f"{self.quant} has {len(self.files)} files")
        if self.part_bytes and sum(self.part_bytes) != self.size_bytes:
            raise ValueError(f"the parts of {self.quant} do not add up")
        for path in self.files:
            check_path(path)
        return self

    def remote_files(self) -> tuple[RemoteFile, ...]:
        whole = [self.size_bytes] if self.exact and len(self.files) == 1 else []
        unknown = (None,) * len(self.files)
        sizes: Sequence[int | None] = self.part_bytes or whole or unknown
        hashes: Sequence[str | None] = self.sha256 or unknown
        return tuple(map(RemoteFile, self.files, sizes, hashes))


class _Source(_Row):
    repo: Text
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    imatrix: bool = True
    quants: Annotated[list[_Quant], Field(min_length=1)]

    @model_validator(mode="after")
    def _named_as_on_the_hub(self) -> Self:
        check_repo(self.repo)
        return self


class _Model(_Row):
    id: Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")]
    name: Text
    shape: Text
    licence: Text
    parameters: Size | None = None
    not_runnable: str = ""
    note: str = ""
    sources: list[_Source] = []


class _Licence(_Row):
    tag: Text
    name: Text
    url: Annotated[str, Field(pattern=r"^https://")]
    credit: Text
    notice: Text


class _Catalogue(_Row):
    licences: list[_Licence]
    models: list[_Model]


def read_catalogue() -> tuple[tuple[CatalogueModel, ...], tuple[Licence, ...]]:
    """Models in the order of the file, their quants from small to large; and the licences.

    Raises pydantic.ValidationError or KeyError where the file is wrong, which its tests are there to prevent.
    """
    with resource_path("catalogue.toml").open("rb") as file:
        read = _Catalogue.model_validate(tomllib.load(file))
    licences = {row.tag: Licence(**row.model_dump()) for row in read.licences}
    return tuple(_model(row, licences[row.licence]) for row in read.models), tuple(licences.values())


def _model(row: _Model, licence: Licence) -> CatalogueModel:
    shape = SHAPES[row.shape]
    quants = [_quant(row.id, shape, source, quant) for source in row.sources for quant in source.quants]
    return CatalogueModel(
        id=row.id,
        name=row.name,
        parameters=row.parameters or parameters(shape),
        shape=shape,
        licence=licence,
        quants=tuple(sorted(quants, key=lambda quant: quant.size_bytes)),
        not_runnable=row.not_runnable,
        note=row.note,
    )


def _quant(model_id: str, shape: Shape, source: _Source, row: _Quant) -> CatalogueQuant:
    return CatalogueQuant(
        ref=f"{model_id}:{row.quant}",
        quant=row.quant,
        repo=source.repo,
        revision=source.revision,
        files=row.remote_files(),
        size_bytes=row.size_bytes,
        size_exact=row.exact,
        quality=quality_of(row.quant, shape, imatrix=source.imatrix),
        names_confirmed=row.named,
        imatrix=source.imatrix,
    )
