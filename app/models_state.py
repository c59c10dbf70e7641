"""What the Models page and its helpers know now, and the page made of it. Must not start anything, nor know Qt."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.models_ranking import Ranking
from app.models_view import download_lines, download_share, installed_lines, machine_view, placed
from backends.devices.records import Machine
from backends.errors import NearfarError, Problem
from backends.fit.records import Choice, Fit, FitSeen, Wish
from backends.models.records import DownloadProgress, InstalledModel
from backends.own_loads import OwnLoad
from widgets.model_values import DownloadLine, InstalledLine, ModelRow, ModelsView

UNEXPECTED = Problem(
    "models", "That did not work, for a reason that nobody foresaw.", "No model was changed.", "Try again."
)
HERE_SOON = ("queued", "running", "paused")


@dataclass(slots=True)
class ModelsState:
    """Belongs to the GUI thread, but `checking`, whose shares other threads set. `planning` waits for its files' list.

    `asking_hub` are those of `planning` that the hub was asked about and has not answered.

    `exact` are fits by llama.cpp itself, by ref; `asking` those that it is being asked for; `exact_notes` say why one
    that was asked for did not come.
    """

    wish: Wish = field(default_factory=Wish)
    machine: Machine | None = None
    own: tuple[OwnLoad, ...] = ()
    ranking: Ranking | None = None
    seen: tuple[FitSeen, ...] = ()
    installed: tuple[InstalledModel, ...] = ()
    downloads: tuple[DownloadProgress, ...] = ()
    planning: dict[str, DownloadProgress] = field(default_factory=dict)
    asking_hub: set[str] = field(default_factory=set)
    checking: dict[str, float] = field(default_factory=dict)
    exact: dict[str, Fit] = field(default_factory=dict)
    asking: set[str] = field(default_factory=set)
    exact_notes: dict[str, str] = field(default_factory=dict)
    folder: str = ""
    folder_free_bytes: int | None = None

    def model(self, ref: str) -> InstalledModel | None:
        return next((each for each in self.installed if each.ref == ref), None)

    def choice(self, ref: str | None) -> Choice | None:
        return self.ranking.choice(ref) if self.ranking is not None else None

    def fit(self, ref: str | None) -> Fit | None:
        choice = self.choice(ref)
        return None if choice is None else choice.fit

    def forget_plan(self, ref: str) -> None:
        self.planning.pop(ref, None)
        self.asking_hub.discard(ref)

    def download_lines(self) -> tuple[DownloadLine, ...]:
        """Those of the queue, and those that are not in it yet."""
        return download_lines(self.all_downloads(), asking_hub=self.asking_hub)

    def name_of(self, ref: str) -> tuple[str, str]:
        """Model and quant, as people know them."""
        choice = self.choice(ref)
        return (choice.model, choice.quant) if choice is not None else (ref.rpartition("/")[2], "")

    def all_downloads(self) -> tuple[DownloadProgress, ...]:
        """Those of the queue, and those that are not in it yet."""
        known = {each.ref for each in self.downloads if each.state in HERE_SOON}
        waiting = [each for ref, each in self.planning.items() if ref not in known]
        refs = {each.ref for each in waiting}
        return (*(each for each in self.downloads if each.ref not in refs), *waiting)

    def share(self) -> float | None:
        return download_share(self.downloads)

    def lines(self) -> tuple[InstalledLine, ...]:
        seen = {each.ref: each for each in self.seen if each.real_bytes is not None}
        return installed_lines(self.installed, checking=self.checking, seen=seen)

    def view(self, shown_ref: str | None, *, local_only: bool) -> ModelsView:
        """The whole page; `shown_ref` is the row whose share the devices draw."""
        ranking, downloads = self.ranking, self.all_downloads()
        rows: tuple[ModelRow, ...] = ()
        if ranking is not None:
            rows = placed(
                ranking.rows,
                installed={each.ref for each in self.installed if not each.missing_parts},
                downloading={each.ref for each in downloads if each.state in HERE_SOON},
                asking=self.asking,
                notes=self.exact_notes,
            )
        return ModelsView(
            machine=machine_view(self.machine, self.fit(shown_ref), self.own),
            rows=rows,
            downloads=download_lines(downloads, asking_hub=self.asking_hub),
            installed=self.lines(),
            n_ctx=self.wish.n_ctx,
            kv_type=self.wish.kv_type,
            folder=self.folder,
            folder_free_bytes=self.folder_free_bytes,
            local_only=local_only,
            wanted_ref=shown_ref,
            closest=ranking.closest if ranking is not None else None,
        )


def problem_of(error: BaseException) -> Problem:
    """The words of an error, or that nobody foresaw it."""
    return error.problem if isinstance(error, NearfarError) else UNEXPECTED
