"""What the Models page shows, as values: machine, rows, downloads, installed files. Must not know Qt, nor formulas.

Sizes are bytes, rates bytes per second; None is not known. Sentences come ready-made; figures are formatted by widgets.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from backends.errors import Problem
from backends.records import KvType

HUB_HOST = "huggingface.co"

Verdict = Literal["gpu", "split", "ram", "no"]
Rank = Literal[1, 2, 3]
RowState = Literal["available", "installed", "downloading", "not_runnable"]
DownloadState = Literal["queued", "running", "paused", "done", "failed", "cancelled"]
FileCheck = Literal["verified", "unverified", "changed", "missing", "checking"]


@dataclass(frozen=True, slots=True)
class DeviceBar:
    """A device at the top of the page. `wanted_bytes` is what the selected row would take of it.

    `detail` is one line such as driver and bandwidth; `in_use_by` names programs that hold its memory. Of what is used
    `own_bytes` belong to `own_name`, a model that Nearfar has loaded; `makes_room` where it is closed for the next one.
    """

    name: str
    kind: Literal["gpu", "cpu"]
    total_bytes: int | None
    used_bytes: int | None
    free_bytes: int | None
    wanted_bytes: int = 0
    shared: bool = False
    detail: str = ""
    in_use_by: tuple[str, ...] = ()
    own_bytes: int = 0
    own_name: str = ""
    makes_room: bool = False


@dataclass(frozen=True, slots=True)
class MachineView:
    """`problems` are what keeps a device from being used, each with its fix; empty `devices` while still looking."""

    devices: tuple[DeviceBar, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class PartLine:
    """What lands on one device, and what is free there now."""

    device: str
    layers: int
    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    overhead_bytes: int
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class LeverLine:
    """One change that would help: a smaller quant, a shorter context, another KV type. `ref` is set for a quant."""

    kind: Literal["quant", "context", "kv_type"]
    value: str
    verdict: Verdict
    gpu_layers: int
    saves_bytes: int
    ref: str | None = None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One quant of the catalogue with its verdict at the context and KV type that are set now.

    `needs_bytes` is all that it takes on the device the verdict is about; `n_ctx` is the context it gets, at most its
    own. `exact` where llama.cpp itself was asked, `asking` while it is, `exact_note` why it no longer is. `state`
    not_runnable has its why in `reason`. Links are shown where their address is given; `credit` is “Built with Llama”
    where it is due.
    """

    ref: str
    model: str
    quant: str
    parameters: int | None
    file_bytes: int
    verdict: Verdict
    gpu_layers: int
    n_layers: int
    n_ctx: int
    needs_bytes: int
    missing_bytes: int
    tok_s_low: float | None
    tok_s_high: float | None
    own_runs: int
    kld: float | None
    quality_note: str
    rank: Rank | None
    reason: str
    state: RowState
    licence: str = ""
    repo: str = ""
    size_exact: bool = True
    exact: bool = False
    parts: tuple[PartLine, ...] = ()
    levers: tuple[LeverLine, ...] = ()
    asking: bool = False
    exact_note: str = ""
    licence_url: str = ""
    repo_url: str = ""
    credit: str = ""


@dataclass(frozen=True, slots=True)
class ClosestModel:
    """Where nothing fits: the row that comes closest, and the one change that would make it fit, if there is one."""

    ref: str
    lever: LeverLine | None = None


@dataclass(frozen=True, slots=True)
class DownloadLine:
    """A download as it stands; `problem` is set where it failed, `asking_hub` while the hub has not said what it is."""

    ref: str
    title: str
    state: DownloadState
    received_bytes: int
    total_bytes: int | None
    rate_bytes_s: float | None = None
    left_s: float | None = None
    problem: Problem | None = None
    asking_hub: bool = False


@dataclass(frozen=True, slots=True)
class InstalledLine:
    """A model on this disk. `origin` is empty for our own files, else the program that owns it, as “LM Studio”.

    `predicted_bytes` and `real_bytes` are those of its last load, where there was one.
    """

    ref: str
    name: str
    quant: str | None
    size_bytes: int
    check: FileCheck
    checked_share: float | None
    origin: str
    path: str
    last_used_at: datetime | None
    can_remove: bool
    predicted_bytes: int | None = None
    real_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ModelsView:
    """The whole page. `folder` is where models are kept, with what is free on its disk.

    `wanted_ref` is the row that the devices' `wanted_bytes` belong to. `local_only` is True only where the person
    chose so: nothing can be downloaded then. `closest` is worked out where no row fits.
    """

    machine: MachineView = MachineView()
    rows: tuple[ModelRow, ...] = ()
    downloads: tuple[DownloadLine, ...] = ()
    installed: tuple[InstalledLine, ...] = ()
    n_ctx: int = 8192
    kv_type: KvType = "f16"
    folder: str = ""
    folder_free_bytes: int | None = None
    local_only: bool = False
    wanted_ref: str | None = None
    closest: ClosestModel | None = None


@dataclass(frozen=True, slots=True)
class LicenceView:
    """What a person accepts before a download. `credit` is “Built with Llama” where it is due."""

    tag: str
    name: str
    url: str
    credit: str
    notice: str


@dataclass(frozen=True, slots=True)
class RepoFileLine:
    """One model of a repo that the person added: a file, or all parts of one."""

    ref: str
    name: str
    quant: str | None
    size_bytes: int | None
    n_parts: int
    hashed: bool


@dataclass(frozen=True, slots=True)
class LoadWarning:
    """A load that would not fit now: what it needs and has, who holds memory, and what would help.

    `missing_bytes` counts what must stay free besides; None is what it needs less what is free.
    """

    model: str
    device: str
    needs_bytes: int
    free_bytes: int
    in_use_by: tuple[str, ...] = ()
    levers: tuple[LeverLine, ...] = ()
    missing_bytes: int | None = None
