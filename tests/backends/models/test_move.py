"""Moving the models folder: on one disk, to another, onto trouble, and killed at any moment. Real files and kills."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from backends.models import move
from backends.models.disk import copy_file
from backends.models.errors import DiskFull, FileMismatch, FolderUnusable, InUse
from backends.models.library import Library
from tests.backends.models.library_support import (
    HOME,
    catalogue,
    download,
    library,
    model_bytes,
    tree,
    write_model,
    write_parts,
)


@pytest.fixture(params=[False, True], ids=["same disk", "other disk"])
def other_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param:
        monkeypatch.setattr(move, "same_disk", lambda _old, _new: False)
    return bool(request.param)


def filled(tmp_path: Path) -> Library:
    """Two downloads, an import, a note, a half download, a model in parts, and a file that is no model."""
    made = library(tmp_path)
    download(made)
    download(made, 1, "Q4_0")
    made.import_file(write_model(tmp_path / "mine" / "copied.gguf", 2), "copy")
    made.import_file(write_model(tmp_path / "mine" / "noted.gguf", 3), "use in place")
    write_parts(made.folder / "some--Repo")
    (made.folder / ".incomplete").mkdir()
    (made.folder / ".incomplete" / "x--y--z.gguf.part").write_bytes(b"half")
    (made.folder / ".incomplete" / "x--y--z.gguf.json").write_bytes(b"{}")
    (made.folder / "notes.txt").write_text("mine")
    made.scan()
    return made


def kept(made: Library) -> dict[str, tuple[str, list[bytes]]]:
    return {model.ref: (model.check, [path.read_bytes() for path in model.files]) for model in made.scan()}


class Switch:
    """Stands for the settings."""

    def __init__(self) -> None:
        self.folder: Path | None = None

    async def __call__(self, folder: Path) -> None:
        self.folder = folder


async def test_everything_that_is_a_model_moves_with_its_proofs(tmp_path: Path, other_disk: bool) -> None:
    made = filled(tmp_path)
    before, switch = kept(made), Switch()
    old, new = made.folder, tmp_path / "new" / "place"
    seen: list[tuple[int, int]] = []
    assert await made.move_folder(new, lambda done, total: seen.append((done, total)), switch=switch)
    assert switch.folder == made.folder == new
    assert kept(made) == before
    assert {ref for ref, (check, _files) in before.items() if check == "verified"} == {"tiny-1b:Q8_0", "tiny-1b:Q4_0"}
    assert tree(old) == {"notes.txt": b"mine"}
    assert (new / ".incomplete" / "x--y--z.gguf.part").read_bytes() == b"half"
    assert seen[-1][0] == seen[-1][1]
    assert not (tmp_path / "data" / "models-move.json").exists()
    assert kept(Library(new, tmp_path / "data" / "models.json", catalogue=catalogue)) == before


async def test_a_folder_with_things_in_it_is_used_and_nothing_there_is_changed(
    tmp_path: Path, other_disk: bool
) -> None:
    made = filled(tmp_path)
    before = kept(made)
    new = tmp_path / "new"
    (new / HOME).mkdir(parents=True)
    (new / HOME / "readme.txt").write_text("theirs")
    (new / "imported").mkdir()
    (new / "imported" / "copied.gguf").write_bytes(model_bytes(2))  # the very same file
    assert await made.move_folder(new, switch=Switch())
    assert (new / HOME / "readme.txt").read_text() == "theirs"
    assert kept(made) == before
    assert list(tree(tmp_path / "models")) == ["notes.txt"]


@pytest.mark.parametrize("same_size", [False, True])
async def test_another_file_of_the_name_stops_it_before_it_begins(
    tmp_path: Path, other_disk: bool, same_size: bool
) -> None:
    made = filled(tmp_path)
    new = tmp_path / "new"
    write_model(new / "imported" / "copied.gguf", 9)
    if not same_size:
        with (new / "imported" / "copied.gguf").open("ab") as file:
            file.write(b"x")
    before = tree(made.folder), tree(new)
    switch = Switch()
    with pytest.raises(FolderUnusable, match=r"copied.gguf is there already and is another file"):
        await made.move_folder(new, switch=switch)
    assert (tree(made.folder), tree(new)) == before
    assert switch.folder is None


async def test_one_folder_in_the_other_is_refused(tmp_path: Path) -> None:
    made = filled(tmp_path)
    before = tree(tmp_path)
    (tmp_path / "link").symlink_to(made.folder)
    for place in (made.folder / "sub", tmp_path, tmp_path / "link" / "sub"):
        with pytest.raises(FolderUnusable, match="one in the other"):
            await made.move_folder(place, switch=Switch())
    assert tree(tmp_path) == before
    assert await made.move_folder(tmp_path / "link", switch=Switch()), "the same folder is no move"


async def test_what_cannot_be_written_or_is_full_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled(tmp_path)
    before = tree(made.folder)
    (tmp_path / "file").write_text("not a folder")
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nearfar")):
        with pytest.raises(FolderUnusable):
            await made.move_folder(place, switch=Switch())
    monkeypatch.setattr(move, "same_disk", lambda _old, _new: False)
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _place: usage(10**12, 10**12, 10**9 + 1))
        with pytest.raises(DiskFull, match=r"1\.00 GiB stays in reserve"):
            await made.move_folder(tmp_path / "full", switch=Switch())
    wrote: list[int] = []
    real = os.write

    def fills(handle: int, block: bytes) -> int:
        wrote.append(len(block))
        if len(wrote) > 3:
            raise OSError(28, "No space left on device")
        return real(handle, block)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fills)
        with pytest.raises(DiskFull, match="is full"):
            await made.move_folder(tmp_path / "fills", switch=Switch())
    assert tree(made.folder) == before
    assert tree(tmp_path / "fills") == {}
    assert kept(made) == kept(library(tmp_path))


async def test_a_copy_that_does_not_read_back_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled(tmp_path)
    before = tree(made.folder)
    monkeypatch.setattr(move, "same_disk", lambda _old, _new: False)

    def copy_wrong(source: Path, unfinished: Path, **named: object) -> object:
        hashed = copy_file(source, unfinished)
        with unfinished.open("r+b") as file:
            file.write(b"X")
        return hashed

    monkeypatch.setattr(move, "copy_file", copy_wrong)
    with pytest.raises(FileMismatch, match="read back"):
        await made.move_folder(tmp_path / "new", switch=Switch())
    assert tree(made.folder) == before
    assert not (tmp_path / "new").exists()


async def test_settings_that_cannot_be_saved_undo_it(tmp_path: Path, other_disk: bool) -> None:
    made = filled(tmp_path)
    before = tree(made.folder)

    async def refuse(_folder: Path) -> None:
        raise FolderUnusable("The settings could not be saved.")

    with pytest.raises(FolderUnusable, match="settings"):
        await made.move_folder(tmp_path / "new", switch=refuse)
    assert tree(made.folder) == before
    assert not (tmp_path / "new").exists()
    assert made.folder == tmp_path / "models"


async def test_cancelling_the_task_waits_until_all_is_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = filled(tmp_path)
    before = tree(made.folder)
    monkeypatch.setattr(move, "same_disk", lambda _old, _new: False)
    loop, begun = asyncio.get_running_loop(), asyncio.Event()

    def report(_done: int, _total: int) -> None:
        loop.call_soon_threadsafe(begun.set)

    task = asyncio.ensure_future(made.move_folder(tmp_path / "new", report, switch=Switch()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert made.folder == tmp_path / "models" or tree(tmp_path / "new")
    if made.folder == tmp_path / "models":
        assert tree(made.folder) == before


async def test_cancelled_before_the_first_file_nothing_happened(tmp_path: Path) -> None:
    made = filled(tmp_path)
    before = tree(made.folder)
    assert not await made.move_folder(tmp_path / "new", cancelled=lambda: True, switch=Switch())
    assert tree(made.folder) == before
    assert not (tmp_path / "new").exists()


async def test_a_loaded_model_keeps_the_folder_where_it_is(tmp_path: Path) -> None:
    filled(tmp_path)
    made = library(tmp_path, in_use=lambda: {"tiny-1b:Q8_0"})
    with pytest.raises(InUse, match="loaded"):
        await made.move_folder(tmp_path / "new", switch=Switch())


async def test_a_file_that_changed_meanwhile_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled(tmp_path)
    old = made.folder
    changed = old / HOME / "tiny-Q8_0.gguf"
    monkeypatch.setattr(move, "same_disk", lambda _old, _new: False)

    async def switch(_folder: Path) -> None:
        changed.write_bytes(b"newer")

    assert await made.move_folder(tmp_path / "new", switch=switch)
    assert tree(old) == {"notes.txt": b"mine", f"{HOME}/tiny-Q8_0.gguf": b"newer"}
    assert made.find("tiny-1b:Q8_0").path.read_bytes() == model_bytes()


@pytest.mark.parametrize("moment", ["before its turn", "while it is copied"])
async def test_a_file_that_comes_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    made = filled(tmp_path)
    before = tree(made.folder)
    monkeypatch.setattr(move, "same_disk", lambda _old, _new: False)
    theirs = tmp_path / "new" / HOME / "tiny-Q8_0.gguf"

    def arrive(_done: int, _total: int) -> None:
        is_growing = list(theirs.parent.glob(f".{theirs.name}.*"))
        if theirs.parent.exists() and (is_growing or moment == "before its turn"):
            theirs.write_bytes(b"theirs")

    with pytest.raises(FolderUnusable):
        await made.move_folder(tmp_path / "new", arrive, switch=Switch())
    assert tree(tmp_path / "new") == {f"{HOME}/tiny-Q8_0.gguf": b"theirs"}
    assert tree(made.folder) == before


async def test_links_move_and_lead_where_they_led(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = library(tmp_path)
    outside = write_model(tmp_path / "outside.gguf", 4)
    made.folder.mkdir()
    (made.folder / "link.gguf").symlink_to("../outside.gguf")
    for number, new in enumerate((tmp_path / "deep" / "new", tmp_path / "other")):
        monkeypatch.setattr(move, "same_disk", lambda _old, _new, same=number == 0: same)
        assert await made.move_folder(new, switch=Switch())
        assert made.find("link").path.read_bytes() == model_bytes(4)
        assert outside.exists()


async def test_an_interrupted_copy_can_be_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies that a killed move left in a folder that is not wanted any more are removed by the next move."""
    made = filled(tmp_path)
    before = kept(made)
    monkeypatch.setattr(move, "same_disk", lambda _old, _new: False)
    monkeypatch.setattr(move, "undo", lambda _journal: None)
    monkeypatch.setattr("backends.models.journal.remove", lambda _path: None)

    async def die(_folder: Path) -> None:
        raise RuntimeError("as if killed")

    with pytest.raises(RuntimeError):
        await made.move_folder(tmp_path / "first", switch=die)
    monkeypatch.undo()
    assert tree(tmp_path / "first")
    again = library(tmp_path)
    assert kept(again) == before
    assert "interrupted" in again.notice
    assert "are where they were" in again.notice
    assert await again.move_folder(tmp_path / "second", switch=Switch())
    assert tree(tmp_path / "first") == {}
    assert kept(again) == before


def test_a_journal_that_is_damaged_or_of_another_folder_moves_nothing(tmp_path: Path) -> None:
    made = filled(tmp_path)
    before = tree(made.folder)
    journal = tmp_path / "data" / "models-move.json"
    file = {"path": f"{HOME}/tiny-Q8_0.gguf", "size_bytes": 1}
    for content in (
        "noise",
        json.dumps({"old": "/a", "new": "/b", "way": "rename", "files": [file]}),
        json.dumps({"old": "/a", "new": "/b", "way": "copy", "files": [file], "switched": True}),
        json.dumps({"old": str(tmp_path / "x"), "new": str(made.folder), "way": "copy", "files": [file]}),
    ):
        journal.write_text(content)
        assert len(library(tmp_path).scan()) == len(made.models())
        assert tree(made.folder) == before
