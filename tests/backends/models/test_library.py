"""The list of models: refs, names, proofs and what remains when its index is lost. Real files, no network."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from pathlib import Path

import pytest

from backends.errors import ModelMissing
from backends.models.records import DownloadPlan, RemoteFile
from tests.backends.models.library_support import (
    HOME,
    catalogue,
    download,
    library,
    model_bytes,
    sha256,
    write_model,
    write_parts,
)


def test_no_folder_is_no_model_and_makes_none(tmp_path: Path) -> None:
    made = library(tmp_path)
    assert made.scan() == ()
    assert made.problem is None
    assert list(tmp_path.iterdir()) == []


def test_a_download_is_listed_as_the_catalogue_calls_it(tmp_path: Path) -> None:
    made = library(tmp_path)
    path = download(made)
    (model,) = made.models()
    assert (model.ref, model.name, model.quant) == ("tiny-1b:Q8_0", "Tiny 1B", "Q8_0")
    assert (model.model_id, model.licence_tag, model.origin) == ("tiny-1b", "llama3.1", "downloaded")
    assert (model.path, model.files, model.size_bytes) == (path, (path,), path.stat().st_size)
    assert (model.check, model.sha256) == ("verified", (sha256(model_bytes()),))
    assert (model.missing_parts, model.note, model.in_place) == ((), "", False)


def test_a_file_of_an_added_repo_keeps_its_folder_there_in_its_ref(tmp_path: Path) -> None:
    made = library(tmp_path)
    path = write_model(made.folder / "some--Repo" / "sub" / "x-Q8_0.gguf")
    plan = DownloadPlan("hf:some/Repo/sub/x-Q8_0.gguf", "x-Q8_0", "Q8_0", "some/Repo", None, (RemoteFile("x"),), "mit")
    made.add_downloaded(plan, (path,), (None,))
    (model,) = library(tmp_path).scan()
    assert (model.ref, model.licence_tag, model.check) == ("hf:some/Repo/sub/x-Q8_0.gguf", "mit", "unverified")
    assert model.quant == "Q8_0"  # from the header
    for name in ("x-Q8_0.gguf", "other/x-Q8_0.gguf"):
        with pytest.raises(ModelMissing):
            library(tmp_path).find(f"hf:some/Repo/{name}")
    (tmp_path / "data" / "models.json").unlink()
    (model,) = library(tmp_path).scan()
    assert (model.ref, library(tmp_path).find("hf:some/Repo/sub/x-Q8_0.gguf").path) == (
        "hf:some/Repo/sub/x-Q8_0.gguf",
        path,
    )


def test_a_catalogue_model_is_found_with_or_without_its_folder(tmp_path: Path) -> None:
    for place in ("tiny-Q4_0.gguf", "sub/tiny-Q4_0.gguf"):
        made = library(tmp_path)
        path = write_model(made.folder / HOME / place)
        assert made.scan()[0].ref == "tiny-1b:Q4_0"
        for name in ("tiny-1b:Q4_0", "hf:maker/Tiny-GGUF/sub/tiny-Q4_0.gguf"):
            assert made.find(name).path == path
        path.unlink()


@pytest.mark.parametrize("damage", ["gone", "noise", "cut", "another version"])
def test_without_its_index_only_proofs_are_lost(tmp_path: Path, damage: str) -> None:
    made = library(tmp_path)
    download(made)
    mine = write_model(tmp_path / "elsewhere" / "mine.gguf", 1)
    noted = made.import_file(mine, "use in place")
    copied = made.import_file(write_model(tmp_path / "elsewhere" / "copied.gguf", 2), "copy")
    assert noted is not None
    assert copied is not None
    before = {model.ref: (model.files, model.origin, model.in_place) for model in made.models()}
    index = tmp_path / "data" / "models.json"
    whole = index.read_bytes()
    match damage:
        case "gone":
            index.unlink()
        case "noise":
            index.write_bytes(b"\x00\xff not json")
        case "cut":
            index.write_bytes(whole[: len(whole) // 2])
        case _:
            index.write_text(json.dumps({**json.loads(whole), "version": 99}))
    again = library(tmp_path)
    models = again.scan()
    assert {model.ref: (model.files, model.origin, model.in_place) for model in models} == before
    assert {model.check for model in models} == {"unverified"}
    assert again.verify("tiny-1b:Q8_0") is not None
    assert library(tmp_path).find("tiny-1b:Q8_0").check == "verified"


@pytest.mark.parametrize("change", ["byte", "touched", "replaced"])
def test_a_proof_holds_only_for_the_bytes_it_was_taken_of(tmp_path: Path, change: str) -> None:
    made = library(tmp_path)
    path = download(made)
    content = bytearray(model_bytes())
    content[-1] ^= 1
    match change:
        case "byte":
            stat = path.stat()
            path.write_bytes(content)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        case "touched":
            os.utime(path, ns=(1, 1))
        case _:
            path.with_suffix(".new").write_bytes(content)
            os.replace(path.with_suffix(".new"), path)
    (model,) = library(tmp_path).scan()
    assert (model.check, model.sha256) == ("changed", (None,))


@pytest.mark.parametrize("number", ["dev", "inode"])
def test_another_number_for_the_disk_or_the_file_is_no_change_only_no_proof(tmp_path: Path, number: str) -> None:
    """As when a drive is sdc in place of sdb, a share is mounted again, or the folder was copied with `cp -a`."""
    made = library(tmp_path)
    path = download(made)
    if number == "inode":
        copied = shutil.copy2(path, path.with_suffix(".copied"))
        os.replace(copied, path)
    else:
        index = tmp_path / "data" / "models.json"
        index.write_text(re.sub(r'"dev": \d+', '"dev": 99999', index.read_text()))
    again = library(tmp_path)
    (model,) = again.scan()
    assert (model.check, model.sha256) == ("unverified", (None,))
    verified = again.verify("tiny-1b:Q8_0")
    assert verified is not None
    assert verified.check == "verified"


def test_parts_are_one_model_and_a_missing_one_is_named(tmp_path: Path) -> None:
    made = library(tmp_path)
    parts = write_parts(made.folder / "some--Repo")
    (model,) = made.scan()
    assert (model.ref, model.name) == ("hf:some/Repo/big-00001-of-00003.gguf", "big")
    assert (model.path, model.files, model.quant) == (parts[0], tuple(parts), "Q8_0")
    assert model.size_bytes == sum(path.stat().st_size for path in parts)
    parts[0].unlink()
    (model,) = made.scan()
    assert (model.check, model.missing_parts, model.path) == ("missing", (parts[0].name,), parts[0])
    assert model.ref == "hf:some/Repo/big-00001-of-00003.gguf"


def test_what_is_no_model_is_listed_with_a_sentence_or_not_at_all(tmp_path: Path) -> None:
    made = library(tmp_path)
    folder = made.folder / "by-hand"
    folder.mkdir(parents=True)
    (folder / "page.gguf").write_bytes(b"<!DOCTYPE html><html>")
    (folder / "cut.gguf").write_bytes(model_bytes()[:-100])
    (folder / "empty.gguf").touch()
    (folder / "folder.gguf").mkdir()
    os.mkfifo(folder / "pipe.gguf")
    (folder / "loop.gguf").symlink_to("loop.gguf")
    (folder / "gone.gguf").symlink_to("nowhere")
    (folder / ".hidden.gguf").write_bytes(model_bytes())
    (folder / "notes.txt").write_text("mine")
    notes = {model.ref: model.note for model in made.scan()}
    assert set(notes) == {"page", "cut", "empty"}
    assert "web page" in notes["page"]
    assert "too early" in notes["cut"]
    assert "empty" in notes["empty"]


def test_names_put_here_by_hand_stay_apart(tmp_path: Path) -> None:
    made = library(tmp_path)
    for number, place in enumerate(("a", "b", "imported", "demo-files")):
        write_model(made.folder / place / ("demo.gguf" if place == "demo-files" else "same.gguf"), number)
    assert sorted(model.ref for model in made.scan()) == ["demo-2", "same", "same-2", "same-3"]
    assert made.find("same").path.parent.name == "imported"


def test_a_walk_ends_though_links_go_round(tmp_path: Path) -> None:
    made = library(tmp_path)
    write_model(made.folder / "x" / "one.gguf")
    (made.folder / "x" / "round").symlink_to(made.folder)
    deep = made.folder.joinpath(*"abcdefghij")
    write_model(deep / "deep.gguf", 1)
    assert [model.ref for model in made.scan()] == ["one"]


def test_headers_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = library(tmp_path)
    download(made)
    write_model(made.folder / "x" / "other.gguf", 1)
    made.scan()
    read: list[Path] = []
    monkeypatch.setattr("backends.models.inventory.facts_of", lambda path: read.append(path))
    again = library(tmp_path)
    assert [model.quant for model in again.scan()] == ["Q8_0", "Q8_0"]
    assert read == []


def test_a_header_that_could_not_be_read_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = library(tmp_path)
    path = write_model(made.folder / "x" / "one.gguf")
    with monkeypatch.context() as patch:
        patch.setattr("backends.models.gguf_file.open_regular", _refuse)
        assert "cannot be read" in made.scan()[0].note
    assert made.scan()[0].note == ""
    assert path.exists()


def _refuse(path: Path) -> int:
    raise ModelMissing(f"{path.name} cannot be read (Permission denied).")


def test_find_takes_ref_name_or_hub_file_and_else_says_what_is_closest(tmp_path: Path) -> None:
    made = library(tmp_path)
    path = download(made)
    write_model(made.folder / "x" / "My Model Q8.gguf", 1)
    for name in ("tiny-1b:Q8_0", "TINY-1B:q8_0", "Tiny 1B", "tiny-1b", "hf:maker/Tiny-GGUF/tiny-Q8_0.gguf"):
        assert made.find(name).path == path, name
    assert made.find("My Model Q8").origin == "imported"
    with pytest.raises(ModelMissing, match="closest: tiny-1b:Q8_0") as caught:
        made.find("tiny-1b:Q4_K_M")
    assert "Q4_K_M" in str(caught.value)
    with pytest.raises(ModelMissing) as caught:
        made.find("../../etc/passwd")
    assert "closest" not in str(caught.value)
    with pytest.raises(ModelMissing, match="Download a model first"):
        library(tmp_path / "other").find("x")


def test_last_use_is_kept(tmp_path: Path) -> None:
    made = library(tmp_path)
    download(made)
    assert made.find("tiny-1b").last_used_at is None
    made.touch_used("tiny-1b:Q8_0")
    used = made.find("tiny-1b").last_used_at
    assert used is not None
    assert library(tmp_path).find("tiny-1b").last_used_at == used


def test_two_libraries_do_not_undo_each_other(tmp_path: Path) -> None:
    """As the window and a command do."""
    one, two = library(tmp_path), library(tmp_path)
    download(one)
    two.scan()
    one.touch_used("tiny-1b:Q8_0")
    download(two, 1, "Q4_0")
    models = library(tmp_path).scan()
    assert {model.ref for model in models} == {"tiny-1b:Q8_0", "tiny-1b:Q4_0"}
    assert {model.check for model in models} == {"verified"}
    assert [model.last_used_at is not None for model in models if model.quant == "Q8_0"] == [True]


def test_scans_from_many_threads_agree(tmp_path: Path) -> None:
    made = library(tmp_path)
    for number in range(8):
        write_model(made.folder / "x" / f"m{number}.gguf", number % 2)
    threads = [threading.Thread(target=made.scan) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made.models()) == 8


def test_a_folder_that_vanishes_is_a_sentence_and_loses_nothing(tmp_path: Path) -> None:
    made = library(tmp_path)
    download(made)
    away = tmp_path / "unplugged"
    made.folder.rename(away)
    assert made.scan() == ()
    assert made.problem is not None
    assert "gone" in made.problem.what
    assert "Connect its disk" in made.problem.fix
    away.rename(made.folder)
    (model,) = library(tmp_path).scan()
    assert model.check == "verified"


def test_a_file_where_the_folder_should_be_is_a_sentence(tmp_path: Path) -> None:
    made = library(tmp_path)
    made.folder.write_text("not a folder")
    assert made.scan() == ()
    assert made.problem is not None
    assert "Not a directory" in made.problem.what


def test_an_index_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file in place of the folder")
    made = library(tmp_path)
    download(made)
    assert made.find("tiny-1b").check == "verified"


def test_the_catalogue_finds_its_files_in_any_number_of_parts(tmp_path: Path) -> None:
    made = library(tmp_path)
    write_parts(made.folder / HOME, "tiny-Q4_0", 2)
    (model,) = made.scan()
    assert (model.ref, model.model_id) == ("tiny-1b:Q4_0", catalogue()[0].id)
