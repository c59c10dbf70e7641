"""What the history does not keep: what is deleted, what is switched off, and what others may not read."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from backends.history.store import History
from tests.backends.history.helpers import is_sound, keep, opened, play, raw, request


async def test_what_is_deleted_leaves_the_file(history: History, path: Path) -> None:
    secret = "canarycanary"
    await keep(history, "cmp-1", f"My {secret} prompt", f"An answer about {secret}.")
    await keep(history, "cmp-2")
    assert secret.encode() in raw(path)
    assert await history.delete("cmp-1") is True
    assert await history.delete("cmp-1") is False
    assert await history.show("cmp-1") is None
    assert await history.search(secret) == ()
    assert [each.id for each in await history.list()] == ["cmp-2"]
    await history.close()
    for file in path.parent.iterdir():
        assert secret.encode() not in raw(file), file.name
    assert is_sound(path)


async def test_deleting_a_run_that_streams_does_not_disturb_it(history: History) -> None:
    asked = request("run-1")
    history.recorder.begin("cmp-1", [asked], "sequence")
    play(history.recorder, asked, "some text", end=None)
    assert await history.delete("cmp-1") is True
    play(history.recorder, asked, "and some more")
    assert await history.list() == ()
    await keep(history, "cmp-2")
    assert [each.id for each in await history.list()] == ["cmp-2"]


async def test_keep_nothing_touches_no_disk(path: Path) -> None:
    async with opened(path, keep=False) as history:
        assert await history.open() == ()
        asked = request("run-1")
        assert await asyncio.wrap_future(history.recorder.begin("cmp-1", [asked], "sequence")) is False
        play(history.recorder, asked)
        assert await history.list() == ()
        assert await history.search("TTFT") == ()
        assert await history.show("cmp-1") is None
        assert await history.delete("cmp-1") is False
        assert json.loads(await history.export("json"))["comparisons"] == []
    assert not path.parent.exists()


async def test_keep_nothing_still_reads_what_was_kept_and_changes_no_byte(path: Path) -> None:
    async with opened(path) as history:
        await keep(history, "cmp-1")
        history.recorder.begin("cmp-2", [request("run-9")], "sequence")
        await history.list()
    before = raw(path)
    async with opened(path, keep=False) as history:
        await history.open()
        await keep(history, "cmp-3")
        assert [each.id for each in await history.list()] == ["cmp-2", "cmp-1"]
        assert [each.id for each in await history.search("TTFT")] == ["cmp-2", "cmp-1"]
        record = await history.show("cmp-2")
        assert record is not None
        assert record.runs[0].status == "interrupted"
        assert raw(path) == before
        assert await history.delete("cmp-1") is True, "deleting is allowed"


async def test_the_switch_holds_from_the_next_comparison_on(history: History) -> None:
    under_way = request("run-1")
    history.recorder.begin("cmp-1", [under_way], "sequence")
    history.set_keep(False)
    play(history.recorder, under_way)
    await keep(history, "cmp-2")
    history.set_keep(True)
    await keep(history, "cmp-3")
    assert [each.id for each in await history.list()] == ["cmp-3", "cmp-1"]
    record = await history.show("cmp-1")
    assert record is not None
    assert record.runs[0].status == "finished"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_files_are_private(history: History, path: Path) -> None:
    await keep(history, "cmp-1")
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


def copies(folder: Path) -> list[str]:
    return [copy.name for copy in folder.glob("*before*")]


async def test_what_was_deleted_does_not_live_on_in_a_migrations_copy(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    old = Path(__file__).parent / "fixtures" / "v1.sql"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(old.read_text(encoding="utf-8"))
    history = History(path)
    try:
        kept = await history.list()
        await history.open()
        assert copies(tmp_path) == ["history.before-v2.sqlite3"]
        assert await history.delete(kept[0].id)
        assert copies(tmp_path) == []
    finally:
        await history.close()
