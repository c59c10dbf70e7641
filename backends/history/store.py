"""Past comparisons: the one door to the history file. Must not know windows, engines, or what a thread pool is.

Everything slow happens in the writer thread; reading is a coroutine, recording only fills a buffer.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from backends.errors import Problem
from backends.history import export, queries
from backends.history.database import Database
from backends.history.recorder import HistoryRecorder, OnProblem
from backends.history.records import ComparisonRecord, ComparisonSummary
from backends.history.schema import forget_deleted_words, remove_backups
from backends.history.writer import Writer

T = TypeVar("T")

log = logging.getLogger(__name__)

CLOSE_S = 5.0


class History:
    """One per program. Making one touches no disk; with `keep` off nothing ever does but reading and deleting.

    Reading and deleting raise HistoryUnavailable. Recording never does: `on_problem` is called, from the writer thread,
    with the sentence to show, and with None when all is well again.
    """

    def __init__(self, path: Path, *, keep: bool = True, on_problem: OnProblem = lambda _problem: None) -> None:
        self._writer = Writer()
        self._path = path
        self._database = Database(path)
        self._keep = keep
        self._closed = False
        self.recorder = HistoryRecorder(self._writer, self._database, keep=keep, on_problem=on_problem)

    async def open(self) -> tuple[Problem, ...]:
        """Make the file ready and mark runs that a killed program left as interrupted; for the start of the app.

        Returns what a person should know, such as a damaged file that was set aside. Raises HistoryUnavailable; runs
        still go on then, and what can be read can be read.
        """
        if self._keep:
            await self._do(lambda: self._database.write(lambda _connection: None, None))
        return self.notices

    @property
    def notices(self) -> tuple[Problem, ...]:
        """What happened to the file since the start, oldest first."""
        return tuple(self._database.notices)

    def set_keep(self, keep: bool) -> None:
        """The "keep history" switch; holds for comparisons that begin from now on."""
        self._keep = keep
        self.recorder.set_keep(keep)

    @property
    def problem(self) -> Problem | None:
        """What keeps the history from being written now, as far as that was tried."""
        return self.recorder.problem

    async def tried(self, within_s: float) -> None:
        """Until it was tried to write what was recorded so far, but no longer than that; `problem` then knows."""
        if self._keep:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._do(self.recorder.flush), within_s)

    async def list(self, limit: int = 50, before: str | None = None) -> tuple[ComparisonSummary, ...]:
        """The newest comparisons, newest first; with `before`, those older than that comparison."""
        return await self._read(lambda c: queries.recent(c, limit, before), ())

    async def search(self, text: str, limit: int = 100) -> tuple[ComparisonSummary, ...]:
        """Comparisons whose prompt or answers hold every word of `text`, newest first; "a b" in quotes is a phrase."""
        return await self._read(lambda c: queries.search(c, text, limit, fts5=self._database.fts5), ())

    async def show(self, comparison_id: str) -> ComparisonRecord | None:
        """One comparison, whole, or None."""
        return await self._read(lambda c: queries.whole(c, comparison_id), None)

    async def ids(self, beginning: str) -> tuple[str, ...]:
        """Names of the comparisons whose name begins so, newest first and at most ten; to accept a shortened one."""
        return await self._read(lambda c: queries.ids(c, beginning), ())

    async def delete(self, comparison_id: str) -> bool:
        """Remove one comparison for good, from the search index and older copies too; False where there is none."""

        def work(connection: sqlite3.Connection) -> bool:
            gone = bool(connection.execute("DELETE FROM comparisons WHERE id = ?", (comparison_id,)).rowcount)
            if gone and self._database.fts5:
                forget_deleted_words(connection)
            if gone:
                remove_backups(self._path)
            return gone

        return await self._do(lambda: self._flushed(lambda: self._database.write(work, False, create=False)))

    async def export(self, form: Literal["json", "markdown"], ids: builtins.list[str] | None = None) -> str:
        """Comparisons as one document, oldest first; all of them where `ids` is None."""
        if ids is None:
            ids = [each.id for each in reversed(await self.list(limit=1_000_000))]
        records = [record for each in ids if (record := await self.show(each)) is not None]
        write = export.as_json if form == "json" else export.as_markdown
        return await self._do(lambda: write(records))

    async def close(self) -> None:
        """Write what is waiting and give the file back; waits at most 5 s, then says so in the log. Idempotent.

        Nothing can be read or kept afterwards.
        """
        if self._closed:
            return
        self._closed = True
        self.recorder.set_keep(False)

        def last() -> None:
            try:
                self.recorder.end()
            finally:
                self._database.close()

        try:
            await asyncio.wait_for(asyncio.wrap_future(self._writer.close(last)), CLOSE_S)
        except TimeoutError:  # a disk that hangs must not keep the program from ending
            log.warning("the history was not written within %.0f s; what was not is lost", CLOSE_S)

    async def _read(self, work: Callable[[sqlite3.Connection], T], empty: T) -> T:
        return await self._do(lambda: self._flushed(lambda: self._database.read(work, empty)))

    def _flushed(self, work: Callable[[], T]) -> T:
        """Readers see what was recorded before they asked."""
        self.recorder.flush()
        return work()

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._writer.submit(work))
