"""Models, quants, files and downloads as values; sizes in bytes. Must not know where they are read from or shown.

A model has an id (`llama-3.1-8b`), a quant of it a *ref* (`llama-3.1-8b:Q4_K_M`, or `hf:OWNER/REPO/FILE` for a file
of a repo that the person added). A ref is what `fit` prints, `models pull` takes and `local:` targets name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from backends.errors import Problem

DownloadState = Literal["queued", "running", "paused", "done", "failed", "cancelled"]
FileCheck = Literal["verified", "unverified", "changed", "missing"]
Origin = Literal["downloaded", "imported", "lm_studio", "jan", "gpt4all", "hugging_face", "ollama"]


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama's sizes, counted in elements; `tied` where the output matrix is the embedding."""

    n_layers: int
    hidden: int
    ffn: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    vocab: int
    n_ctx_train: int
    tied: bool


@dataclass(frozen=True, slots=True)
class Weights:
    """Where the bytes of a model's tensors lie, as far as placing layers needs to know.

    `embedding_bytes` is the input embedding, which llama.cpp keeps in the machine's memory; `layer_bytes` has one entry
    per repeating layer; `output_bytes` is everything after the last layer: the output norm and the output matrix. Where
    the two are tied the file holds the matrix once, and a GPU that takes the output layer gets a copy of its own.
    """

    embedding_bytes: int
    layer_bytes: tuple[int, ...]
    output_bytes: int
    tied: bool


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What fit must know of one quant of a model. `from_header`: read from the file itself, not computed by rule."""

    name: str
    quant: str | None
    shape: Shape
    weights: Weights
    from_header: bool


@dataclass(frozen=True, slots=True)
class Licence:
    """`notice` is the line that goes with copies of the weights; `credit` is "Built with Llama" where it is due."""

    tag: str
    name: str
    url: str
    credit: str
    notice: str


@dataclass(frozen=True, slots=True)
class Quality:
    """What quantising costs: mean KL divergence from the full weights, perplexity, and its change in percent.

    `measured_on` names the model of the measurement, which is rarely the very one at hand; None where not measured.
    """

    kld: float | None
    ppl: float | None
    delta_ppl_percent: float | None
    measured_on: str
    source: str


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a Hugging Face repo by its path there; the hub's metadata fills in what is None."""

    path: str
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class CatalogueQuant:
    """One quant that can be downloaded: all its parts, in order. `size_exact` is False where shapes and rules gave it.

    `revision` is the commit that the sizes belong to, None where the hub's newest is taken. Where the names are not
    `names_confirmed`, the hub's listing decides (`catalogue.resolve`). `imatrix`: made with an importance matrix.
    """

    ref: str
    quant: str
    repo: str
    revision: str | None
    files: tuple[RemoteFile, ...]
    size_bytes: int
    size_exact: bool
    quality: Quality | None
    names_confirmed: bool = True
    imatrix: bool = True


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """A model of the catalogue. `not_runnable` says why it cannot be used here, and is empty where it can."""

    id: str
    name: str
    parameters: int
    shape: Shape
    licence: Licence
    quants: tuple[CatalogueQuant, ...]
    not_runnable: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """What is to be fetched: parts of one model, all of one revision. Names are ours or checked, never a server's.

    `repairs`: what lies at its place is this very download, damaged since, so files with other bytes are replaced.
    """

    ref: str
    name: str
    quant: str
    repo: str
    revision: str | None
    files: tuple[RemoteFile, ...]
    licence_tag: str | None = None
    repairs: bool = False


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """A download as it stands. Rate in bytes per second; None where not known yet. `problem` is set where it failed."""

    ref: str
    name: str
    quant: str
    state: DownloadState
    received_bytes: int
    total_bytes: int | None
    rate_bytes_s: float | None = None
    left_s: float | None = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model on this disk. `path` is what llama.cpp opens: the file, or the first of its parts.

    `check` is `verified` only while size, time and inode are those of a file whose sha256 matched; `origin` other than
    downloaded or imported means that another program owns the file, and it is never removed from here; `in_place`
    that it lies outside the models folder. `missing_parts` are the file names that a split model lacks, and `note` a
    sentence about what is wrong with the file, empty where nothing is.
    """

    ref: str
    name: str
    quant: str | None
    path: Path
    files: tuple[Path, ...]
    size_bytes: int
    check: FileCheck
    origin: Origin
    model_id: str | None = None
    licence_tag: str | None = None
    sha256: tuple[str | None, ...] = ()
    last_used_at: datetime | None = None
    missing_parts: tuple[str, ...] = ()
    in_place: bool = False
    note: str = ""
