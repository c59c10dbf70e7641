"""One vote per run: kept after the run's own rows, read back everywhere, and lost by neither migration nor damage."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from backends.errors import Problem
from backends.history.records import Vote
from backends.history.recovery import recover
from backends.history.schema import MIGRATIONS, version_of
from backends.history.store import History
from tests.backends.history.helpers import change, is_sound, keep, look, opened, play, put, raw, request

FIXTURES = Path(__file__).parent / "fixtures"
PAGE = 4096
# Of version 1; written out here, so that a migration that forgets one does not change what is looked for.
RUN_COLUMNS = "key, id, comparison_key, position, target, status, started_at, session, result, problem, text, reasoning"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "history.sqlite3"


@pytest.fixture
async def history(path: Path) -> AsyncIterator[History]:
    async with opened(path) as history:
        await history.open()
        yield history


@pytest.fixture
def version_1(path: Path) -> Path:
    """A file from before there were votes."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript((FIXTURES / "v1.sql").read_text(encoding="utf-8"))
        assert version_of(connection) == 1
    return path


async def shown(history: History, comparison_id: str) -> dict[str, Vote]:
    record = await history.show(comparison_id)
    assert record is not None
    return {run.run_id: run.vote for run in record.runs}


async def listed(history: History) -> dict[str, Vote]:
    return {run.run_id: run.vote for each in await history.list() for run in each.runs}


async def test_a_vote_is_kept_changed_and_taken_back(history: History, path: Path) -> None:
    await keep(history, "cmp-1")
    assert await shown(history, "cmp-1") == {"cmp-1-a": "", "cmp-1-b": ""}
    votes: tuple[Vote, ...] = ("up", "down", "")
    for vote in votes:
        history.recorder.vote("cmp-1-b", vote)
        assert await shown(history, "cmp-1") == await listed(history) == {"cmp-1-a": "", "cmp-1-b": vote}
        (found,) = await history.search("TTFT")
        assert [run.vote for run in found.runs] == ["", vote]
        assert look(path, "SELECT id, vote FROM runs ORDER BY key") == [("cmp-1-a", ""), ("cmp-1-b", vote)]
    assert is_sound(path)


async def test_a_vote_changes_nothing_else(history: History, path: Path) -> None:
    await keep(history, "cmp-1")
    before = look(path, f"SELECT {RUN_COLUMNS} FROM runs")
    history.recorder.vote("cmp-1-a", "up")
    assert await listed(history) == {"cmp-1-a": "up", "cmp-1-b": ""}
    assert look(path, f"SELECT {RUN_COLUMNS} FROM runs") == before
    assert [each.id for each in await history.search("wait")] == ["cmp-1"]


async def test_a_vote_is_written_after_the_rows_of_its_run(path: Path) -> None:
    """All of it in one go, and the program ends at once: nothing but the order of the calls brings the run first."""
    async with opened(path) as history:
        asked = request("run-1")
        history.recorder.begin("cmp-1", [asked], "sequence")
        play(history.recorder, asked)
        history.recorder.vote("run-1", "up")
        again = request("run-2")
        history.recorder.add_run("cmp-1", again, 0)
        history.recorder.vote("run-2", "down")
        play(history.recorder, again)
    assert look(path, "SELECT id, status, vote FROM runs ORDER BY key") == [
        ("run-1", "finished", "up"),
        ("run-2", "finished", "down"),
    ]


async def test_a_vote_waits_with_its_run_while_the_file_cannot_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.write_text("not a folder")
    problems: list[Problem | None] = []
    async with opened(folder / "history.sqlite3", on_problem=problems.append) as history:
        asked = request("run-1")
        history.recorder.begin("cmp-1", [asked], "sequence").result(timeout=30)
        play(history.recorder, asked)
        history.recorder.vote("run-1", "up")
        assert len(problems) == 1
        folder.unlink()
        assert await shown(history, "cmp-1") == {"run-1": "up"}
    assert problems[-1] is None


async def test_a_vote_on_a_run_that_is_not_kept_has_no_effect(history: History, path: Path) -> None:
    await keep(history, "cmp-1")
    await keep(history, "cmp-2")
    assert await history.delete("cmp-2") is True
    before = raw(path)
    history.recorder.vote("cmp-2-a", "up")
    history.recorder.vote("no such run", "up")
    history.recorder.vote("", "down")
    assert await listed(history) == {"cmp-1-a": "", "cmp-1-b": ""}
    assert history.recorder.problem is None
    assert raw(path) == before


async def test_keep_nothing_keeps_no_vote(path: Path) -> None:
    async with opened(path) as history:
        await keep(history, "cmp-1")
        history.recorder.vote("cmp-1-a", "up")
    before = raw(path)
    async with opened(path, keep=False) as history:
        await history.open()
        history.recorder.vote("cmp-1-a", "down")
        history.recorder.vote("cmp-1-b", "up")
        assert await listed(history) == {"cmp-1-a": "up", "cmp-1-b": ""}
    assert raw(path) == before


async def test_a_vote_alone_makes_no_file(path: Path) -> None:
    async with opened(path, keep=False) as history:
        history.recorder.vote("run-1", "up")
        history.set_keep(True)
        history.recorder.vote("run-1", "up")
        assert await history.list() == ()
        assert history.recorder.problem is None
    assert not path.parent.exists()


async def test_any_other_word_is_refused_and_holds_nothing_up(history: History) -> None:
    with pytest.raises(ValueError, match="sideways"):
        history.recorder.vote("cmp-1-a", cast("Vote", "sideways"))
    await keep(history, "cmp-1")
    assert await listed(history) == {"cmp-1-a": "", "cmp-1-b": ""}


