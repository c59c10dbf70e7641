"""Importing files of one's own: links, copies, notes, bad files, full disks, and a kill at any moment. Real files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.errors import ModelError, ModelMissing, ModelUnusable, NotAModel
from backends.models.errors import DiskFull, FolderUnusable
from backends.models.importing import How
from backends.models.verify import BLOCK_BYTES
from tests.backends.models.library_support import download, library, model_bytes, sha256, tree, write_model, write_parts

HOWS: tuple[How, ...] = ("link", "copy", "use in place")


@pytest.mark.parametrize("how", HOWS)
def test_a_file_comes_into_the_list_and_is_itself_unchanged(tmp_path: Path, how: How) -> None:
    made = library(tmp_path)
    mine = write_model(tmp_path / "mine" / "My Model-Q8_0.gguf", 5)
    seen: list[tuple[int, int]] = []
    model = made.import_file(mine, how, lambda done, total: seen.append((done, total)))
    assert model is not None
    assert (model.ref, model.quant, model.origin) == ("My Model-Q8_0", "Q8_0", "imported")
    assert model.in_place == (how == "use in place")
    assert model.path.read_bytes() == mine.read_bytes() == model_bytes(5)
    assert model.path.is_relative_to(made.folder) == (how != "use in place")
    assert model.sha256 == ((sha256(model_bytes(5)),) if how == "copy" else (None,))
    assert library(tmp_path).find("My Model-Q8_0") == model
    if how == "copy":
        assert seen[-1] == (model.size_bytes, model.size_bytes)
    freed = {"link": 0, "copy": model.size_bytes, "use in place": 0}[how]
    assert made.what_remove_frees(model.ref) == freed == made.remove(model.ref)
    assert mine.read_bytes() == model_bytes(5)
    assert tree(made.folder) == {}
    assert made.models() == ()


@pytest.mark.parametrize("how", HOWS)
def test_parts_come_together_whichever_was_chosen(tmp_path: Path, how: How) -> None:
    made = library(tmp_path)
    parts = write_parts(tmp_path / "mine")
    model = made.import_file(parts[1], how)
    assert model is not None
    assert (model.ref, len(model.files), model.check) == ("big", 3, "unverified")
    assert model.path.name == parts[0].name
    parts[2].unlink()
    with pytest.raises(ModelMissing, match=r"big-00003-of-00003.gguf are not beside it"):
        library(tmp_path / "other").import_file(parts[0], how)


@pytest.mark.parametrize("how", HOWS)
def test_the_same_file_twice_is_one_model(tmp_path: Path, how: How) -> None:
    made = library(tmp_path)
    mine = write_model(tmp_path / "mine" / "m.gguf", 5)
    first = made.import_file(mine, how)
    assert first is not None
    other_name = shutil.copy(mine, tmp_path / "mine" / "other.gguf") if how == "copy" else mine
    again = made.import_file(Path(other_name), how)
    assert again == first
    assert len(made.models()) == 1
    if how != "use in place":
        inside = made.import_file(first.path, "copy")
        assert inside == first


def test_equal_names_of_different_files_stay_apart(tmp_path: Path) -> None:
    made = library(tmp_path)
    for seed, (place, how) in enumerate((("a", "copy"), ("b", "link"), ("c", "use in place"), ("d", "copy"))):
        made.import_file(write_model(tmp_path / place / "Same.gguf", seed + 1), how)  # type: ignore[arg-type]
    models = {model.ref: model.path.read_bytes() for model in library(tmp_path).scan()}
    assert models == {
        "Same": model_bytes(1),
        "Same-2": model_bytes(2),
        "Same-3": model_bytes(3),
        "Same-4": model_bytes(4),
    }


@pytest.mark.parametrize(
    ("name", "ref"),
    [
        ("demo.gguf", "model-demo"),
        ("..gguf", "model"),
        ("-rf.gguf", "rf"),
        ("a:b|c.gguf", "a-b-c"),
        ("CON.gguf", "model-CON"),
        (f"{'x' * 240}.gguf", "x" * 120),
        (f"{'模' * 80}.gguf", "模" * 60),
        (f"a{'é' * 119}.gguf", f"a{'é' * 89}"),
        (f"{'x' * 119} y.gguf", "x" * 119),
        ("ünï 模型.GGUF", "ünï 模型"),
    ],
)
def test_a_name_becomes_one_that_every_system_can_hold(tmp_path: Path, name: str, ref: str) -> None:
    made = library(tmp_path)
    model = made.import_file(write_model(tmp_path / "mine" / name, 5), "copy")
    assert model is not None
    assert model.ref == ref
    assert model.path.parent == made.folder / "imported"


def test_parts_with_the_longest_name_a_disk_can_hold(tmp_path: Path) -> None:
    made = library(tmp_path)
    stem = "模" * 78  # 234 bytes, and 20 more for number and suffix
    parts = write_parts(tmp_path / "mine", "short", 2)
    long = [part.rename(part.with_name(part.name.replace("short", stem))) for part in parts]
    for how in HOWS:
        model = made.import_file(long[0], how)
        assert model is not None
        assert model.name.startswith("模" * 60)


def bad_files(folder: Path) -> Iterator[tuple[Path, type[ModelError], str]]:
    """(file, error, words of its sentence)"""
    folder.mkdir()

    def holding(name: str, content: bytes) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    yield folder / "missing.gguf", ModelMissing, "There is no file"
    yield holding("page.gguf", b"<html><body>Sign in</body></html>"), NotAModel, "web page"
    yield holding("photo.gguf", b"\xff\xd8\xff\xe0" + bytes(5000)), NotAModel, "not a GGUF"
    yield holding("empty.gguf", b""), NotAModel, "empty"
    yield holding("cut.gguf", model_bytes()[:-1]), NotAModel, "too early"
    yield holding("head.gguf", model_bytes()[:100]), NotAModel, "damaged"
    yield holding("old.gguf", b"GGUF" + (1).to_bytes(4, "little") + bytes(64)), ModelUnusable, "version 1"
    yield folder, NotAModel, "a folder"
    (folder / "loop.gguf").symlink_to("loop.gguf")
    yield folder / "loop.gguf", ModelMissing, "symbolic links"
    (folder / "nowhere.gguf").symlink_to("gone.gguf")
    yield folder / "nowhere.gguf", ModelMissing, "There is no file"
    os.mkfifo(folder / "pipe.gguf")
    yield folder / "pipe.gguf", NotAModel, "not a regular file"
    yield Path("/dev/zero"), NotAModel, "not a regular file"
    yield holding("x" * 200 + ".gguf", b"no"), NotAModel, "not a GGUF"
    yield folder / ("y" * 300 + ".gguf"), ModelMissing, "cannot be read"
    yield holding("part.gguf", b"x") / "below.gguf", ModelMissing, "Not a directory"


def test_what_is_no_model_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    for how in HOWS:
        base = tmp_path / how
        base.mkdir()
        made = library(base)
        for path, kind, words in bad_files(base / "bad"):
            with pytest.raises(kind) as caught:
                made.import_file(path, how)
            assert words in str(caught.value), path
            assert "Nothing was imported" in str(caught.value)
        assert made.models() == ()
        assert tree(made.folder) == {}


PROGRAM_AS_NOBODY = """
import os, sys
from pathlib import Path
from backends.models.library import Library
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
base = Path(sys.argv[1])
made = Library(base / sys.argv[3], base / "data" / "models.json")
try:
    made.import_file(Path(sys.argv[2]), "copy")
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that any user may enter, since tests may run as root, whom no mode stops."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def test_an_unreadable_file_and_an_unwritable_folder_are_sentences(shared: Path) -> None:
    closed = write_model(shared / "closed.gguf")
    closed.chmod(0)
    locked = shared / "locked"
    locked.mkdir(mode=0o555)
    ours = write_model(shared / "open.gguf")
    ours.chmod(0o444)

    def said(file: Path, folder: str) -> str:
        argv = [sys.executable, "-c", PROGRAM_AS_NOBODY, str(shared), str(file), folder]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    assert said(closed, "models").startswith("ModelMissing closed.gguf cannot be read (Permission denied).")
    assert said(ours, "locked").startswith(f"FolderUnusable The folder {locked / 'imported'} cannot be written")
    assert said(ours, "models") == ""
    closed.chmod(0o600)


