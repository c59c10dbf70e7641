"""Importing as a copy where the model is known from elsewhere: a copy is what was asked for. Real files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backends.models.index import FoundModel
from tests.backends.models.library_support import library, model_bytes, write_model


def test_a_copy_is_made_though_the_file_is_known_where_another_program_keeps_it(tmp_path: Path) -> None:
    """That program may remove it any day."""
    made = library(tmp_path)
    theirs = write_model(tmp_path / "theirs" / "x.gguf", 5)
    (found,) = made.remember_found([FoundModel("lm_studio", "maker/x", (theirs,))])
    copied = made.import_file(theirs, "copy")
    assert copied is not None
    assert (copied.path, copied.in_place) == (made.folder / "imported" / "x.gguf", False)
    assert copied.path.read_bytes() == model_bytes(5)
    assert {model.ref for model in made.models()} == {found.ref, copied.ref}
    assert made.import_file(theirs, "copy") == copied
    assert made.import_file(theirs, "link") == made.find(found.ref)


@pytest.mark.parametrize("same_file", [True, False])
def test_a_copy_of_what_is_used_from_a_drive_stays(tmp_path: Path, same_file: bool) -> None:
    made = library(tmp_path)
    on_drive = write_model(tmp_path / "usb" / "m.gguf", 5)
    noted = made.import_file(on_drive, "use in place")
    assert noted is not None
    made.verify(noted.ref)
    given = on_drive if same_file else Path(shutil.copy(on_drive, tmp_path / "other.gguf"))
    copied = made.import_file(given, "copy")
    assert copied is not None
    assert not copied.in_place
    assert copied.path.is_relative_to(made.folder)
    on_drive.unlink()
    assert made.find(copied.ref).path.read_bytes() == model_bytes(5)


def test_a_link_in_the_folder_counts_as_no_copy(tmp_path: Path) -> None:
    made = library(tmp_path)
    outside = write_model(tmp_path / "outside.gguf", 5)
    made.folder.mkdir()
    (made.folder / "link.gguf").symlink_to(outside)
    copied = made.import_file(outside, "copy")
    assert copied is not None
    assert (copied.in_place, copied.path.is_symlink()) == (False, False)
