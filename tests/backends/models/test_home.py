"""A models folder whose disk is not there: never taken for an empty one, never filled in its place unasked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backends.models.errors import FolderMissing
from backends.models.library import Library
from tests.backends.models.library_support import library, tree, write_model


def with_a_model(tmp_path: Path) -> Library:
    made = library(tmp_path)
    write_model(made.folder / "imported" / "mine.gguf")
    made.verify("mine")
    return made


def unmounted(made: Library) -> Path:
    """The disk is away, and its mount point is bare."""
    away = made.folder.with_name("away")
    made.folder.rename(away)
    made.folder.mkdir()
    return away


def test_a_bare_mount_point_is_a_problem_and_not_an_empty_list(tmp_path: Path) -> None:
    made = with_a_model(tmp_path)
    proof = made.models()[0].sha256
    away = unmounted(made)
    assert made.scan() == ()
    assert made.problem is not None
    assert (made.problem.code, "its disk seems to be missing" in made.problem.what) == ("models_folder_missing", True)
    with pytest.raises(FolderMissing):
        made.import_file(write_model(tmp_path / "other.gguf", 1), "copy")
    assert tree(made.folder) == {}
    made.folder.rmdir()
    made.scan()
    assert made.problem is not None
    assert "is gone" in made.problem.what
    away.rename(made.folder)
    (model,) = made.scan()
    assert made.problem is None
    assert model.sha256 == proof, "nothing that was known was let go of"


def test_the_person_may_begin_anew_there(tmp_path: Path) -> None:
    made = with_a_model(tmp_path)
    unmounted(made)
    made.scan()
    made.start_anew()
    assert made.problem is None
    assert made.import_file(write_model(tmp_path / "other.gguf", 1), "copy") is not None
    assert [model.ref for model in made.scan()] == ["other"]


def test_a_folder_that_was_emptied_by_hand_is_only_empty(tmp_path: Path) -> None:
    made = with_a_model(tmp_path)
    shutil.rmtree(made.folder / "imported")
    assert made.scan() == ()
    assert made.problem is None


def test_models_that_were_put_into_another_folder_of_this_name_count(tmp_path: Path) -> None:
    made = with_a_model(tmp_path)
    shutil.copytree(unmounted(made) / "imported", made.folder / "imported")
    assert [model.ref for model in made.scan()] == ["mine"]
    assert made.problem is None
    shutil.rmtree(made.folder / "imported")
    made.scan()
    assert made.problem is None, "this folder is the known one now"
