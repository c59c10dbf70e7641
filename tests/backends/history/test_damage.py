"""Damaged files are set aside whole, what can be read is saved, and the app goes on."""

from __future__ import annotations

import asyncio
import hashlib
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from backends.errors import HistoryUnavailable, Problem
from backends.history import recovery
from backends.history.recovery import LOST_PROMPT, recover
from backends.history.schema import MIGRATIONS
from backends.history.store import History
from tests.backends.history.helpers import change, is_sound, keep, look, opened, play, put, raw, request

PAGE = 4096
N_COMPARISONS = 12
LONG = " ".join(f"word{n}" for n in range(1500))  # longer than a page, so that rows have overflow pages


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("healthy") / "history.sqlite3"

    async def fill() -> None:
        async with opened(path) as history:
            for n in range(N_COMPARISONS):
                await keep(history, f"cmp-{n}", f"Question {n}?", f"Answer {n}. {LONG}")

    asyncio.run(fill())
    return raw(path)


@pytest.fixture
def path(tmp_path: Path, healthy: bytes) -> Path:
    path = tmp_path / "data" / "history.sqlite3"
    path.parent.mkdir()
    path.write_bytes(healthy)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(raw(path)).hexdigest()


def copies(path: Path) -> list[Path]:
    return sorted(path.parent.glob("history.damaged-*.sqlite3"))


async def reopened(path: Path) -> set[str]:
    """What the app can still show; afterwards it must also be able to write."""
    async with opened(path) as history:
        await history.open()
        found = await history.list()
        for each in found:
            record = await history.show(each.id)
            assert record is not None
            for run in record.runs:
                assert run.status in ("finished", "interrupted")
        await keep(history, "cmp-after")
        assert (await history.list())[0].id == "cmp-after"
    assert is_sound(path)
    return {each.id for each in found}


async def damaged_and_reopened(path: Path, content: bytes) -> set[str]:
    put(path, content)
    broken = sha256(path)
    found = await reopened(path)
    if copies(path):
        assert [sha256(each) for each in copies(path)] == [broken], "the damaged file is kept byte by byte"
        assert not [each for each in path.parent.iterdir() if each.name.startswith(".")], "no working files stay behind"
    return found


async def test_it_says_what_it_did(path: Path) -> None:
    whole = raw(path)
    put(path, whole[: len(whole) // 2])
    async with opened(path) as history:
        (notice,) = await history.open()
        assert await history.open() == (notice,)
    (copy,) = copies(path)
    assert notice.code == "history_recovered"
    assert str(copy) in notice.safe


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"SQLite format 3\0",
        b"<html>not a database</html>" * 1000,
        bytes(100_000),
        random.Random(1).randbytes(50_000),
        b"SQLite format 3\0" + random.Random(2).randbytes(50_000),
    ],
    ids=["one byte", "magic alone", "a web page", "zeros", "random", "random behind the magic"],
)
async def test_what_never_was_a_history_is_set_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "history.sqlite3"
    assert await damaged_and_reopened(path, content) == set()
    assert len(copies(path)) == 1


@pytest.mark.parametrize("pages_left", [1, 2, 5, 10, 20, 40])
async def test_a_truncated_file(path: Path, pages_left: int) -> None:
    whole = raw(path)
    found = await damaged_and_reopened(path, whole[: pages_left * PAGE + 100])
    assert len(copies(path)) == 1
    if pages_left == 40:
        assert len(found) == N_COMPARISONS


@pytest.mark.parametrize("page", range(20))
async def test_one_damaged_page_costs_little(path: Path, page: int) -> None:
    """The first 64 bytes of the page turn to noise: its kind, its cells and, for page one, the file's own header."""
    damaged = bytearray(raw(path))
    noise = random.Random(page).randbytes(64)
    damaged[page * PAGE : page * PAGE + 64] = noise
    found = await damaged_and_reopened(path, bytes(damaged))
    assert len(found) >= N_COMPARISONS - 6, f"only {sorted(found)} were saved"


