"""Hashes of files: right ones, wrong ones, cancelled ones, and files that change underneath. Real files only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backends.errors import ModelMissing, NotAModel
from backends.models.errors import FileMismatch
from backends.models.index import FoundModel
from backends.models.verify import BLOCK_BYTES, hash_file
from tests.backends.models.library_support import (
    download,
    library,
    model_bytes,
    sha256,
    write_model,
    write_parts,
)


def test_the_hash_is_the_files_with_progress_in_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x"
    content = os.urandom(2 * BLOCK_BYTES + 5)
    path.write_bytes(content)
    blocks: list[int] = []
    hashed = hash_file(path, on_bytes=blocks.append)
    assert hashed is not None
    assert hashed.sha256 == sha256(content)
    assert (hashed.stamp.size_bytes, hashed.stamp.mtime_ns) == (len(content), path.stat().st_mtime_ns)
    assert sum(blocks) == len(content)
    assert len(blocks) >= 3


def test_cancelling_ends_after_the_block(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(3 * BLOCK_BYTES))
    blocks: list[int] = []
    assert hash_file(path, on_bytes=blocks.append, cancelled=lambda: len(blocks) == 1) is None
    assert len(blocks) == 1


def test_a_file_that_is_written_while_it_is_read_has_no_hash(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(2 * BLOCK_BYTES))

    def grow(_count: int) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(ModelMissing, match="changed while it was read"):
        hash_file(path, on_bytes=grow)


def test_pipes_folders_and_nothing_are_sentences_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotAModel, match="not a regular file"):
        hash_file(tmp_path / "pipe")
    with pytest.raises((NotAModel, ModelMissing)):
        hash_file(tmp_path)
    with pytest.raises(ModelMissing, match="cannot be read"):
        hash_file(tmp_path / "nothing")
    with pytest.raises(NotAModel, match="not a regular file"):
        hash_file(Path("/dev/zero"))


def test_verifying_says_yes_with_progress_and_no_with_a_sentence(tmp_path: Path) -> None:
    made = library(tmp_path)
    path = download(made)
    path.write_bytes(model_bytes(1))
    assert made.scan()[0].check == "changed"
    with pytest.raises(FileMismatch, match=r"tiny-Q8_0.gguf is not the file it should be"):
        made.verify("tiny-1b:Q8_0")
    assert path.read_bytes() == model_bytes(1), "a bad file is left for the person to decide"
    assert library(tmp_path).find("tiny-1b").check == "changed"
    path.write_bytes(model_bytes())
    seen: list[tuple[int, int]] = []
    model = made.verify("tiny-1b:Q8_0", lambda done, total: seen.append((done, total)))
    assert model is not None
    assert (model.check, model.sha256) == ("verified", (sha256(model_bytes()),))
    assert seen[-1] == (model.size_bytes, model.size_bytes)


def test_cancelling_changes_no_proof(tmp_path: Path) -> None:
    made = library(tmp_path)
    download(made)
    assert made.verify("tiny-1b:Q8_0", cancelled=lambda: True) is None
    assert made.find("tiny-1b").check == "verified"


def test_without_anything_to_compare_with_a_later_change_still_shows(tmp_path: Path) -> None:
    made = library(tmp_path)
    path = write_model(made.folder / "x" / "mine.gguf", 3)
    model = made.verify("mine")
    assert model is not None
    assert (model.check, model.sha256) == ("unverified", (sha256(model_bytes(3)),))
    path.write_bytes(model_bytes(4))
    assert made.scan()[0].check == "changed"


def test_a_file_of_any_name_is_verified_by_the_catalogues_hash(tmp_path: Path) -> None:
    made = library(tmp_path)
    write_model(made.folder / "x" / "renamed.gguf")
    model = made.verify("renamed")
    assert model is not None
    assert model.check == "verified"


def test_every_part_is_read(tmp_path: Path) -> None:
    made = library(tmp_path)
    parts = write_parts(made.folder / "x")
    made.verify("big")
    parts[2].write_bytes(parts[2].read_bytes()[:-1] + b"\xff")
    assert made.scan()[0].check == "changed"


@pytest.mark.parametrize("right", [True, False])
def test_what_another_program_says_is_only_what_to_expect(tmp_path: Path, right: bool) -> None:
    made = library(tmp_path)
    path = write_model(tmp_path / "theirs" / "sha256-x", 3)
    said = sha256(model_bytes(3)) if right else "0" * 64
    (model,) = made.remember_found([FoundModel("ollama", "tiny:1b", (path,), sha256=(said,))])
    assert (model.ref, model.check, model.in_place) == ("ollama:tiny:1b", "unverified", True)
    if right:
        verified = made.verify("ollama:tiny:1b")
        assert verified is not None
        assert verified.check == "verified"
    else:
        with pytest.raises(FileMismatch):
            made.verify("ollama:tiny:1b")
        assert made.find("ollama:tiny:1b").check == "changed"
    assert path.read_bytes() == model_bytes(3)
