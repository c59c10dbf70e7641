"""Folders that cannot be written, full disks and files held by others: runs go on, and history comes back by itself."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from backends.errors import HistoryUnavailable, Problem
from tests.backends.history.helpers import is_sound, keep, look, opened, play, request


async def until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the writer is a thread and knows no asyncio.Event
            await asyncio.sleep(0.02)


async def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.write_text("not a folder")
    problems: list[Problem | None] = []
    async with opened(folder / "history.sqlite3", on_problem=problems.append) as history:
        with pytest.raises(HistoryUnavailable, match=r"cannot be used.*runs go on"):
            await history.open()
        asked = request("run-1")
        assert await asyncio.wrap_future(history.recorder.begin("cmp-1", [asked], "sequence")) is False
        play(history.recorder, asked)
        with pytest.raises(HistoryUnavailable):
            await history.list()
        assert len(problems) == 1, "said once, not for every event"
        folder.unlink()
        await until(lambda: problems[-1] is None)
        record = await history.show("cmp-1")
        assert record is not None
        assert record.runs[0].status == "finished", "what was waiting is written when the folder is back"


async def test_a_file_held_by_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.history.database.BUSY_S", 0.05)
    path = tmp_path / "history.sqlite3"
    problems: list[Problem | None] = []
    async with opened(path, on_problem=problems.append) as history:
        await keep(history, "cmp-1")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            asked = request("run-9")
            assert await asyncio.wrap_future(history.recorder.begin("cmp-2", [asked], "sequence")) is False
            play(history.recorder, asked)
            assert problems[-1] is not None
            assert "another program" in problems[-1].what
            with pytest.raises(HistoryUnavailable, match="another program"):
                await history.list()
            other.execute("ROLLBACK")
        await until(lambda: problems[-1] is None)
        assert [each.id for each in await history.list()] == ["cmp-2", "cmp-1"]


async def test_what_cannot_be_written_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.history.recorder.MAX_WAITING_CHARS", 10_000)
    (tmp_path / "data").write_text("not a folder")
    async with opened(tmp_path / "data" / "history.sqlite3") as history:
        asked = request("run-1")
        await asyncio.wrap_future(history.recorder.begin("cmp-1", [asked], "sequence"))
        for _ in range(20):
            play(history.recorder, asked, "x" * 1_000, end=None)
            with pytest.raises(HistoryUnavailable):
                await history.list()
        assert sum(len(part) for each in history.recorder._waiting for part in getattr(each, "parts", [])) <= 11_000
        (tmp_path / "data").unlink()
        await keep(history, "cmp-2")
        assert "cmp-2" in [each.id for each in await history.list()]


FULL_DISK = """
import asyncio, sys
from pathlib import Path
from backends.history.store import History
from tests.backends.history.helpers import is_sound, keep, play, request

async def main(folder):
    problems = []
    history = History(folder / "history.sqlite3", on_problem=problems.append)
    assert await history.open() == ()
    await keep(history, "cmp-before")
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    asked = request("run-full")
    history.recorder.begin("cmp-full", [asked], "sequence")
    play(history.recorder, asked, "words " * 40_000)
    while not problems:
        await asyncio.sleep(0.02)
    assert "disk is full" in problems[0].what, problems
    assert "cmp-before" in [each.id for each in await history.list()], "what was kept can be read"
    ballast.unlink()
    while problems[-1] is not None:
        await asyncio.sleep(0.02)
    record = await history.show("cmp-full")
    assert record.runs[0].status == "finished"
    assert record.runs[0].text.split() == ["words"] * 40_000
    await history.close()
    assert is_sound(folder / "history.sqlite3")
    print("sound")

asyncio.run(asyncio.wait_for(main(Path(sys.argv[1])), 60))
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare to mount a small disk")
def test_a_full_disk(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=2m tmpfs "$1" || exit 77; exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", str(tmp_path), sys.executable, FULL_DISK],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip("mounting is not allowed here")
    assert (done.stdout.strip(), done.returncode) == ("sound", 0), done.stderr


@pytest.mark.parametrize("written", [0, 3])
async def test_a_file_that_vanishes_or_is_emptied_is_begun_anew(tmp_path: Path, written: int) -> None:
    path = tmp_path / "history.sqlite3"
    async with opened(path) as history:
        for n in range(written):
            await keep(history, f"cmp-{n}")
    path.write_bytes(b"")
    async with opened(path) as history:
        assert await history.open() == ()
        await keep(history, "cmp-new")
        assert [each.id for each in await history.list()] == ["cmp-new"]
    assert is_sound(path)
    assert look(path, "PRAGMA journal_mode") == [("delete",)], "no WAL: see database.py"