async def test_flipped_bytes_never_stop_the_app(path: Path) -> None:
    whole = raw(path)
    chance = random.Random(3)
    for _ in range(40):
        damaged = bytearray(whole)
        damaged[chance.randrange(min(len(whole), 20 * PAGE))] ^= 1 << chance.randrange(8)
        for old in copies(path):
            old.unlink()
        found = await damaged_and_reopened(path, bytes(damaged))
        assert len(found) >= N_COMPARISONS - 6


async def test_damage_found_while_running(path: Path) -> None:
    async with opened(path) as history:
        await history.open()
        overwrite_under_it(path)
        found = await history.list()
        await keep(history, "cmp-after")
        assert (await history.list())[0].id == "cmp-after"
        assert len(history.notices) == 1
    assert len(copies(path)) == 1
    assert is_sound(path)
    assert len(found) <= N_COMPARISONS


def overwrite_under_it(path: Path) -> None:
    """Noise in thirty pages, and a new change counter, on which an open connection drops the pages it holds."""
    with path.open("r+b") as file:
        file.seek(PAGE)
        file.write(random.Random(5).randbytes(30 * PAGE))
        file.seek(24)
        count = int.from_bytes(file.read(4), "big")
        file.seek(24)
        file.write((count + 1).to_bytes(4, "big"))


async def test_another_programs_database_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    change(path, "CREATE TABLE recipes (name TEXT)", "INSERT INTO recipes VALUES ('soup')")
    assert await reopened(path) == set()
    (copy,) = copies(path)
    assert look(copy, "SELECT name FROM recipes") == [("soup",)]


async def test_an_answer_without_its_prompt_is_still_shown(path: Path) -> None:
    change(path, "DELETE FROM comparisons WHERE id = 'cmp-3'")  # without foreign keys, as damage would
    recover(path)
    async with opened(path) as history:
        (lost,) = await history.search(LOST_PROMPT.split(" ")[1])
        record = await history.show(lost.id)
    assert record is not None
    assert record.prompt.text == LOST_PROMPT
    assert record.runs[0].text.startswith("Answer 3.")


async def test_damaged_cells_hide_nothing(path: Path) -> None:
    change(
        path,
        "UPDATE comparisons SET started_at = 'yesterday', mode = 'maze', sampling = '{', messages = 'x'"
        " WHERE id = 'cmp-1'",
        "UPDATE runs SET result = '{\"ttft_ms\": {}}', status = 'odd', started_at = x'ff' WHERE id = 'cmp-1-a'",
        "UPDATE runs SET result = '[]', problem = '{', position = 'x', text = CAST(x'41ff42' AS TEXT)"
        " WHERE id = 'cmp-1-b'",
    )
    async with opened(path) as history:
        record = await history.show("cmp-1")
        assert "cmp-1" in [each.id for each in await history.list()]
        assert await history.export("markdown", ["cmp-1"])
    assert record is not None
    assert (record.prompt.text, record.mode, record.started_at.year) == ("Question 1?", "sequence", 1970)
    assert {run.status for run in record.runs} == {"interrupted", "finished"}
    assert {run.text[:8] for run in record.runs} == {"Answer 1", "A\ufffdB"}


async def test_a_newer_file_is_read_and_not_touched(path: Path) -> None:
    change(path, f"PRAGMA user_version = {len(MIGRATIONS) + 1}", "ALTER TABLE runs ADD COLUMN hologram TEXT")
    before = sha256(path)
    problems: list[Problem | None] = []
    async with opened(path, on_problem=problems.append) as history:
        with pytest.raises(HistoryUnavailable, match="newer version"):
            await history.open()
        await keep(history, "cmp-after")
        assert len(await history.list()) == N_COMPARISONS
        assert len(await history.search("word7")) == N_COMPARISONS
        with pytest.raises(HistoryUnavailable, match="newer version"):
            await history.delete("cmp-1")
        assert problems[-1] is not None
        assert "newer version" in problems[-1].what
    assert sha256(path) == before
    assert [each.name for each in path.parent.iterdir() if "damaged" in each.name] == []


async def test_a_newer_file_that_cannot_be_understood_is_a_sentence(path: Path) -> None:
    change(path, f"PRAGMA user_version = {len(MIGRATIONS) + 1}", "ALTER TABLE runs RENAME TO lanes")
    before = sha256(path)
    async with opened(path) as history:
        with pytest.raises(HistoryUnavailable, match="cannot be used"):
            await history.list()
    assert sha256(path) == before


