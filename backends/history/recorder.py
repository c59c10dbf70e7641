"""Writes runs down as their events pass by. Must not slow down whoever emits them, and must not fail a run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import get_args

from backends.errors import HistoryUnavailable, Problem
from backends.events import Cancelled, Delta, Event, Failed, Finished
from backends.history.database import Database, HistoryFromNewer
from backends.history.records import Mode, Vote
from backends.history.rows import Change, Kind, NewComparison, NewRun, Piece, RunEnd, RunVote, apply_all
from backends.history.writer import Writer
from backends.records import RunRequest

log = logging.getLogger(__name__)

# With the commit itself a killed program loses at most 250 ms of text.
FLUSH_S = 0.2
FLUSH_CHARS = 2_000
RETRY_S = 2.0
MAX_WAITING_CHARS = 32_000_000

OnProblem = Callable[[Problem | None], None]


class HistoryRecorder:
    """Takes the start of each comparison, its events and votes, from any thread; each call only fills a buffer.

    Where the file cannot be written it says so once through `on_problem` (from the writer thread), tries again every
    two seconds, and calls `on_problem(None)` when what was waiting is safe. Runs never notice.
    """

    def __init__(self, writer: Writer, database: Database, *, keep: bool, on_problem: OnProblem) -> None:
        self._writer = writer
        self._database = database
        self._on_problem = on_problem
        self._lock = threading.Lock()
        self._keep = keep
        self._known: set[str] = set()
        self._waiting: list[Change] = []
        self._growing: dict[tuple[str, Kind], Piece] = {}
        self._chars = 0
        self._scheduled = False
        self._hurried = False
        self.problem: Problem | None = None

    def set_keep(self, keep: bool) -> None:
        """Holds for comparisons that begin from now on; those under way end as they began."""
        with self._lock:
            self._keep = keep

    def begin(self, comparison_id: str, requests: Sequence[RunRequest], mode: Mode) -> Future[bool]:
        """Write a comparison and one `streaming` row per request, lanes in order, before anything is sent.

        The future says whether they are on disk; it never fails, and a run need not wait for it.
        """
        now = utc_now()
        changes: list[Change] = [NewComparison(comparison_id, requests[0], mode, now)]
        changes += [self._new_run(comparison_id, each, lane, now) for lane, each in enumerate(requests)]
        return self._begin(changes, [each.run_id for each in requests])

    def add_run(self, comparison_id: str, request: RunRequest, position: int) -> Future[bool]:
        """Write one more run of a comparison, as when a lane is retried. As `begin` otherwise."""
        return self._begin([self._new_run(comparison_id, request, position, utc_now())], [request.run_id])

    def record(self, event: Event) -> None:
        """Take note of one event; those of runs that were not begun here are not kept."""
        with self._lock:
            if event.run_id not in self._known:
                return
            match event:
                case Delta():
                    self._take_text(event)
                    hurry = self._chars >= FLUSH_CHARS
                case Finished():
                    self._end(RunEnd(event.run_id, "finished" if event.result.complete else "incomplete", event.result))
                    hurry = True
                case Failed():
                    self._end(RunEnd(event.run_id, "failed", event.result, event.problem))
                    hurry = True
                case Cancelled():
                    self._end(RunEnd(event.run_id, "cancelled", event.result))
                    hurry = True
                case _:
                    return
        self._schedule(hurry=hurry)

    def vote(self, run_id: str, vote: Vote) -> None:
        """Keep this vote in place of the run's last one; written after all that was recorded before.

        Nothing happens where history is off or the run is not kept. Raises ValueError for any other word.
        """
        if vote not in get_args(Vote):
            raise ValueError(f"not a vote: {vote!r}")  # the file would refuse it, with all that is written beside it
        with self._lock:
            if not self._keep:
                return
            self._waiting.append(RunVote(run_id, vote))
        self._schedule(hurry=True)

    def flush(self) -> bool:
        """Write what is waiting; False where it could not be. For the writer thread alone."""
        with self._lock:
            changes, self._waiting = self._waiting, []
            chars, self._chars = self._chars, 0
            self._growing.clear()
            self._scheduled = self._hurried = False
        if not changes:
            return self.problem is None
        create = any(isinstance(each, NewComparison) for each in changes)  # all else is of a comparison in the file
        try:
            self._database.write(lambda connection: apply_all(connection, changes), None, create=create)
        except HistoryUnavailable as error:
            self._could_not(changes, chars, error)
            return False
        self._tell(None)
        return True

    def end(self) -> None:
        """Write what is waiting and take no more notes. For the writer thread alone."""
        self.flush()
        with self._lock:
            self._known.clear()

    def _new_run(self, comparison_id: str, request: RunRequest, position: int, now: str) -> NewRun:
        return NewRun(comparison_id, request, position, now, self._database.session)

    def _begin(self, changes: list[Change], run_ids: list[str]) -> Future[bool]:
        with self._lock:
            if not self._keep:
                nothing: Future[bool] = Future()
                nothing.set_result(False)
                return nothing
            self._waiting += changes
            self._known.update(run_ids)
        return self._writer.submit(self.flush)

    def _take_text(self, delta: Delta) -> None:
        piece = self._growing.get((delta.run_id, delta.kind))
        if piece is None:
            piece = self._growing[delta.run_id, delta.kind] = Piece(delta.run_id, delta.kind)
            self._waiting.append(piece)
        piece.parts.append(delta.text)
        self._chars += len(delta.text)

    def _end(self, end: RunEnd) -> None:
        self._known.discard(end.run_id)
        self._waiting.append(end)

    def _schedule(self, *, hurry: bool) -> None:
        with self._lock:
            if self._hurried or (self._scheduled and not hurry):
                return
            self._scheduled = True
            self._hurried = hurry
        self._writer.submit(self.flush, delay_s=0.0 if hurry and self.problem is None else FLUSH_S)

    def _could_not(self, changes: list[Change], chars: int, error: HistoryUnavailable) -> None:
        """Keep what could not be written for later, unless later will not help."""
        self._tell(error.problem)
        with self._lock:
            if isinstance(error, HistoryFromNewer) or chars + self._chars > MAX_WAITING_CHARS:
                self._known.clear()
                return
            self._waiting = changes + self._waiting
            self._chars += chars
            self._scheduled = self._hurried = True
        self._writer.submit(self.flush, delay_s=RETRY_S)

    def _tell(self, problem: Problem | None) -> None:
        if problem == self.problem:
            return
        self.problem = problem
        if problem is not None:
            log.warning("%s", problem.what)
        self._on_problem(problem)


def utc_now() -> str:
    """The wall clock in UTC, as ISO 8601 with milliseconds; for people, never for measuring."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
