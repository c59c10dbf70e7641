"""What a quant costs in quality, by the nearest measurement there is. Must not know files, sizes or who ranks them.

Published tables are of Llama 3 8B and 70B. For other sizes the change from the full weights is a guide at best, small
models losing more, and each entry says what it was measured on.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from functools import cache

from pydantic import BaseModel, ConfigDict

from backends.models.records import Quality, Shape
from backends.models.shapes import LLAMA_8B, LLAMA_70B
from resources import resource_path

BY_DEFINITION = ("BF16", "F32")  # Llama is published in BF16, and F32 holds the same numbers


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Measurement(_Row):
    quant: str
    imatrix: bool
    ppl: float
    delta_ppl_percent: float
    kld: float | None = None


class _Table(_Row):
    id: str
    model: str
    source: str
    rows: list[_Measurement]

    def find(self, quant: str, imatrix: bool) -> Quality | None:
        """The row of this quant, made in the same way where there are two."""
        rows = sorted((row for row in self.rows if row.quant == quant), key=lambda row: row.imatrix != imatrix)
        if not rows:
            return None
        row = rows[0]
        return Quality(row.kld, row.ppl, row.delta_ppl_percent, self.model, self.source)


class _Tables(_Row):
    tables: list[_Table]


def quality_of(quant: str, shape: Shape, *, imatrix: bool = True) -> Quality | None:
    """KLD and perplexity of a quant of a model of this shape; None where nothing near was measured."""
    if quant in BY_DEFINITION:
        return Quality(0.0, None, 0.0, "nothing: these are the weights as published", "by definition")
    small, large = _table("8b").find(quant, imatrix), _table("70b").find(quant, imatrix)
    if _alike(shape, LLAMA_8B):
        return small
    if _alike(shape, LLAMA_70B):
        return _large(small, large)
    if small is None:
        return None
    return replace(small, ppl=None, measured_on=f"{small.measured_on}; a guide for this model, not a measurement of it")


def _large(small: Quality | None, large: Quality | None) -> Quality | None:
    """70B: its own perplexity; the KLD, which nobody published, from the 8B."""
    if large is None or small is None or small.kld is None:
        return large
    measured_on = f"{large.measured_on}; the KLD on {small.measured_on}, as a guide"
    return replace(large, kld=small.kld, measured_on=measured_on, source=f"{large.source}; {small.source}")


def _alike(shape: Shape, other: Shape) -> bool:
    return (shape.n_layers, shape.hidden) == (other.n_layers, other.hidden)


@cache
def _tables() -> dict[str, _Table]:
    with resource_path("quality.toml").open("rb") as file:
        return {table.id: table for table in _Tables.model_validate(tomllib.load(file)).tables}


def _table(name: str) -> _Table:
    return _tables()[name]
