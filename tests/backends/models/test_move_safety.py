"""Moving the models folder where links or a vanished disk could cost the only copy of a model. Real files and links."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from backends.models import journal as journals
from backends.models import move, move_recovery
from backends.models.errors import FolderUnusable
from backends.models.index import Stamp
from backends.models.journal import Carried, Journal
from backends.models.library import Library
from tests.backends.models.library_support import HOME, download, library, model_bytes, tree, write_model
from tests.backends.models.test_move import Switch, kept

JOURNAL = "models-move.json"


def link_each_file(old: Path, new: Path) -> None:
    for name in tree(old):
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).symlink_to(old / name)


def link_the_folder(old: Path, new: Path) -> None:
    new.mkdir()
    (new / HOME).symlink_to(old / HOME)


def hard_link(old: Path, new: Path) -> None:
    for name in tree(old):
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(old / name, new / name)


@pytest.mark.parametrize("same_disk", [True, False], ids=["same disk", "other disk"])
@pytest.mark.parametrize("prepare", [link_each_file, link_the_folder, hard_link])
async def test_a_link_to_the_old_file_is_no_copy_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: object, same_disk: bool
) -> None:
    monkeypatch.setattr(move, "same_disk", lambda _old, _new: same_disk)
    made, switch = library(tmp_path), Switch()
    path, new = download(made), tmp_path / "new"
    prepare(made.folder, new)  # type: ignore[operator]
    with pytest.raises(FolderUnusable, match=r"there already and (is a link|leads to)") as caught:
        await made.move_folder(new, switch=switch)
    assert "Nothing was removed" in str(caught.value)
    assert switch.folder is None
    assert path.read_bytes() == model_bytes()
    assert [model.check for model in library(tmp_path).scan()] == ["verified"]


@pytest.mark.parametrize("same_disk", [True, False], ids=["same disk", "other disk"])
async def test_models_are_not_sent_through_a_link_in_the_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_disk: bool
) -> None:
    """A scan follows no link to a folder, so they would be gone from the list."""
    monkeypatch.setattr(move, "same_disk", lambda _old, _new: same_disk)
    made = library(tmp_path)
    path, new, elsewhere = download(made), tmp_path / "new", tmp_path / "elsewhere"
    new.mkdir()
    elsewhere.mkdir()
    (new / HOME).symlink_to(elsewhere)
    with pytest.raises(FolderUnusable, match="is a link"):
        await made.move_folder(new, switch=Switch())
    assert path.exists()
    assert tree(elsewhere) == {}


@pytest.mark.parametrize("prepare", [link_each_file, link_the_folder, hard_link])
def test_clearing_the_old_folder_asks_for_a_file_of_its_own(tmp_path: Path, prepare: object) -> None:
    """Whatever a journal says: a name that leads to the old file is no reason to remove it."""
    old, new = tmp_path / "old", tmp_path / "new"
    path = write_model(old / HOME / "a.gguf")
    prepare(old, new)  # type: ignore[operator]
    file = Carried(f"{HOME}/a.gguf", path.stat().st_size, source=Stamp.of(path.stat()))
    journal = Journal(old, new, "copy", [file], switched=True)
    move_recovery.clear_old(journal)
    assert path.read_bytes() == model_bytes()
    move_recovery.undo(journal)
    assert path.read_bytes() == model_bytes()


def interrupted(tmp_path: Path) -> Library:
    """A rename was killed after the first of two files; both folders lie on one drive."""
    drive = tmp_path / "drive"
    old, new = drive / "models", drive / "new"
    write_model(old / "x" / "b.gguf", 1)
    moved = write_model(new / "x" / "a.gguf")
    files = [Carried(f"x/{name}.gguf", moved.stat().st_size) for name in "ab"]
    journals.write(tmp_path / "data" / JOURNAL, Journal(old, new, "rename", files, [new, new / "x"]))
    return Library(old, tmp_path / "data" / "models.json")


def test_an_interrupted_move_on_a_drive_that_is_unplugged_waits_for_the_drive(tmp_path: Path) -> None:
    made = interrupted(tmp_path)
    (tmp_path / "drive").rename(tmp_path / "pocket")
    for _start in range(2):
        again = Library(made.folder, tmp_path / "data" / "models.json")
        assert again.scan() == ()
        assert "neither" in again.notice
        assert "Connect" in again.notice
    (tmp_path / "pocket").rename(tmp_path / "drive")
    back = Library(made.folder, tmp_path / "data" / "models.json")
    assert [model.ref for model in back.scan()] == ["a", "b"]
    assert "are where they were" in back.notice
    assert not (tmp_path / "data" / JOURNAL).exists()
    assert not (tmp_path / "drive" / "new").exists()


async def test_with_the_new_folder_alone_gone_nothing_is_forgotten_and_no_move_begins(tmp_path: Path) -> None:
    made = interrupted(tmp_path)
    away, new = tmp_path / "away", tmp_path / "drive" / "new"
    new.rename(away)
    assert [model.ref for model in made.scan()] == ["b"]
    assert f"1 file of your models is in {new} still" in made.notice
    with pytest.raises(FolderUnusable, match=r"in .* still"):
        await made.move_folder(tmp_path / "third", switch=Switch())
    away.rename(new)
    assert [model.ref for model in made.scan()] == ["a", "b"]
    assert await made.move_folder(tmp_path / "third", switch=Switch())


def test_a_journal_of_folders_that_are_not_used_any_more_says_nothing(tmp_path: Path) -> None:
    interrupted(tmp_path)
    (tmp_path / "drive").rename(tmp_path / "pocket")
    third = Library(tmp_path / "third", tmp_path / "data" / "models.json")
    third.scan()
    assert third.notice == ""
    assert (tmp_path / "data" / JOURNAL).exists()


async def test_a_source_that_vanishes_while_it_is_copied_leaves_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old drive is pulled out before the settings are switched: what was copied is all there is at hand."""
    monkeypatch.setattr(move, "same_disk", lambda _old, _new: False)
    real = os.rename

    def across(source: Path, target: Path) -> None:
        if Path(source).suffix == ".gguf":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(source, target)

    monkeypatch.setattr(os, "rename", across)
    made = library(tmp_path)
    download(made)

    async def pull_out(_folder: Path) -> None:
        made.folder.rename(tmp_path / "pocket")
        raise FolderUnusable("The settings could not be saved.")

    with pytest.raises(FolderUnusable, match=r"1 file of your models is in .* Choose that folder for models"):
        await made.move_folder(tmp_path / "new", switch=pull_out)
    assert (tmp_path / "new" / HOME / "tiny-Q8_0.gguf").read_bytes() == model_bytes()
    assert not made.folder.exists()


