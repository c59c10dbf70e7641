"""What the first-start assistant and the dialogs of the model flows show, as values. Must not know Qt, nor formulas."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from backends.errors import Problem
from widgets.model_values import HUB_HOST as HUB_HOST
from widgets.model_values import DownloadLine, MachineView, ModelRow

ImportWay = Literal["copy", "in_place"]
MoveWay = Literal["move", "switch"]


@dataclass(frozen=True, slots=True)
class AssistantView:
    """Both steps at once. A `machine` without devices is still being looked at; `offers` None are still being weighed.

    `offers` are the rows with a rank, best first; none means that no model of the catalogue fits, and `no_offer` is
    then the sentence that says why. `download` is the one that was started here. `local_only` is True only where the
    person switched it on, so that nothing may be downloaded. `problem` is of anything else that was tried here.
    `hub_host` is who would be contacted.
    """

    machine: MachineView = field(default_factory=MachineView)
    offers: tuple[ModelRow, ...] | None = None
    no_offer: str = ""
    download: DownloadLine | None = None
    folder_free_bytes: int | None = None
    local_only: bool = False
    problem: Problem | None = None
    hub_host: str = HUB_HOST


@dataclass(frozen=True, slots=True)
class ImportAsk:
    """Model files that the person wants to import. `folder` is where a copy would go, with what is free there."""

    paths: tuple[str, ...]
    size_bytes: int
    folder: str
    folder_free_bytes: int | None


@dataclass(frozen=True, slots=True)
class MoveAsk:
    """Another models folder was chosen while models lie in the old one. Both ways keep every file."""

    old_folder: str
    new_folder: str
    n_models: int
    size_bytes: int
    new_free_bytes: int | None