async def test_export_carries_votes(history: History) -> None:
    await keep(history, "cmp-1")
    history.recorder.vote("cmp-1-b", "down")
    (comparison,) = json.loads(await history.export("json"))["comparisons"]
    assert [run["vote"] for run in comparison["runs"]] == ["", "down"]
    here, there = (await history.export("markdown")).split("## ")[1:]
    assert "voted" not in here
    assert " · voted down\n" in there


async def test_a_file_from_before_votes_keeps_every_row(version_1: Path) -> None:
    def rows() -> list[list[tuple[object, ...]]]:
        statements = (
            f"SELECT {RUN_COLUMNS} FROM runs ORDER BY key",
            "SELECT * FROM comparisons ORDER BY key",
            "SELECT * FROM pieces ORDER BY key",
            "SELECT * FROM sqlite_sequence WHERE name IN ('comparisons', 'runs', 'pieces') ORDER BY name",
        )
        return [look(version_1, statement) for statement in statements]

    before = rows()
    assert [len(each) for each in before] == [4, 2, 0, 3]
    async with opened(version_1) as history:
        assert await history.open() == ()
        assert rows() == before
        assert set((await listed(history)).values()) == {""}
        history.recorder.vote("cmp-2-b", "up")
        assert await listed(history) == {"cmp-1-a": "", "cmp-1-b": "", "cmp-2-a": "", "cmp-2-b": "up"}
    assert rows() == before
    assert look(version_1, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert is_sound(version_1)


def test_the_file_itself_takes_no_other_word(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript((FIXTURES / "v2.sql").read_text(encoding="utf-8"))
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            connection.execute("UPDATE runs SET vote = 'sideways'")
        with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"):
            connection.execute("UPDATE runs SET vote = NULL")


async def test_a_damaged_vote_costs_that_vote_alone(path: Path) -> None:
    async with opened(path) as history:
        await keep(history, "cmp-1")
        history.recorder.vote("cmp-1-a", "up")
        history.recorder.vote("cmp-1-b", "down")
    change(path, "PRAGMA ignore_check_constraints = ON", "UPDATE runs SET vote = 'uq' WHERE id = 'cmp-1-a'")
    before = look(path, f"SELECT {RUN_COLUMNS} FROM runs")
    async with opened(path, keep=False) as history:
        assert await shown(history, "cmp-1") == await listed(history) == {"cmp-1-a": "", "cmp-1-b": "down"}
    async with opened(path) as history:
        (notice,) = await history.open()
        assert notice.code == "history_recovered"
        assert await shown(history, "cmp-1") == {"cmp-1-a": "", "cmp-1-b": "down"}
    assert look(path, f"SELECT {RUN_COLUMNS} FROM runs") == before
    assert is_sound(path)


async def test_a_vote_that_only_a_newer_app_knows_is_read_as_none(path: Path) -> None:
    async with opened(path) as history:
        await keep(history, "cmp-1")
    newer = f"PRAGMA user_version = {len(MIGRATIONS) + 1}"
    change(path, newer, "PRAGMA ignore_check_constraints = ON", "UPDATE runs SET vote = 'sideways'")
    async with opened(path) as history:
        assert await shown(history, "cmp-1") == await listed(history) == {"cmp-1-a": "", "cmp-1-b": ""}


async def test_votes_survive_damage_to_the_rest(path: Path) -> None:
    async with opened(path) as history:
        for n in range(12):
            await keep(history, f"cmp-{n}")
            history.recorder.vote(f"cmp-{n}-a", "up")
            history.recorder.vote(f"cmp-{n}-b", "down")
    damaged = bytearray(raw(path))
    at = damaged.index(b'"run_id":"cmp-6-a"') // PAGE * PAGE
    damaged[at : at + 64] = bytes(64)  # the page's kind and the places of its rows
    put(path, bytes(damaged))
    recover(path)
    saved = {id_: vote for id_, vote in look(path, "SELECT id, vote FROM runs") if not id_.startswith("lost")}
    assert "cmp-6-a" not in saved
    assert len(saved) > 12
    assert all(vote == ("up" if id_.endswith("-a") else "down") for id_, vote in saved.items())


def test_a_damaged_file_from_before_votes_is_saved(version_1: Path) -> None:
    """Many rows: one that had to be fetched cell by cell is no proof, a column that is not there must cost nothing."""
    change(
        version_1,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
        " INSERT INTO runs (id, comparison_key, position, target, status, started_at, session, text)"
        " SELECT 'many-' || i, 1, i, 'local:demo', 'finished', '2026-01-01T00:00:00.000Z', '', 'Text ' || i FROM n",
        # A gap that probing key by key would not cross.
        "INSERT INTO runs (key, id, comparison_key, position, target, status, started_at, session, text)"
        " SELECT 900000, 'last', 1, 0, 'local:demo', 'finished', started_at, '', 'Far away' FROM runs WHERE key = 1",
    )
    before = look(version_1, f"SELECT {RUN_COLUMNS} FROM runs ORDER BY key")
    damaged = bytearray(raw(version_1))
    damaged[24:100] = bytes(76)  # what the header says of the schema, its version and its encoding
    put(version_1, bytes(damaged))
    recover(version_1)
    assert look(version_1, f"SELECT {RUN_COLUMNS} FROM runs ORDER BY key") == before
    assert look(version_1, "SELECT DISTINCT vote FROM runs") == [("",)]
    assert is_sound(version_1)