async def test_a_new_folder_that_is_gone_for_good_can_be_given_up_by_making_it_anew(tmp_path: Path) -> None:
    made = interrupted(tmp_path)
    new = tmp_path / "drive" / "new"
    new.rename(tmp_path / "gone")
    made.scan()
    assert "make that folder anew" in made.notice
    new.mkdir()
    made.scan()
    assert not (tmp_path / "data" / JOURNAL).exists()


async def test_a_disk_that_turns_read_only_in_the_middle_is_said_and_settled_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = library(tmp_path)
    download(made)
    download(made, 1, "Q4_0")
    before, new, real, done = kept(made), tmp_path / "new", os.rename, list[str]()

    def read_only(source: Path, target: Path) -> None:
        if done:
            raise OSError(errno.EROFS, "Read-only file system")
        done.append(str(source))
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", read_only)
        with pytest.raises(FolderUnusable) as caught:
            await made.move_folder(new, switch=Switch())
        assert f"1 file of your models is in {new} still" in str(caught.value)
        assert "Read-only file system" in str(caught.value)
        assert "Nothing was removed or overwritten" not in str(caught.value)
        assert (tmp_path / "data" / JOURNAL).exists()
        assert [model.ref for model in made.models()] == ["tiny-1b:Q8_0"], "the list is what is there"
        assert f"is in {new} still" in made.notice
    assert kept(made) == before
    assert "are where they were" in made.notice
    assert not new.exists()
    assert not (tmp_path / "data" / JOURNAL).exists()


async def test_cancelled_and_not_brought_back_is_not_called_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = library(tmp_path)
    download(made)
    download(made, 1, "Q4_0")
    real, done = os.rename, list[str]()

    def once(source: Path, target: Path) -> None:
        if done:
            raise OSError(errno.EIO, "Input/output error")
        done.append(str(source))
        real(source, target)

    monkeypatch.setattr(os, "rename", once)
    with pytest.raises(FolderUnusable, match=r"is in .* still"):
        await made.move_folder(tmp_path / "new", cancelled=lambda: bool(done), switch=Switch())


async def test_both_folders_are_flushed_after_each_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, flushed = library(tmp_path), list[Path]()
    download(made)
    monkeypatch.setattr(move, "flush_folder", flushed.append)
    assert await made.move_folder(tmp_path / "new", switch=Switch())
    assert {tmp_path / "new" / HOME, tmp_path / "models" / HOME} <= set(flushed)


def test_a_journal_of_a_switched_move_waits_for_the_new_folder(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "drive"
    path = write_model(old / "a.gguf")
    write_model(new / "a.gguf")
    file = Carried("a.gguf", path.stat().st_size, source=Stamp.of(path.stat()))
    journals.write(tmp_path / JOURNAL, Journal(old, new, "copy", [file], switched=True))
    new.rename(tmp_path / "pocket")
    move_recovery.settle(tmp_path / JOURNAL, new)
    assert path.exists()
    (tmp_path / "pocket").rename(new)
    move_recovery.settle(tmp_path / JOURNAL, new)
    assert (path.exists(), (tmp_path / JOURNAL).exists()) == (False, False)
