"""Paths as people write them: what can be none is a sentence wherever it is written. Real library, no network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backends.models.errors import BadReference, FolderUnusable
from backends.models.given_path import given_folder, given_path
from tests.backends.models.library_support import library, write_model
from tests.backends.models.manager_bench import Bench
from tests.backends.models.test_move import Switch

NOWHERE = ["~nosuchuser/x.gguf", "a\0b.gguf", "/a/\ud800.gguf"]


@pytest.mark.parametrize("written", NOWHERE)
async def test_what_can_be_no_path_is_a_sentence_wherever_it_is_given(tmp_path: Path, written: str) -> None:
    made = library(tmp_path)
    with pytest.raises(BadReference, match="is not the path of a file: it") as caught:
        made.import_file(Path(written))
    assert "Nothing was imported" in str(caught.value)
    with pytest.raises(FolderUnusable, match="is not the path of a folder: it"):
        await made.move_folder(Path(written), switch=Switch())
    bench = Bench()
    with pytest.raises(BadReference, match="is not the path of a file: it") as caught:
        bench.models.resolve(written)
    assert "Your prompt is kept" in str(caught.value)
    bench.change(models_folder=written)
    with pytest.raises(FolderUnusable, match="is not the path of a folder: it"):
        _ = bench.models.folder
    await bench.models.close()


async def test_a_model_whose_name_begins_like_a_home_is_found() -> None:
    bench = Bench()
    path = write_model(bench.models.folder / "imported" / "~nosuchuser.gguf")
    for name in ("~nosuchuser",):
        found = bench.models.resolve(name)
        assert not isinstance(found, Path)
        assert found.path == path
    await bench.models.close()


def test_a_home_and_a_place_below_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert given_path("~/x.gguf") == given_path("x.gguf") == given_folder(Path("x.gguf")) == tmp_path / "x.gguf"


def test_a_current_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(BadReference, match="current folder is gone"):
        given_path("x.gguf")
    assert given_path("/x.gguf") == Path("/x.gguf")
    os.chdir(tmp_path)