async def test_a_newer_file_that_is_damaged_is_not_touched(path: Path) -> None:
    change(path, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    put(path, raw(path)[: 5 * PAGE])
    before = sha256(path)
    async with opened(path) as history:
        with pytest.raises(HistoryUnavailable):
            await history.list()
        await keep_quietly(history)
    assert sha256(path) == before
    assert copies(path) == []


async def keep_quietly(history: History) -> None:
    history.recorder.begin("cmp-after", [request("run-after")], "sequence")
    play(history.recorder, request("run-after"))


def test_the_old_journal_is_not_played_into_the_new_file(path: Path) -> None:
    journal = journal_of(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")  # so that the journal is on disk before the end
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE runs SET text = 'changed'")
        hot = raw(journal)
        connection.execute("ROLLBACK")
    assert len(hot) > PAGE
    put(path, raw(path)[: 40 * PAGE + 100])
    put(journal, hot)
    found = recover(path)
    assert raw(journal_of(found.copy)) == hot, "the journal is kept with the damaged file"
    assert is_sound(path)
    assert look(path, "SELECT count(*) FROM comparisons") == [(N_COMPARISONS,)]


def journal_of(path: Path) -> Path:
    return path.with_name(path.name + "-journal")


def test_rows_between_two_damaged_pages_are_saved(path: Path) -> None:
    change(
        path,
        "WITH RECURSIVE n (i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 699)"
        " INSERT INTO comparisons (id, started_at, mode, sampling, prompt, messages)"
        " SELECT 'many-' || i, '2026-01-01T00:00:00.000Z', 'sequence', '{}', 'Numbered ' || i || '?', '[]' FROM n",
    )
    damaged = bytearray(raw(path))
    for number in (300, 500):
        at = damaged.index(b"Numbered %d?" % number) // PAGE * PAGE
        damaged[at : at + 64] = random.Random(number).randbytes(64)
    put(path, bytes(damaged))
    recover(path)
    saved = {row[0] for row in look(path, "SELECT id FROM comparisons")}
    lost = {f"many-{n}" for n in range(100, 700)} - saved
    assert {"many-100", "many-400", "many-699"} <= saved
    assert {"many-300", "many-500"} <= lost
    assert len(lost) < 120, "two pages hold about fifty rows each"


KILLED = """
import sys
from pathlib import Path
from backends.history.recovery import recover
print("ready", flush=True)
recover(Path(sys.argv[1]))
"""


def recover_and_kill(path: Path, after_s: float) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
async def test_killed_while_recovering(path: Path) -> None:
    whole = raw(path)
    damaged = whole[: 40 * PAGE + 100]
    for n in range(6):
        put(path, damaged)
        recover_and_kill(path, after_s=0.006 * n)
        assert len(await reopened(path)) == N_COMPARISONS


def test_a_recovery_that_fails_leaves_all_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    put(path, raw(path)[:PAGE])
    before = sha256(path)
    monkeypatch.setattr(recovery, "migrate", full)
    with pytest.raises(sqlite3.OperationalError):
        recover(path)
    assert sha256(path) == before
    assert [each.name for each in path.parent.iterdir() if each != path and each.stat().st_size] == []


def test_a_damaged_answer_does_not_take_its_row_along(path: Path) -> None:
    damaged = bytearray(raw(path))
    at = damaged.index(b" word600 ") // PAGE * PAGE  # the middle of a long text, in pages of its own
    damaged[at : at + 4] = b"\xff\xff\xff\xff"  # the number of the page that follows
    put(path, bytes(damaged))
    recover(path)
    rows = look(path, "SELECT target, status, text FROM runs ORDER BY key")
    assert len(rows) == 2 * N_COMPARISONS
    assert {(target, status) for target, status, _ in rows} == {
        ("local:demo", "finished"),
        ("openai:gpt-4o", "finished"),
    }
    assert [text.endswith("word1499 ") for _, _, text in rows].count(False) == 1