def test_a_full_disk_is_a_sentence_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: usage(10**12, 10**12, 10**9 + 1))
    made = library(tmp_path)
    with pytest.raises(DiskFull, match=r"1\.00 GiB stays in reserve"):
        made.import_file(write_model(tmp_path / "mine.gguf"), "copy")
    assert tree(made.folder) == {}
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: usage(10**12, 10**12, 0))
    linked = made.import_file(tmp_path / "mine.gguf", "link")
    assert linked is not None, "a link takes no space"


def test_a_disk_that_fills_meanwhile_is_a_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = library(tmp_path)
    mine = write_model(tmp_path / "mine.gguf")

    def full(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(DiskFull, match="is full"):
        made.import_file(mine, "copy")
    monkeypatch.undo()
    assert tree(made.folder) == {}
    assert mine.read_bytes() == model_bytes()


def test_a_folder_that_is_a_file_is_a_sentence(tmp_path: Path) -> None:
    made = library(tmp_path)
    made.folder.write_text("not a folder")
    for how in HOWS:
        with pytest.raises(FolderUnusable):
            made.import_file(write_model(tmp_path / "mine.gguf"), how)


def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    made = library(tmp_path)
    parts = write_parts(tmp_path / "mine")
    calls: list[int] = []

    def cancelled() -> bool:
        calls.append(1)
        return len(calls) > 2

    assert made.import_file(parts[0], "copy", cancelled=cancelled) is None
    assert tree(made.folder) == {}
    assert made.models() == ()


def test_an_import_that_runs_elsewhere_is_not_swept(tmp_path: Path) -> None:
    made = library(tmp_path)
    living = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    growing = made.folder / "imported" / f".x.gguf.{living.pid}.incomplete"
    growing.parent.mkdir(parents=True)
    growing.write_bytes(b"growing")
    made.import_file(write_model(tmp_path / "mine.gguf"), "copy")
    assert growing.exists()
    assert living.stdin is not None
    living.stdin.close()
    living.wait(timeout=60)
    made.import_file(write_model(tmp_path / "mine2.gguf", 1), "copy")
    assert not growing.exists()


def test_a_model_used_in_place_that_is_gone_still_shows_and_can_be_forgotten(tmp_path: Path) -> None:
    made = library(tmp_path)
    mine = write_model(tmp_path / "drive" / "m.gguf")
    made.import_file(mine, "use in place")
    mine.unlink()
    (model,) = made.scan()
    assert (model.check, model.missing_parts, model.size_bytes) == ("missing", ("m.gguf",), 0)
    assert made.remove(model.ref) == 0
    assert library(tmp_path).scan() == ()


def test_a_large_file_is_copied_in_blocks(tmp_path: Path) -> None:
    """More than one block, and the hash is of all of it."""
    made = library(tmp_path)
    mine = write_model(tmp_path / "mine.gguf")
    with mine.open("ab") as file:
        file.truncate(2 * BLOCK_BYTES + 17)
    model = made.import_file(mine, "copy")
    assert model is not None
    assert model.sha256 == (sha256(mine.read_bytes()),)


def test_a_file_that_changes_while_it_is_copied_is_not_taken(tmp_path: Path) -> None:
    made = library(tmp_path)
    mine = write_model(tmp_path / "mine.gguf")

    def grow(_done: int, _total: int) -> None:
        with mine.open("ab") as file:
            file.write(b"more")

    with pytest.raises(ModelMissing, match="changed while it was copied"):
        made.import_file(mine, "copy", grow)
    assert tree(made.folder) == {}


def test_the_downloads_stay_as_they_are(tmp_path: Path) -> None:
    made = library(tmp_path)
    path = download(made)
    made.import_file(write_model(tmp_path / "tiny-Q8_0.gguf", 7), "copy")
    assert made.find("tiny-1b:Q8_0").path == path
    assert path.read_bytes() == model_bytes()
