"""Every rule of a header, broken one at a time; mutations; and llama.cpp lives through all that passes."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backends.errors import ModelError, ModelUnusable, NotAModel
from backends.models.gguf import HeaderIncomplete, read_header
from backends.models.headers import header_of
from tests.backends.models import open_models
from tests.backends.models.raw_gguf import BOOL, F32, I32, Q8_0_TYPE, STRING, U8, U16, U32, U64, Line, Raw, array
from tests.gguf_factory import write_random

GOOD = Raw()
TOKENS = "tokenizer.ggml.tokens"
NORM = Line("output_norm.weight", (32,))


def _lines(*lines: Line) -> Raw:
    return replace(GOOD, lines=lines)


DAMAGED: dict[str, tuple[Raw, str]] = {
    "magic": (replace(GOOD, magic=b"GGUG"), "not a GGUF"),
    "n_tensors -1": (replace(GOOD, n_tensors=-1), "claims"),
    "n_tensors too many": (replace(GOOD, n_tensors=100_001), "claims"),
    "no tensors": (replace(GOOD, lines=()), "claims 0 tensors"),
    "n_entries -1": (replace(GOOD, n_entries=-1), "claims"),
    "n_entries too many": (replace(GOOD, n_entries=10_001), "claims"),
    "one entry more than there is": (replace(GOOD, n_entries=11), "damaged"),
    "key empty": (GOOD.with_entry("", U32, 1), "empty or appears twice"),
    "key twice": (replace(GOOD, twice="llama.block_count"), "empty or appears twice"),
    "key not UTF-8": (GOOD.with_entry(b"\xff\xfe", U32, 1), "not text"),
    "key too long": (GOOD.with_entry("k" * 65_536, U32, 1), "impossibly long"),
    "value of unknown type": (GOOD.with_entry("x", 13, b"1234"), "unknown type"),
    "list of unknown type": (GOOD.with_entry("x", 9, b"\x0d\0\0\0" + bytes(8)), "unknown type"),
    "list of lists": (GOOD.with_entry("x", 9, b"\x09\0\0\0" + bytes(8)), "unknown type"),
    "list beyond the file": (GOOD.with_entry("x", *array(U8, [], count=2**40)), "past the end"),
    "list whose bytes overflow": (GOOD.with_entry("x", *array(U64, [], count=2**61)), "past the end"),
    "texts beyond the file": (GOOD.with_entry("x", *array(STRING, [], count=10**6)), "past the end"),
    "texts without end": (GOOD.with_entry("x", *array(STRING, [], count=2**63)), "impossibly long"),
    "architecture no text": (GOOD.with_entry("general.architecture", U32, 1), "not a text"),
    "alignment 0": (GOOD.with_entry("general.alignment", U32, 0), "power of two"),
    "alignment 24": (GOOD.with_entry("general.alignment", U32, 24), "power of two"),
    "alignment of wrong type": (GOOD.with_entry("general.alignment", U64, 32), "power of two"),
    "layers 0": (GOOD.with_entry("llama.block_count", U32, 0), "claims 0 layers"),
    "layers 513": (GOOD.with_entry("llama.block_count", U32, 513), "claims 513 layers"),
    "heads 0": (GOOD.with_entry("llama.attention.head_count", U32, 0), "size in its header"),
    "heads do not divide": (GOOD.with_entry("llama.attention.head_count", U32, 5), "does not divide"),
    "kv heads do not divide": (GOOD.with_entry("llama.attention.head_count_kv", U32, 3), "do not divide"),
    "kv heads more than heads": (GOOD.with_entry("llama.attention.head_count_kv", U32, 8), "do not divide"),
    "width beyond int32": (GOOD.with_entry("llama.embedding_length", U32, 2**31), "size in its header"),
    "vocabulary empty": (GOOD.with_entry(TOKENS, *array(STRING, [])), "vocabulary is empty"),
    "vocabulary too long": (GOOD.with_entry(TOKENS, *array(STRING, [], count=2**20 + 1)), "vocabulary is impossibly"),
    "vocabulary no texts": (GOOD.with_entry(TOKENS, *array(U32, [1, 2, 3])), "not a list of texts"),
    "vocabulary no list": (GOOD.with_entry(TOKENS, U32, 3), "not a list of texts"),
    "token twice": (GOOD.with_entry(TOKENS, *array(STRING, ["a", "b", "a"])), "same token twice"),
    "tokens equal up to a zero byte": (GOOD.with_entry(TOKENS, *array(STRING, ["a\0b", "c", "a\0d"])), "same token"),
    "token named as llama.cpp names an empty one": (
        GOOD.with_entry(TOKENS, *array(STRING, ["[EMPTY_1]", "", "x"])),
        "same token twice",
    ),
    "scores of wrong type": (GOOD.with_entry("tokenizer.ggml.scores", *array(U8, [1, 1, 1])), "beside its vocabulary"),
    "scores too short": (GOOD.with_entry("tokenizer.ggml.scores", *array(F32, [1.0, 1.0])), "beside its vocabulary"),
    "token types too long": (
        GOOD.with_entry("tokenizer.ggml.token_type", *array(I32, [1] * 4)),
        "beside its vocabulary",
    ),
    "token types no list": (GOOD.with_entry("tokenizer.ggml.token_type", I32, 1), "beside its vocabulary"),
    "special token outside": (GOOD.with_entry("tokenizer.ggml.eos_token_id", U32, 3), "special token"),
    "special token no number": (GOOD.with_entry("tokenizer.ggml.eos_token_id", BOOL, True), "special token"),
    "part number of wrong type": (GOOD.with_entry("split.no", U32, 0), "part number"),
    "part without its number": (GOOD.with_entry("split.count", U16, 2), "which part"),
    "tensor name empty": (_lines(Line("", (32,))), "name is empty"),
    "tensor name of 64 bytes": (_lines(Line("n" * 64, (32,))), "too long"),
    "tensor twice": (_lines(replace(NORM, size_bytes=128), NORM), "appears twice"),
    "no dimensions": (_lines(Line("t", ())), "number of dimensions"),
    "5 dimensions": (_lines(Line("t", (1, 1, 1, 1, 1))), "number of dimensions"),
    "dimension 0": (_lines(Line("t", (0,))), "impossible size"),
    "dimension -1": (_lines(Line("t", (-1,))), "impossible size"),
    "too many elements": (_lines(Line("t", (2**26, 2**25))), "impossible size"),
    "elements overflow to few": (_lines(Line("t", (2**32, 2**32))), "impossible size"),
    "row of half a block": (_lines(Line("t", (48,), Q8_0_TYPE)), "whole blocks"),
    "type far out": (_lines(Line("t", (32,), 2**31)), "impossible size"),
    "offset not aligned": (_lines(Line("t", (32,), offset=8)), "place"),
    "offset not the next": (_lines(replace(NORM, size_bytes=128), Line("t", (32,), offset=64)), "place"),
    "gap between tensors": (_lines(replace(NORM, size_bytes=128), Line("t", (32,), offset=1024)), "place"),
    "data missing": (replace(GOOD, data_bytes=511), "1 bytes too early"),
    "no data": (replace(GOOD, data_bytes=0), "too early"),
}

UNUSABLE: dict[str, tuple[Raw, str]] = {
    "version 0": (replace(GOOD, version=0), "version 0"),
    "version 1": (replace(GOOD, version=1), "version 1"),
    "version of the future": (replace(GOOD, version=4), "version 4"),
    "other byte order": (replace(GOOD, version=3 << 24), "byte order"),
    "type removed from llama.cpp": (_lines(Line("t", (32,), 31)), "old way"),
    "type of the future": (_lines(Line("t", (32,), 43)), "number 43"),
    "vision": (GOOD.with_entry("general.architecture", STRING, "mllama"), "Vision"),
    "image part": (GOOD.with_entry("general.architecture", STRING, "clip"), "image part"),
    "adapter": (GOOD.with_entry("general.type", STRING, "adapter"), "LoRA"),
}


def _read(data: bytes) -> None:
    read_header(data, name="x.gguf", file_bytes=len(data))


def test_the_header_that_the_others_are_made_from_is_good() -> None:
    header = read_header(GOOD.file(), name="x.gguf", file_bytes=len(GOOD.file()))
    assert (header.n_tokens, len(header.tensors), header.warnings) == (3, 2, ())


@pytest.mark.parametrize("case", DAMAGED)
def test_damage(case: str) -> None:
    raw, says = DAMAGED[case]
    with pytest.raises(NotAModel) as caught:
        _read(raw.file())
    assert says in caught.value.problem.what
    assert caught.value.problem.what.startswith("x.gguf is ")


@pytest.mark.parametrize("case", UNUSABLE)
def test_sound_but_not_for_us(case: str) -> None:
    raw, says = UNUSABLE[case]
    with pytest.raises(ModelUnusable) as caught:
        _read(raw.file())
    assert says in caught.value.problem.what
    assert caught.value.problem.fix


def test_a_length_that_no_text_has() -> None:
    data = GOOD.file()
    at = data.index(b"llama") - 8
    for length in (2**24 + 1, 2**63, 2**64 - 1):
        with pytest.raises(NotAModel, match="impossibly long"):
            _read(data[:at] + length.to_bytes(8, "little") + data[at + 8 :])


def test_many_lists_of_texts_are_limited_together(tmp_path: Path) -> None:
    """Each alone is allowed; seven of the longest took 9 seconds and 630 MiB to read."""
    one = array(STRING, [], count=2**20)[1] + bytes(8 * 2**20)
    data = GOOD.with_entry("a", 9, one).with_entry("b", 9, one).with_entry("c", 9, one).file()
    with pytest.raises(NotAModel, match="a list in its header is impossibly long"):
        _read(data)
    with pytest.raises(NotAModel, match="a list in its header is impossibly long"):
        header_of(_written(tmp_path, data))


def test_a_header_ends_somewhere(tmp_path: Path) -> None:
    """Also where all of it has been read already, and where it is in memory only."""
    content = array(U8, [], count=64 * 2**20)[1] + bytes(64 * 2**20)
    data = GOOD.with_entry("x", 9, content).file()
    with pytest.raises(NotAModel, match="its header is impossibly long"):
        _read(data)
    with pytest.raises(NotAModel, match="its header is impossibly long"):
        header_of(_written(tmp_path, data))
    shorter = array(U8, [], count=63 * 2**20)[1] + bytes(63 * 2**20)
    header, _stamp = header_of(_written(tmp_path, GOOD.with_entry("x", 9, shorter).file()))
    assert header.is_llama


def _written(folder: Path, data: bytes) -> Path:
    path = folder / "x.gguf"
    path.write_bytes(data)
    return path


ALLOWED: dict[str, Raw] = {
    "version 2": replace(GOOD, version=2),
    "an unknown architecture": GOOD.with_entry("general.architecture", STRING, "lxxma"),
    "no architecture": GOOD.without("general.architecture"),
    "several empty tokens": GOOD.with_entry(TOKENS, *array(STRING, ["", "", "x"])),
    "a special token that is none": GOOD.with_entry("tokenizer.ggml.padding_token_id", U32, 2**32 - 1),
    "scores as whole numbers": GOOD.with_entry("tokenizer.ggml.scores", *array(I32, [1, 2, 3])),
    "a name of 63 bytes": _lines(Line("n" * 63, (32,))),
    "a text that is not UTF-8": GOOD.with_entry("general.name", STRING, b"\xff"),
    "the first part, which may hold no tensors": replace(GOOD, lines=())
    .with_entry("split.no", U16, 0)
    .with_entry("split.count", U16, 2)
    .with_entry("split.tensors.count", I32, 2),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_unusual_but_allowed(case: str) -> None:
    _read(ALLOWED[case].file())


def test_other_architectures_are_let_through_with_a_warning() -> None:
    data = ALLOWED["an unknown architecture"].file()
    header = read_header(data, name="x.gguf", file_bytes=len(data))
    assert not header.is_llama
    assert len(header.warnings) == 1
    assert "lxxma" in header.warnings[0]


def test_every_cut_is_refused_or_asks_for_more() -> None:
    header = GOOD.header()
    for cut in range(4, len(header)):
        with pytest.raises(NotAModel, match=r"past the end|too early"):
            read_header(header[:cut], name="x", file_bytes=cut)
        with pytest.raises(HeaderIncomplete) as caught:
            read_header(header[:cut], name="x")
        assert cut < caught.value.at_least_bytes <= len(header)


def _mutations(data: bytes, header_bytes: int, count: int) -> list[bytes]:
    rng = random.Random(20_261_123)
    extremes = [0, 1, 513, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
    steps: tuple[Callable[[bytearray, int], None], ...] = (
        lambda changed, at: changed.__setitem__(at, rng.randrange(256)),
        lambda changed, at: changed.__setitem__(at, changed[at] ^ (1 << rng.randrange(8))),
        lambda changed, at: changed.__setitem__(slice(at, at + 8), rng.choice(extremes).to_bytes(8, "little")),
        lambda changed, at: changed.__delitem__(slice(at, at + rng.randint(1, 8))),
        lambda changed, at: changed.__setitem__(slice(at, at), rng.randbytes(rng.randint(1, 8))),
        lambda changed, at: changed.__delitem__(slice(at, None)),
    )
    mutated = []
    for _ in range(count):
        changed = bytearray(data)
        for step in rng.choices(steps, weights=(6, 6, 2, 1, 1, 1), k=rng.randint(1, 3)):
            step(changed, rng.randrange(min(header_bytes, len(changed)) or 1))
            if not changed:
                changed = bytearray(b"G")
        mutated.append(bytes(changed))
    return mutated


def test_a_mutated_header_is_read_or_refused_and_what_is_read_never_ends_llama_cpp(tmp_path: Path) -> None:
    data = write_random(tmp_path / "tiny.gguf").read_bytes()
    header_bytes = read_header(data, name="tiny").header_bytes
    passed = []
    for number, changed in enumerate(_mutations(data, header_bytes, 800)):
        try:
            read_header(changed, name="mutated", file_bytes=len(changed))
        except ModelError:
            continue
        passed.append(tmp_path / f"{number}.gguf")
        passed[-1].write_bytes(changed)
    assert 20 < len(passed) < 780
    done = subprocess.run(
        [sys.executable, open_models.__file__, *map(str, passed)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"llama.cpp aborted on {done.stdout.splitlines()[-1]}: {done.stderr[-500:]}"
