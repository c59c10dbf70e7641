"""Versions of the file: every released one opens, a migration is whole or did not happen, a backup lies beside."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from backends.history.schema import MIGRATIONS, Migration, migrate, version_of
from tests.backends.history.helpers import is_sound, look, opened

FIXTURES = Path(__file__).parent / "fixtures"

# A version that does not exist: it changes rows, adds a column and moves a table, as real ones do.
NEXT: Migration = (
    "ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT ''",
    "UPDATE runs SET note = 'read' WHERE status = 'finished'",
    "CREATE TABLE modes (comparison_key INTEGER PRIMARY KEY, mode TEXT NOT NULL)",
    "INSERT INTO modes SELECT key, mode FROM comparisons",
    "DROP INDEX runs_streaming",
    "CREATE INDEX runs_streaming ON runs (status, session) WHERE status = 'streaming'",
)


def structure(path: Path) -> list[tuple[str, ...]]:
    return look(path, "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE '%_fts%' ORDER BY name")


def content(path: Path) -> list[tuple[object, ...]]:
    columns = "key, id, comparison_key, position, target, status, started_at, result, problem, text, reasoning"
    return look(path, f"SELECT {columns} FROM runs ORDER BY key") + look(path, "SELECT * FROM comparisons ORDER BY key")


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.fixture(params=sorted(FIXTURES.glob("v*.sql")), ids=lambda file: file.stem)
def released(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file as a released version left it, with data."""
    path = tmp_path / "history.sqlite3"
    with connected(path) as connection:
        connection.executescript(request.param.read_text(encoding="utf-8"))
    return path


def test_every_released_version_has_a_fixture() -> None:
    assert {file.stem for file in FIXTURES.glob("v*.sql")} == {f"v{n + 1}" for n in range(len(MIGRATIONS))}


async def test_released_versions_open_with_every_row(released: Path, tmp_path: Path) -> None:
    kept = look(released, "SELECT id, text FROM runs ORDER BY id")
    async with opened(released) as history:
        assert await history.open() == ()
        records = [await history.show(each.id) for each in await history.list()]
        assert [each.id for each in await history.search("wait")] == ["cmp-1"]
    found = sorted((run.run_id, run.text) for record in records if record for run in record.runs)
    assert found == kept
    assert is_sound(released)
    fresh = tmp_path / "fresh.sqlite3"
    async with opened(fresh) as history:
        await history.open()
    assert structure(released) == structure(fresh), "migrated and fresh files are the same"


def test_migrating_twice_changes_nothing(released: Path) -> None:
    with connected(released) as connection:
        migrate(connection, released)
    before = released.read_bytes()
    with connected(released) as connection:
        migrate(connection, released)
    assert released.read_bytes() == before


def test_a_migration_keeps_a_backup_first(released: Path) -> None:
    before = content(released)
    with connected(released) as connection:
        old_version = version_of(connection)
        migrate(connection, released, (*MIGRATIONS, NEXT))
        assert version_of(connection) == len(MIGRATIONS) + 1
    (backup,) = released.parent.glob("*.before-v*.sqlite3")
    assert backup.name == f"history.before-v{len(MIGRATIONS) + 1}.sqlite3"
    assert look(backup, "PRAGMA user_version") == [(old_version,)]
    assert content(backup) == before
    assert content(released) == before
    assert is_sound(released)


def test_a_fresh_file_needs_no_backup(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    with connected(path) as connection:
        migrate(connection, path, (*MIGRATIONS, NEXT))
    assert [each.name for each in tmp_path.iterdir()] == ["history.sqlite3"]


def test_a_migration_stopped_at_any_step_did_not_happen(released: Path) -> None:
    with connected(released) as connection:
        migrate(connection, released)
    before, old = content(released), structure(released)
    stops = 0
    for steps in range(1, 2000):
        with connected(released) as connection:
            stop_after(connection, steps)
            try:
                migrate(connection, released, (*MIGRATIONS, NEXT))
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                    raise
                stops += 1
            else:
                break
        assert (content(released), structure(released)) == (before, old)
        assert is_sound(released)
    assert stops > 20
    assert look(released, "PRAGMA user_version") == [(len(MIGRATIONS) + 1,)]
    assert content(released) == before
    assert is_sound(released)


def stop_after(connection: sqlite3.Connection, steps: int) -> None:
    """Abort after so many steps of SQLite's machine, wherever in a statement that is."""
    left = steps * 10

    def step() -> bool:
        nonlocal left
        left -= 10
        return left <= 0

    connection.set_progress_handler(step, 10)


@pytest.mark.parametrize("at", range(len(NEXT)))
def test_a_statement_that_fails_undoes_the_others(released: Path, at: int) -> None:
    with connected(released) as connection:
        migrate(connection, released)
    before, old = content(released), structure(released)
    broken = (*NEXT[:at], "INSERT INTO nowhere VALUES (1)", *NEXT[at:])
    with connected(released) as connection:
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            migrate(connection, released, (*MIGRATIONS, broken))
        assert not connection.in_transaction
    assert (content(released), structure(released)) == (before, old)
