"""The one connection to the history file: opens, checks, migrates, recovers. Used by the writer thread alone.

Rollback journal and synchronous=FULL, on purpose. The window and a command line may have the file open at once, and WAL
before SQLite 3.51.3 can corrupt a file that two connections checkpoint at the same moment (sqlite.org/wal.html, "The
WAL-reset bug"); Python's own builds still carry older versions. WAL would buy write speed that is not needed: four
commits a second are enough, and FULL makes them survive a power cut as well as a killed program.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from backends.errors import HistoryUnavailable, Problem
from backends.history import recovery, schema
from backends.history.rows import close_dead_runs
from backends.history.sessions import begin_session, end_session
from backends.paths import PRIVATE_FILE, ensure_folder

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

CHECK_S = 1.0
BUSY_S = 5.0
HIGHEST_VERSION = 255  # a version above it is a damaged byte, not a newer app


class HistoryFromNewer(HistoryUnavailable):
    """The file belongs to a newer version of the app; waiting will not make it writable."""

    fix = "Start the newest version of Nearfar; until then past runs can be read and new ones are not kept."


class _Damaged(Exception):
    """The file is not a healthy history file."""


class Database:
    """Every method raises HistoryUnavailable where the file cannot be used; nothing else of SQLite or the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.session = begin_session()
        self.notices: list[Problem] = []
        self._connection: sqlite3.Connection | None = None
        self._writable = False
        self.fts5 = False

    def read(self, work: Work[T], empty: T) -> T:
        """Do some reading; `empty` where there is no file, and none is made."""
        return self._guarded(work, self._open_for_reading, empty)

    def write(self, work: Work[T], empty: T, *, create: bool = True) -> T:
        """Do some writing in one transaction; `empty` where there is no file and `create` is False."""

        def whole(connection: sqlite3.Connection) -> T:
            with schema.transaction(connection):
                return work(connection)

        return self._guarded(whole, lambda: self._open_for_writing(create=create), empty)

    def close(self) -> None:
        self._disconnect()
        end_session(self.session)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _guarded(self, work: Work[T], open_file: Callable[[], sqlite3.Connection | None], empty: T) -> T:
        try:
            try:
                connection = open_file()
                return empty if connection is None else work(connection)
            except (sqlite3.DatabaseError, _Damaged) as error:
                if not _is_damage(error) or self._is_newer():
                    raise
                log.warning("the history file is damaged and will be set aside")
                self._recover()
                connection = open_file()
                return empty if connection is None else work(connection)
        except (sqlite3.Error, _Damaged, OSError) as error:
            raise self._unavailable(error) from error

    def _open_for_reading(self) -> sqlite3.Connection | None:
        if self._connection is not None:
            return self._connection
        if not self._has_content():
            return None
        connection = self._connect("ro")
        try:
            version = self._examined_version(connection)
        except BaseException:
            connection.close()
            raise
        if version < len(schema.MIGRATIONS):
            connection.close()
            return self._open_for_writing(create=False)
        self.fts5 = version == len(schema.MIGRATIONS) and _search_is_ready(connection)
        self._connection = connection
        return connection

    def _open_for_writing(self, *, create: bool) -> sqlite3.Connection | None:
        if self._connection is not None and self._writable:
            return self._connection
        if not self._has_content():
            if not create:
                return None
            ensure_folder(self.path.parent)
            os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, PRIVATE_FILE))
        self._disconnect()
        connection = self._connect("rw")
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._writable = connection, True
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if self._examined_version(connection) > len(schema.MIGRATIONS):
            raise HistoryFromNewer("The history file was written by a newer version of Nearfar.")
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")  # what a person deletes leaves the file
        schema.migrate(connection, self.path)
        self.fts5 = schema.has_fts5(connection)
        schema.prepare_search(connection, fts5=self.fts5)
        with schema.transaction(connection):
            close_dead_runs(connection)

    def _examined_version(self, connection: sqlite3.Connection) -> int:
        """The schema version of a healthy file; raises _Damaged. Large files are checked for as long as CHECK_S."""
        version = schema.version_of(connection)
        n_pages = connection.execute("PRAGMA page_count").fetchone()[0]
        if not schema.is_ours(connection) or version > HIGHEST_VERSION or (n_pages == 0 and self._has_content()):
            raise _Damaged
        if version > len(schema.MIGRATIONS):
            return version  # not ours to judge
        deadline = time.monotonic() + CHECK_S
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        try:
            healthy = connection.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok"
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            healthy = True
        finally:
            connection.set_progress_handler(None, 0)
        if not healthy:
            raise _Damaged
        return version

    def _connect(self, mode: str) -> sqlite3.Connection:
        self._writable = False
        address = f"{self.path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None)
        # A damaged letter must not hide an answer.
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        return connection

    def _is_newer(self) -> bool:
        """Whether a newer app wrote the file, by its header alone: a damaged file may not even open."""
        with self.path.open("rb") as file:
            head = file.read(64)
        version = int.from_bytes(head[60:64], "big")  # sqlite.org/fileformat2.html, section 1.3.10
        return head.startswith(b"SQLite format 3\0") and len(schema.MIGRATIONS) < version <= HIGHEST_VERSION

    def _has_content(self) -> bool:
        try:
            return self.path.stat().st_size > 0
        except FileNotFoundError:
            return False

    def _recover(self) -> None:
        self._disconnect()
        found = recovery.recover(self.path)
        self.notices.append(
            Problem(
                code="history_recovered",
                what="The history file was damaged.",
                safe=f"{found.comparisons} comparisons with {found.runs} runs could be read and are in a new file;"
                f" the damaged one is kept as {found.copy}.",
                fix="Nothing needs to be done; delete the damaged file when you no longer want it.",
            )
        )

    def _unavailable(self, error: Exception) -> HistoryUnavailable:
        what = f"The history file {self.path} cannot be used"
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return HistoryUnavailable(
                "The disk is full, so the history cannot be written.",
                safe="What was kept before is safe, and runs go on.",
                fix="Free some disk space; the history then goes on by itself.",
            )
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return HistoryUnavailable(
                f"{what}: another program is holding it.",
                safe="The file was not changed, and runs go on.",
                fix="Close the other program; the history then goes on by itself.",
            )
        reason = getattr(error, "strerror", None) or str(error) or "it is damaged"
        return HistoryUnavailable(f"{what}: {reason}.")


def _is_damage(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, _Damaged) or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _search_is_ready(connection: sqlite3.Connection) -> bool:
    return schema.has_fts5(connection) and schema.index_is_current(connection)
