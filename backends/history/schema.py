"""The tables of the history file, its versions and its search index. Must not know what the rows mean to a person."""

from __future__ import annotations

import glob
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

APPLICATION_ID = 0x4E454152  # "NEAR", so that another program's SQLite file is recognised
PAGE_BYTES = 4096

Migration = tuple[str, ...]

# What a list needs comes first in `runs`: SQLite reads a row from the left and long text lies in pages of its own.
VERSION_1: Migration = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    """CREATE TABLE comparisons (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        started_at TEXT NOT NULL,
        mode TEXT NOT NULL,
        sampling TEXT NOT NULL,
        prompt TEXT NOT NULL,
        system TEXT,
        messages TEXT NOT NULL
    )""",
    """CREATE TABLE runs (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        comparison_key INTEGER NOT NULL REFERENCES comparisons (key) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        target TEXT NOT NULL,
        status TEXT NOT NULL,
        started_at TEXT NOT NULL,
        session TEXT NOT NULL,
        result TEXT,
        problem TEXT,
        text TEXT NOT NULL DEFAULT '',
        reasoning TEXT NOT NULL DEFAULT ''
    )""",
    "CREATE INDEX runs_by_comparison ON runs (comparison_key, position)",
    "CREATE INDEX runs_streaming ON runs (status) WHERE status = 'streaming'",
    # Text of a run that streams; rewriting a long answer four times a second would cost more the longer it gets.
    """CREATE TABLE pieces (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        text TEXT NOT NULL
    )""",
    "CREATE INDEX pieces_by_run ON pieces (run_key)",
    "CREATE TABLE search_state (stale INTEGER NOT NULL)",
    "INSERT INTO search_state VALUES (1)",
)

# Added columns come last, behind the text: a list walks the pages of a long answer only where it was voted on.
VERSION_2: Migration = ("ALTER TABLE runs ADD COLUMN vote TEXT NOT NULL DEFAULT '' CHECK (vote IN ('up', 'down', ''))",)

# Never edit a released entry: append one.
MIGRATIONS: tuple[Migration, ...] = (VERSION_1, VERSION_2)

SEARCH_TABLES = {"comparisons": "prompt, system", "runs": "text"}


BACKUP = ".before-v"


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All of it or nothing. Takes the write lock at once: a lock taken half way could never be waited for."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite rolls back by itself where a disk is full
            connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def is_ours(connection: sqlite3.Connection) -> bool:
    """True for a history file and for an empty one."""
    if connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
        return True
    return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the file to the newest version, one transaction per version, after keeping a backup beside it.

    Raises sqlite3.Error or OSError; the file is then at the last version that was reached whole.
    """
    start = version_of(connection)
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # of a new file; recovery counts on it
    if 0 < start < len(migrations):
        _back_up(connection, path.with_name(f"{path.stem}{BACKUP}{len(migrations)}{path.suffix}"))
    for version in range(start, len(migrations)):
        with transaction(connection):
            if version_of(connection) != version:  # another process of ours was faster
                continue
            for statement in migrations[version]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version + 1}")


def remove_backups(path: Path) -> None:
    """Delete the copies that migrations left: whatever a person deletes must not live on in them."""
    for copy in path.parent.glob(f"{glob.escape(path.stem)}{BACKUP}*{glob.escape(path.suffix)}"):
        copy.unlink(missing_ok=True)


def _back_up(connection: sqlite3.Connection, copy: Path) -> None:
    part = copy.with_name(copy.name + ".part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_WRONLY, 0o600))
    with closing(sqlite3.connect(part)) as target:
        connection.backup(target)
    os.replace(part, copy)


def has_fts5(connection: sqlite3.Connection) -> bool:
    """True where this build of SQLite brings full-text search; some system builds do not."""
    return connection.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchone() is not None


def prepare_search(connection: sqlite3.Connection, *, fts5: bool) -> None:
    """Make the index follow what this connection writes, and rebuild it where it may have missed something.

    The triggers belong to the connection, so a program without FTS5 can still write; it leaves the index marked stale.
    """
    with transaction(connection):
        if not fts5:
            connection.execute("UPDATE search_state SET stale = 1")
            return
        stale = not index_is_current(connection)
        for table, columns in SEARCH_TABLES.items():
            connection.execute(
                f"CREATE VIRTUAL TABLE IF NOT EXISTS {table}_fts USING fts5 ({columns}, content='{table}',"
                " content_rowid='key', tokenize=\"unicode61 remove_diacritics 2\")"
            )
            for statement in _triggers(table, columns):
                connection.execute(statement)
            if stale:
                connection.execute(f"INSERT INTO {table}_fts ({table}_fts) VALUES ('rebuild')")  # noqa: S608 - our names
        if stale:
            connection.execute("UPDATE search_state SET stale = 0")


def index_is_current(connection: sqlite3.Connection) -> bool:
    """True where the index is there and has seen every row."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    stale = connection.execute("SELECT max(stale) FROM search_state").fetchone()[0]
    return stale == 0 and {f"{table}_fts" for table in SEARCH_TABLES} <= tables


def _triggers(table: str, columns: str) -> tuple[str, ...]:
    """Keep an external-content index in step, as the FTS5 manual (section 4.4.3) prescribes."""
    index = f"{table}_fts"
    old = ", ".join(f"old.{name}" for name in columns.split(", "))
    new = ", ".join(f"new.{name}" for name in columns.split(", "))
    forget = f"INSERT INTO {index} ({index}, rowid, {columns}) VALUES ('delete', old.key, {old});"  # noqa: S608 - our names
    learn = f"INSERT INTO {index} (rowid, {columns}) VALUES (new.key, {new});"  # noqa: S608 - our names
    head = f"CREATE TEMP TRIGGER {index}"
    return (
        f"{head}_insert AFTER INSERT ON main.{table} BEGIN {learn} END",
        f"{head}_delete AFTER DELETE ON main.{table} BEGIN {forget} END",
        f"{head}_update AFTER UPDATE OF {columns} ON main.{table} BEGIN {forget} {learn} END",
    )


def forget_deleted_words(connection: sqlite3.Connection) -> None:
    """Rewrite the index: FTS5 only marks deleted words, and who deletes a prompt wants its words gone from the file."""
    for table in SEARCH_TABLES:
        connection.execute(f"INSERT INTO {table}_fts ({table}_fts) VALUES ('optimize')")  # noqa: S608 - our names
