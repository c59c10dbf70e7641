"""Removing models: what it frees, what it must leave alone, and downloads of the same files. Real files and locks."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.models.download_disk import Lock
from backends.models.errors import InUse
from tests.backends.models.library_support import HOME, download, library, model_bytes, write_model, write_parts


def test_removing_frees_what_was_said_and_touches_nothing_else(tmp_path: Path) -> None:
    made = library(tmp_path)
    path = download(made)
    other = write_model(made.folder / HOME / "notes.gguf", 1)
    incomplete = made.folder / ".incomplete"
    incomplete.mkdir()
    left = [incomplete / f"{HOME}--{path.name}.part", incomplete / f"{HOME}--{path.name}.json"]
    others = incomplete / "other--repo--x.gguf.part"
    for each in (*left, others):
        each.write_bytes(b"x")
    size = path.stat().st_size
    assert made.what_remove_frees("tiny-1b:Q8_0") == size
    assert made.remove("tiny-1b:Q8_0") == size
    assert not path.exists()
    assert [each.exists() for each in (*left, others, other)] == [False, False, True, True]
    assert [model.path for model in made.models()] == [other]
    other.unlink()
    parts = write_parts(made.folder / "some--Repo")
    made.scan()
    made.remove("big")
    assert not parts[0].parent.exists()
    assert made.folder.is_dir()


def test_a_loaded_model_is_not_removed(tmp_path: Path) -> None:
    made = library(tmp_path, in_use=lambda: {"tiny-1b:Q8_0"})
    path = download(made)
    with pytest.raises(InUse, match="loaded"):
        made.remove("tiny-1b:Q8_0")
    assert path.exists()


def test_a_link_in_the_folder_is_removed_and_its_file_stays(tmp_path: Path) -> None:
    made = library(tmp_path)
    outside = write_model(tmp_path / "outside" / "theirs.gguf")
    made.folder.mkdir()
    (made.folder / "link.gguf").symlink_to(outside)
    (model,) = made.scan()
    assert model.in_place
    assert made.what_remove_frees("link") == 0
    made.remove("link")
    assert made.models() == ()
    assert outside.read_bytes() == model_bytes()


def test_removing_a_model_leaves_a_download_that_runs_elsewhere_alone(tmp_path: Path) -> None:
    """As while the missing part of a split model is fetched again: its lock is held, perhaps by another process."""
    made = library(tmp_path)
    parts = write_parts(made.folder / "some--Repo")
    parts[1].unlink()
    made.scan()
    incomplete = made.folder / ".incomplete"
    incomplete.mkdir()
    left = [
        incomplete / f"some--Repo--{parts[1].name}.part",
        incomplete / f"some--Repo--{parts[0].name}.json",
    ]
    for each in left:
        each.write_bytes(b"x")
    lock = Lock(incomplete / f"some--Repo--{parts[0].name}.lock")
    lock.take()
    with pytest.raises(InUse, match="being downloaded"):
        made.remove("big")
    assert [each.exists() for each in (*left, parts[0], parts[2])] == [True] * 4
    lock.give_back()
    made.remove("big")
    assert [each.exists() for each in (*left, parts[0], parts[2])] == [False] * 4


def test_removing_a_model_deeper_down_touches_no_download_of_that_name(tmp_path: Path) -> None:
    made = library(tmp_path)
    path = write_model(made.folder / "by-hand" / HOME / "tiny-Q8_0.gguf")
    left = made.folder / ".incomplete" / f"{HOME}--{path.name}.part"
    left.parent.mkdir()
    left.write_bytes(b"x")
    made.scan()
    made.remove("tiny-Q8_0")
    assert (path.exists(), left.exists()) == (False, True)


def test_a_full_disk_does_not_keep_a_model_from_being_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = library(tmp_path)
    path = download(made)
    left = made.folder / ".incomplete" / f"{HOME}--{path.name}.part"
    left.parent.mkdir()
    left.write_bytes(b"x")
    take = Lock.take

    def full(lock: Lock) -> None:
        if path.exists():
            raise OSError(28, "No space left on device")
        take(lock)

    monkeypatch.setattr(Lock, "take", full)
    made.remove("tiny-1b:Q8_0")
    assert (path.exists(), left.exists()) == (False, False)
