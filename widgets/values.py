"""What the window shows and what it asks for, as values. Must not know Qt, nor how any of it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from backends.errors import Problem
from backends.records import KvType, RunResult, Sampling
from backends.spending import Estimate, OwnPrice, Spent

THIS_MACHINE = "this machine"
GROUP_HERE = "On this machine"
GROUP_PRACTICE = "Practice"
GROUP_SERVERS = "Servers on this machine"
GROUP_OWN = "Your servers"
GROUP_CLOUD = "Cloud"
MAX_LANES = 4

Mode = Literal["sequence", "race"]
ThemeChoice = Literal["system", "light", "dark"]
Vote = Literal["up", "down", ""]
EndStatus = Literal["finished", "incomplete", "failed", "cancelled", "interrupted"]


@dataclass(frozen=True, slots=True)
class TargetChoice:
    """One row of the target picker. `where` is "this machine" or the host that prompts would be sent to.

    `retires_on` is an ISO date. A choice with a `disabled_reason` is shown with its reason and cannot be chosen.
    `size_bytes` is the file of a local model. `sent_on` is set where a server passes prompts to this model, unlike its
    others, on to `where`.
    """

    name: str
    label: str
    detail: str = ""
    group: str = GROUP_HERE
    where: str = THIS_MACHINE
    sent_on: bool = False
    needs_key: bool = False
    retires_on: str | None = None
    is_practice: bool = False
    is_demo: bool = False
    disabled_reason: str | None = None
    size_bytes: int | None = None

    @property
    def is_here(self) -> bool:
        """True where prompts do not leave this machine."""
        return self.where == THIS_MACHINE


@dataclass(frozen=True, slots=True)
class TargetAction:
    """A row of the target picker that does something: it stands at the end of `group`, or with its last like."""

    key: str
    label: str
    detail: str
    group: str
    icon: str = "arrow-clockwise"
    disabled_reason: str | None = None


@dataclass(frozen=True, slots=True)
class ServerLine:
    """A server of the person's own as the Settings page shows it; `where` is "this machine" or its host.

    `listed` says in words what is known of its models; `problem` why its address cannot be used.
    """

    name: str
    address: str
    where: str = THIS_MACHINE
    listed: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class LaneAsk:
    lane_id: str
    target: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One comparison the person wants: the same prompt on every lane."""

    prompt: str
    system: str | None
    sampling: Sampling
    mode: Mode
    lanes: tuple[LaneAsk, ...]


@dataclass(frozen=True, slots=True)
class DeviceLine:
    """A device as the top bar shows it; sizes in bytes, None where unknown."""

    name: str
    kind: Literal["gpu", "cpu"]
    total_bytes: int | None
    free_bytes: int | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PrivacyState:
    """Whether anything may leave the machine. `hosts` are those that the lanes shown now would ask; `contacted` are
    those that were, whatever lanes are shown.

    `connections` counts outgoing connections since `since`; loopback is not counted. `asked_for` is what ended local
    only without a choice for or against it: (purpose, host) of what the person asked other machines for by a click.
    """

    local_only: bool
    hosts: tuple[str, ...]
    connections: int
    since: datetime
    contacted: tuple[str, ...] = ()
    asked_for: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ContactLine:
    """One connection: when, what for, with whom and how many bytes of HTTP went each way. `via` names a proxy.

    `at` is in the person's own time zone.
    """

    at: datetime
    purpose: str
    host: str
    outcome: Literal["connecting", "open", "closed", "failed", "refused", "cut"]
    is_here: bool = False
    via: str = ""
    bytes_sent: int = 0
    bytes_received: int = 0


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One stored comparison in the list. `summary` says how its runs ended, in words."""

    comparison_id: str
    started_at: datetime
    prompt: str
    targets: tuple[str, ...]
    summary: str
    status: EndStatus = "finished"


@dataclass(frozen=True, slots=True)
class LoadNote:
    """What loading a model really took of its devices' memory, and what was predicted for just that; None is not known.

    It is said of the GPUs that took layers, or of the machine's memory where none did.
    """

    used_bytes: int | None
    predicted_bytes: int | None


@dataclass(frozen=True, slots=True)
class StoredLane:
    """A run read back from history, by the name it has there. `problem` is set where it failed."""

    target: str
    result: RunResult
    status: EndStatus
    problem: Problem | None = None
    vote: Vote = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class StoredComparison:
    comparison_id: str
    started_at: datetime
    prompt: str
    system: str | None
    mode: Mode
    sampling: Sampling
    lanes: tuple[StoredLane, ...]


@dataclass(frozen=True, slots=True)
class AcceptedLicence:
    """A licence that the person accepted once, by its tag (`llama3.1`) and its name for people."""

    tag: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class SettingsView:
    """What the Settings page shows and gives back whole when one of it changes.

    `models_folder` is the folder in use, whether chosen or the default; it changes by a signal of its own.
    """

    theme: ThemeChoice = "system"
    keep_history: bool = True
    local_only: bool = False
    mode: Mode = "sequence"
    sampling: Sampling = field(default_factory=Sampling)
    n_ctx: int = 8192
    kv_type: KvType = "f16"
    models_folder: str = ""
    models_folder_free_bytes: int | None = None
    download_limit_mb_s: float | None = None
    accepted_licences: tuple[AcceptedLicence, ...] = ()
    added_repos: tuple[str, ...] = ()
    proxy_url: str | None = None
    ca_file: str | None = None
    session_budget_usd: float | None = None
    month_budget_usd: float | None = None
    servers: tuple[ServerLine, ...] = ()


@dataclass(frozen=True, slots=True)
class LaneEstimate:
    """What one lane's answer may cost; lanes that cost nothing have none."""

    label: str
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class SpentLine:
    """What one provider was paid in this session and in this month."""

    label: str
    session: Spent = field(default_factory=Spent)
    month: Spent = field(default_factory=Spent)


@dataclass(frozen=True, slots=True)
class PriceTableLine:
    """The table of prices in use: the package's version, and the day of its release or of its fetching."""

    version: str
    day: date
    fetched: bool


@dataclass(frozen=True, slots=True)
class CostsView:
    """What the Costs section shows. `providers` are (name, label) of those that a price can be given for."""

    total: SpentLine | None = None
    by_provider: tuple[SpentLine, ...] = ()
    own_prices: tuple[OwnPrice, ...] = ()
    providers: tuple[tuple[str, str], ...] = ()
    table: PriceTableLine | None = None
