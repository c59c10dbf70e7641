"""Bad files get their own sentence before native code sees them, and the next question works."""

from __future__ import annotations

import os
import random
import shutil
import struct
from pathlib import Path

import pytest

from backends.errors import ModelError, ModelMissing, ModelUnusable, NotAModel
from backends.events import Failed
from backends.local.engine import LocalEngine
from backends.local.gguf_check import check_model_file
from tests.backends.local.conftest import MakeEngine
from tests.backends.local.driver import ask
from tests.gguf_factory import TINY, vocabulary, write_random
from tests.gguf_shapes import split_model


def bad_files(folder: Path, good: Path) -> dict[str, tuple[Path, type[ModelError], str]]:
    """Each kind of bad file, the error it must raise, and words that its sentence must hold."""
    data = good.read_bytes()
    (folder / "folder.gguf").mkdir()
    words = vocabulary(TINY.vocab)
    twice = (*words.tokens[:300], words.tokens[0], *words.tokens[301:])
    contents: dict[str, tuple[bytes, type[ModelError], str]] = {
        "empty": (b"", NotAModel, "empty"),
        "page": (b"\xef\xbb\xbf  <!DOCTYPE html><html>Sign in</html>", NotAModel, "web page"),
        "text": (b"hello" * 100, NotAModel, "not a GGUF"),
        "short": (b"GGUF\x03", NotAModel, "past the end"),
        "header": (data[:400], NotAModel, "past the end"),
        "half": (data[: len(data) // 2], NotAModel, "too early"),
        "last byte": (data[:-1], NotAModel, "1 bytes too early"),
        "version": (data[:4] + struct.pack("<I", 1) + data[8:], ModelUnusable, "version 1"),
        "tensors": (data[:8] + struct.pack("<Q", 2**40) + data[16:], NotAModel, "claims"),
        "entries": (data[:16] + struct.pack("<Q", 2**63) + data[24:], NotAModel, "claims"),
    }
    files = {}
    for name, (content, kind, says) in contents.items():
        path = folder / f"{name}.gguf"
        path.write_bytes(content)
        files[name] = (path, kind, says)
    files["missing"] = (folder / "nowhere.gguf", ModelMissing, "There is no file")
    files["folder"] = (folder / "folder.gguf", NotAModel, "folder")
    files["twice"] = (write_random(folder / "twice.gguf", arrays={"tokens": twice}), NotAModel, "same token twice")
    return files


def test_good_files_pass(tiny: Path, hello: Path, slow: Path) -> None:
    for path in (tiny, hello, slow):
        check_model_file(path)


def test_each_bad_file_has_its_sentence(tmp_path: Path, tiny: Path) -> None:
    for name, (path, kind, says) in bad_files(tmp_path, tiny).items():
        with pytest.raises(kind) as caught:
            check_model_file(path)
        assert says in caught.value.problem.what, name


@pytest.mark.skipif(os.name != "posix", reason="named pipes and permissions of POSIX")
def test_files_that_are_no_files(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)
    with pytest.raises(NotAModel, match="regular"):
        check_model_file(pipe)


def test_a_changed_header_is_refused_or_passed_but_never_crashes_the_check(tmp_path: Path, tiny: Path) -> None:
    rng = random.Random(1)
    data = tiny.read_bytes()
    refused = 0
    path = tmp_path / "mutated.gguf"
    for _ in range(300):
        changed = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(0, 9000)] = rng.randrange(256)
        path.write_bytes(changed)
        try:
            check_model_file(path)
        except ModelError:
            refused += 1
    assert refused > 50


async def test_bad_files_through_the_engine(make_engine: MakeEngine, tmp_path: Path, tiny: Path) -> None:
    engines: list[LocalEngine] = []
    for path, kind, says in bad_files(tmp_path, tiny).values():
        engines.append(make_engine(path))
        recorder = await ask(engines[-1])
        assert isinstance(recorder.end, Failed)
        assert recorder.end.problem.code == kind.code
        assert says in recorder.end.problem.what
        assert engines[-1].worker_pid is not None, "the worker goes on"


async def test_a_file_that_is_repaired_works_at_the_next_question(
    make_engine: MakeEngine, tmp_path: Path, tiny: Path
) -> None:
    path = tmp_path / "late.gguf"
    engine = make_engine(path)
    assert isinstance((await ask(engine)).end, Failed)
    shutil.copyfile(tiny, path)
    assert (await ask(engine, max_tokens=3)).end.result.complete


async def test_a_model_in_parts_answers_and_one_without_a_part_says_which(
    make_engine: MakeEngine, tmp_path: Path, tiny: Path
) -> None:
    parts = split_model(tiny, 3, tmp_path)
    assert (await ask(make_engine(parts[0]), max_tokens=3)).end.result.complete
    parts[2].unlink()
    recorder = await ask(make_engine(parts[0]))
    assert isinstance(recorder.end, Failed)
    assert recorder.end.problem.code == ModelMissing.code
    assert parts[2].name in recorder.end.problem.what


@pytest.fixture
def unknown_architecture(tmp_path: Path, tiny: Path) -> Path:
    length = struct.pack("<Q", 5)
    path = tmp_path / "other.gguf"
    path.write_bytes(tiny.read_bytes().replace(length + b"llama", length + b"lxxma"))
    return path


async def test_what_llama_cpp_refuses_is_told_in_its_words(make_engine: MakeEngine, unknown_architecture: Path) -> None:
    recorder = await ask(make_engine(unknown_architecture))
    assert isinstance(recorder.end, Failed)
    assert recorder.end.problem.code == ModelUnusable.code
    assert "lxxma" in recorder.end.problem.what
