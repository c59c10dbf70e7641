"""Saves what can be read from a damaged history file into a new one. Must not know why it is damaged.

SQLite's own `.recover` is part of its shell, not of the library that Python links, so rows are fetched one by one here.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from backends.history.records import Vote
from backends.history.schema import APPLICATION_ID, MIGRATIONS, PAGE_BYTES, migrate, transaction
from backends.paths import PRIVATE_FILE

LOST_PROMPT = "(This prompt could not be read.)"
MAX_PROBES = 100_000
BLIND_PROBES = 1_000

COLUMNS = {
    "comparisons": ("id", "started_at", "mode", "sampling", "prompt", "system", "messages"),
    "runs": (
        "id",
        "comparison_key",
        "position",
        "target",
        "status",
        "started_at",
        "session",
        "result",
        "problem",
        "text",
        "reasoning",
        "vote",
    ),
    "pieces": ("run_key", "kind", "text"),
}
DEFAULTS = {
    "started_at": "1970-01-01T00:00:00.000Z",
    "mode": "sequence",
    "sampling": "{}",
    "messages": "[]",
    "prompt": LOST_PROMPT,
    "comparison_key": 0,
    "run_key": 0,
    "position": 0,
    "target": "unknown",
    "status": "interrupted",
    "session": "",
    "text": "",
    "reasoning": "",
    "vote": "",
    "kind": "text",
}

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Recovered:
    """Where the damaged file is kept and how many rows the new one holds."""

    copy: Path
    comparisons: int
    runs: int


def recover(path: Path) -> Recovered:
    """Keep the damaged file beside, and put a new one with every readable row in its place.

    Raises OSError or sqlite3.Error. Being killed at any point leaves the damaged file or the new one, and the next
    start begins again.
    """
    copy = _keep(path)
    work = path.with_name(f".{path.stem}.salvage{path.suffix}")
    fresh = path.with_name(f".{path.stem}.new{path.suffix}")
    for leftover in (work, fresh):
        _remove(leftover)
    try:
        shutil.copyfile(copy, work)
        with work.open("r+b") as file:
            file.write(_header(work.stat().st_size))
        os.close(os.open(fresh, os.O_CREAT | os.O_WRONLY, PRIVATE_FILE))
        counts = _refill(work, fresh)
        _journal(path).unlink(missing_ok=True)  # else SQLite would play the old journal into the new file
        os.replace(fresh, path)
    except BaseException:
        _remove(copy)  # the damaged file is still in its place
        raise
    finally:
        for leftover in (work, fresh):
            _remove(leftover)
    return Recovered(copy, *counts)


def _header(size_bytes: int) -> bytes:
    """The 100 bytes that begin every file we write (sqlite.org/fileformat2.html, section 1.3), free pages forgotten."""
    journal_and_fractions = bytes([1, 1, 0, 64, 32, 32])
    numbers = (1, size_bytes // PAGE_BYTES, 0, 0, 1, 4, 0, 0, 1, len(MIGRATIONS), 0, APPLICATION_ID)
    tail = (1, sqlite3.sqlite_version_info[0] * 1_000_000)
    return (
        b"SQLite format 3\0"
        + PAGE_BYTES.to_bytes(2, "big")
        + journal_and_fractions
        + b"".join(number.to_bytes(4, "big") for number in numbers)
        + bytes(20)
        + b"".join(number.to_bytes(4, "big") for number in tail)
    )


def _keep(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    copy = path.with_name(f"{path.stem}.damaged-{stamp}{path.suffix}")
    for source, target in ((path, copy), (_journal(path), _journal(copy))):
        if source.exists():
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, PRIVATE_FILE))
            shutil.copyfile(source, target)
    return copy


def _journal(path: Path) -> Path:
    return path.with_name(path.name + "-journal")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    _journal(path).unlink(missing_ok=True)


def _refill(work: Path, fresh: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(work, isolation_level=None)) as old:
        old.text_factory = lambda raw: raw.decode("utf-8", "replace")
        with closing(sqlite3.connect(fresh, isolation_level=None)) as new:
            migrate(new, fresh)
            with transaction(new):
                for table in COLUMNS:
                    names = _columns_there(old, table)
                    for row in _readable_rows(old, table, names):
                        _insert(new, table, names, row)
                _give_orphans_a_home(new)
            return _count(new, "comparisons"), _count(new, "runs")


def _count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - our names


def _columns_there(old: sqlite3.Connection, table: str) -> tuple[str, ...]:
    """Our columns that the file has: an older version lacks some. All of them where the file does not say."""
    try:
        old.execute("PRAGMA writable_schema = ON")  # read past a damaged entry of the schema
        there = {row[0] for row in old.execute("SELECT name FROM pragma_table_info(?)", (table,))}
    except sqlite3.Error:
        there = set()
    return tuple(name for name in COLUMNS[table] if name in there) or COLUMNS[table]


def _readable_rows(old: sqlite3.Connection, table: str, columns: tuple[str, ...]) -> Iterator[Row]:
    """From the front as far as it goes, then key by key past the damage."""
    names = ", ".join(columns)
    last_seen = 0
    try:
        for row in old.execute(f"SELECT key, {names} FROM {table} NOT INDEXED ORDER BY key"):  # noqa: S608 - our names
            last_seen = row[0]
            yield row
        return
    except sqlite3.Error:
        pass
    for key in range(last_seen + 1, min(_last_key(old, table, last_seen), MAX_PROBES) + 1):
        row = _cells(old, table, key, names) or _cells(old, table, key, *columns)
        if row is not None:
            yield row


def _last_key(old: sqlite3.Connection, table: str, last_seen: int) -> int:
    """The highest key there may be, from whichever of two places can still be read."""
    for statement in (
        f"SELECT seq FROM sqlite_sequence WHERE name = '{table}'",  # noqa: S608 - our names
        f"SELECT key FROM {table} NOT INDEXED ORDER BY key DESC LIMIT 1",  # noqa: S608 - our names
    ):
        try:
            found = old.execute(statement).fetchone()
        except sqlite3.Error:
            continue
        if found is not None and isinstance(found[0], int):
            return found[0]
    return last_seen + BLIND_PROBES


def _cells(old: sqlite3.Connection, table: str, key: int, *parts: str) -> Row | None:
    """One row, read in these parts; where a long text is damaged, the other parts of the row still count."""
    row: list[object] = [key]
    found = False
    for part in parts:
        statement = f"SELECT {part} FROM {table} NOT INDEXED WHERE key = ?"  # noqa: S608 - our names
        try:
            cells = old.execute(statement, (key,)).fetchone()
        except sqlite3.Error:
            cells = None
        found = found or cells is not None
        row += cells or [None] * len(part.split(", "))
    return tuple(row) if found else None


def _insert(new: sqlite3.Connection, table: str, columns: tuple[str, ...], row: Row) -> None:
    names = ("key", *columns)
    values = [_mended(name, value, row[0]) for name, value in zip(names, row, strict=True)]
    marks = ", ".join("?" * len(names))
    statement = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - our names
    new.execute(statement, values)


def _mended(name: str, value: object, key: object) -> object:
    """A cell that the new file takes: one that it refused would cost the whole row."""
    if value is None or (name == "vote" and value not in get_args(Vote)):
        return DEFAULTS.get(name, f"lost-{key}" if name == "id" else None)
    return value


def _give_orphans_a_home(new: sqlite3.Connection) -> None:
    """An answer whose prompt was lost is still shown, under a prompt that says so."""
    new.execute(
        "INSERT INTO comparisons (key, id, started_at, mode, sampling, prompt, system, messages)"
        " SELECT comparison_key, 'lost-' || comparison_key, min(started_at), 'sequence', '{}', ?, NULL, '[]' FROM runs"
        " WHERE comparison_key NOT IN (SELECT key FROM comparisons) GROUP BY comparison_key",
        (LOST_PROMPT,),
    )
    new.execute("DELETE FROM pieces WHERE run_key NOT IN (SELECT key FROM runs)")
