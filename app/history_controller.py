"""History: lists, searches, reopens and deletes comparisons. Must not read files itself, and must not paint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from PySide6.QtCore import QObject, Qt, Signal, Slot
from PySide6.QtWidgets import QMessageBox

from app.engine_thread import EngineThread
from backends.errors import NearfarError, Problem
from backends.history.codec import BLANK_RESULT
from backends.history.records import ComparisonRecord, ComparisonSummary, RunRecord, RunStatus
from backends.records import Cost, RunResult
from backends.workbench import Workbench
from widgets.history_page import HistoryPage
from widgets.values import EndStatus, HistoryLine, StoredComparison, StoredLane

PAGE = 100
WORDS: dict[RunStatus, str] = {
    "streaming": "running",
    "finished": "done",
    "incomplete": "incomplete",
    "failed": "failed",
    "cancelled": "stopped",
    "interrupted": "interrupted",
}
UNREADABLE = Problem("history", "The history could not be read.", "Nothing was changed.", "Open the page again.")
WORST_FIRST: tuple[EndStatus, ...] = ("failed", "interrupted", "incomplete", "cancelled", "finished")


class HistoryController(QObject):
    """`reopen` shows a stored comparison on the Compare page; `troubled` carries a problem of the file, or None."""

    troubled = Signal(object)

    def __init__(
        self, page: HistoryPage, engine: EngineThread, bench: Workbench, *, reopen: Callable[[StoredComparison], None]
    ) -> None:
        super().__init__(page)
        self._page = page
        self._engine = engine
        self._bench = bench
        self._reopen = reopen
        self._oldest: str | None = None
        # Emitted on the history's writer thread; everything that shows it lives on this one.
        bench.on_history_problem = self.troubled.emit
        self.troubled.connect(page.show_problem, Qt.ConnectionType.QueuedConnection)
        page.search_changed.connect(self.refresh)
        page.open_requested.connect(self._open)
        page.delete_requested.connect(self._delete)
        page.more_requested.connect(self._more)

    def begin(self) -> None:
        """Make the file ready: runs that a killed app left behind are marked, a damaged file is set aside and told."""
        self._engine.ask(self._bench.history.open(), self._opened_file, self._failed)

    def _opened_file(self, notices: Sequence[Problem]) -> None:
        self.refresh()
        if notices:
            self.troubled.emit(notices[-1])

    @Slot()
    def refresh(self) -> None:
        """Show the newest comparisons, or those that match what is typed."""
        words = self._page.search_text()
        history = self._bench.history
        self._engine.ask(history.search(words) if words else history.list(PAGE), self._show, self._failed)

    def _show(self, summaries: Sequence[ComparisonSummary]) -> None:
        self._oldest = summaries[-1].id if summaries else None
        self._page.show_lines([_line(summary) for summary in summaries], _now())

    @Slot()
    def _more(self) -> None:
        if self._oldest is None or self._page.search_text():
            return
        self._engine.ask(self._bench.history.list(PAGE, self._oldest), self._add, self._failed)

    def _add(self, summaries: Sequence[ComparisonSummary]) -> None:
        self._oldest = summaries[-1].id if summaries else None
        self._page.add_lines([_line(summary) for summary in summaries], _now())

    @Slot(str)
    def _open(self, comparison_id: str) -> None:
        self._engine.ask(self._bench.history.show(comparison_id), self._opened, self._failed)

    def _opened(self, record: ComparisonRecord | None) -> None:
        if record is None:
            self.refresh()
        else:
            self._reopen(stored(record))

    @Slot(str)
    def _delete(self, comparison_id: str) -> None:
        asked = QMessageBox.question(
            self._page,
            "Delete comparison",
            "Delete this comparison with its answers? It cannot be brought back.",
            defaultButton=QMessageBox.StandardButton.No,
        )
        if asked == QMessageBox.StandardButton.Yes:
            self._engine.ask(self._bench.history.delete(comparison_id), lambda _gone: self.refresh(), self._failed)

    def _failed(self, error: BaseException) -> None:
        self.troubled.emit(error.problem if isinstance(error, NearfarError) else UNREADABLE)


def stored(record: ComparisonRecord) -> StoredComparison:
    """A comparison as the Compare page shows it: of a lane that was retried, the newest run."""
    newest = {run.position: run for run in record.runs}
    return StoredComparison(
        comparison_id=record.id,
        started_at=record.started_at.astimezone(),
        prompt=record.prompt.text,
        system=record.prompt.system,
        mode=record.mode,
        sampling=record.sampling,
        lanes=tuple(_lane(newest[position]) for position in sorted(newest)),
    )


def _lane(run: RunRecord) -> StoredLane:
    return StoredLane(run.target, run.result or _text_only(run), _end_of(run.status), run.problem, run.vote, run.run_id)


def _end_of(status: RunStatus) -> EndStatus:
    return "interrupted" if status == "streaming" else status


def _text_only(run: RunRecord) -> RunResult:
    """What is left of a run that the program did not outlive: its text, and no figures."""
    provider, _, model = run.target.partition(":")
    return replace(
        BLANK_RESULT,
        run_id=run.run_id,
        target=run.target,
        model=model or provider,
        provider=provider,
        text=run.text,
        reasoning_text=run.reasoning,
        cost=Cost(None, "not_measured" if provider == "local" else "usage_missing"),
    )


def _line(summary: ComparisonSummary) -> HistoryLine:
    newest = list({run.position: run for run in summary.runs}.values())
    counts = Counter(WORDS[run.status] for run in newest)
    words = ", ".join(f"{count} {word}" if len(newest) > 1 else word for word, count in counts.items())
    ends = {_end_of(run.status) for run in newest}
    return HistoryLine(
        comparison_id=summary.id,
        started_at=summary.started_at.astimezone(),
        prompt=summary.prompt_start,
        targets=tuple(run.target for run in newest),
        summary="all done" if set(counts) == {"done"} and len(newest) > 1 else words,
        status=next((status for status in WORST_FIRST if status in ends), "finished"),
    )


def _now() -> datetime:
    return datetime.now().astimezone()
