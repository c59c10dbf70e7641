"""The header of real files: what it says, from disk, from a growing beginning, and from several parts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest

from backends.errors import ModelMissing, ModelUnusable, NotAModel
from backends.models.gguf import GgufHeader, HeaderIncomplete, join_parts, read_header
from backends.models.gguf_file import part_paths, read_file, read_model
from backends.models.gguf_types import REMOVED_TYPES, TYPE_BY_NUMBER
from backends.models.records import Shape
from backends.models.shapes import LLAMA_8B, LLAMA_70B
from tests.gguf_factory import LLAMA3_TEMPLATE, TINY, write_random
from tests.gguf_shapes import split_model, write_sparse

GUESS_BYTES = 64 * 1024


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Path:
    return write_random(folder / "tiny.gguf")


@pytest.fixture(scope="module")
def real_8b(folder: Path) -> Path:
    """As long a header as a published 8B has."""
    return write_sparse(folder / "8b.gguf", LLAMA_8B, "Q4_K_M", vocab="real")


def _fetched(path: Path, *, file_bytes: int | None) -> tuple[GgufHeader, int, int]:
    """The header as whoever fetches ranges reads it: with how many requests, and how many bytes."""
    have, requests = GUESS_BYTES, 1
    with path.open("rb") as file:
        while True:
            file.seek(0)
            try:
                return read_header(file.read(have), name=path.name, file_bytes=file_bytes), requests, have
            except HeaderIncomplete as more:
                have, requests = max(2 * have, more.at_least_bytes), requests + 1


def test_a_small_file(tiny: Path) -> None:
    header = read_model(tiny)
    assert header.shape == Shape(
        n_layers=TINY.n_layers,
        hidden=TINY.hidden,
        ffn=TINY.ffn,
        n_heads=TINY.n_heads,
        n_kv_heads=TINY.n_kv_heads,
        head_dim=TINY.head_dim,
        vocab=TINY.vocab,
        n_ctx_train=TINY.n_ctx_train,
        tied=True,
    )
    assert (header.architecture, header.name, header.quant) == ("llama", "tiny", "Q8_0")
    assert (header.n_tokens, header.tokeniser) == (TINY.vocab, "llama-bpe")
    assert header.chat_template_bytes == len(LLAMA3_TEMPLATE.encode())
    assert header.is_llama
    assert header.warnings == ()


def test_the_tensor_table_is_that_of_the_gguf_package(tiny: Path) -> None:
    header, reader = read_model(tiny), gguf.GGUFReader(tiny)
    assert [
        (
            tensor.name,
            tensor.dimensions,
            tensor.type.number,
            header.header_bytes + tensor.offset_bytes,
            tensor.size_bytes,
        )
        for tensor in header.tensors
    ] == [
        (tensor.name, tuple(map(int, tensor.shape)), tensor.tensor_type, tensor.data_offset, tensor.n_bytes)
        for tensor in reader.tensors
    ]
    assert header.file_bytes <= tiny.stat().st_size < header.file_bytes + header.alignment


def test_types_are_those_of_the_gguf_package() -> None:
    """Its sizes of Q8_1 are not ggml's, and its Q2_0 is newer than the package; neither stands in files."""
    for quant, (elements, size) in gguf.GGML_QUANT_SIZES.items():
        if quant.name != "Q8_1":
            type_ = TYPE_BY_NUMBER[int(quant)]
            assert (type_.name, type_.block_elements, type_.block_bytes) == (quant.name, elements, size)
    assert not REMOVED_TYPES & TYPE_BY_NUMBER.keys()


def test_the_header_of_an_8b_from_its_beginning(real_8b: Path) -> None:
    size = real_8b.stat().st_size
    whole = read_model(real_8b)
    assert whole.shape == LLAMA_8B
    assert whole.quant == "Q4_K_M"
    for file_bytes in (size, None):
        header, requests, fetched = _fetched(real_8b, file_bytes=file_bytes)
        assert header == whole
        assert requests <= 8
        assert fetched <= 2 * whole.header_bytes


def test_it_never_asks_for_more_than_the_header(real_8b: Path) -> None:
    header_bytes = read_model(real_8b).header_bytes
    with real_8b.open("rb") as file:
        beginning = file.read(header_bytes)
    assert read_header(beginning, name="8b").header_bytes == header_bytes
    for cut in range(100, header_bytes, header_bytes // 37):
        with pytest.raises(HeaderIncomplete) as caught:
            read_header(beginning[:cut], name="8b")
        assert cut < caught.value.at_least_bytes <= header_bytes


def test_400_000_texts_cost_little_more_than_cutting_them_out(real_8b: Path) -> None:
    """The loop that a start of the worker waits for, against the least that Python can do for as many texts."""
    data = _beginning(real_8b)

    def cut() -> None:
        for at in range(0, 400_000 * 16, 16):
            _ = data[at : at + 8]

    assert _cpu_seconds(lambda: read_header(data, name="8b")) < 10 * _cpu_seconds(cut)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(9 * 2**20)


def _cpu_seconds(work: Callable[[], object]) -> float:
    """The best of five, in processor time: other processes do not count."""
    times = []
    for _ in range(5):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def test_a_file_shorter_than_its_tensors(real_8b: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(_beginning(real_8b))
    with pytest.raises(NotAModel, match="too early"):
        read_file(cut)


def test_parts_are_one_model(tiny: Path, tmp_path: Path) -> None:
    parts = split_model(tiny, 3, tmp_path)
    header, whole = read_model(parts[0]), read_model(tiny)
    assert [tensor.name for tensor in header.tensors] == [tensor.name for tensor in whole.tensors]
    assert header.shape == whole.shape
    assert header.file_bytes <= sum(part.stat().st_size for part in parts)
    assert part_paths(parts[0], read_file(parts[0])) == parts


def test_a_part_alone_is_untied_only_with_all_the_others(tmp_path: Path) -> None:
    """The output matrix is in the last part, so only all parts tell that it is there."""
    whole = write_sparse(
        tmp_path / "untied.gguf", Shape(2, 64, 128, 2, 1, 32, 512, 2048, tied=False), "F16", template=None
    )
    parts = split_model(whole, 2, tmp_path)
    shape = read_model(parts[0]).shape
    assert shape is not None
    assert not shape.tied


def test_a_missing_part(tiny: Path, tmp_path: Path) -> None:
    parts = split_model(tiny, 3, tmp_path)
    parts[1].unlink()
    with pytest.raises(ModelMissing, match=r"has 3 parts, and tiny-00002-of-00003.gguf is missing"):
        read_model(parts[0])


def test_a_damaged_part(tiny: Path, tmp_path: Path) -> None:
    parts = split_model(tiny, 3, tmp_path)
    parts[2].write_bytes(parts[2].read_bytes()[:-40])
    with pytest.raises(NotAModel, match=r"tiny-00003-of-00003.gguf is damaged"):
        read_model(parts[0])


def test_not_the_first_part(tiny: Path, tmp_path: Path) -> None:
    parts = split_model(tiny, 3, tmp_path)
    with pytest.raises(ModelUnusable, match="part 2 of 3") as caught:
        read_model(parts[1])
    assert parts[0].name in caught.value.problem.fix


def test_a_renamed_part(tiny: Path, tmp_path: Path) -> None:
    parts = split_model(tiny, 3, tmp_path)
    renamed = parts[0].rename(tmp_path / "model.gguf")
    with pytest.raises(ModelUnusable, match="not named so"):
        read_model(renamed)


def test_parts_of_two_models(tiny: Path, tmp_path: Path) -> None:
    other = write_random(tmp_path / "other.gguf", seed=1)
    (tmp_path / "other").mkdir()
    parts, others = split_model(tiny, 2, tmp_path), split_model(other, 3, tmp_path / "other")
    headers = [read_file(path) for path in (parts[0], others[1])]
    with pytest.raises(NotAModel, match="do not belong together"):
        join_parts(headers, name="tiny")
    with pytest.raises(NotAModel, match="do not belong together"):
        join_parts([read_file(parts[0]), read_file(parts[0])], name="tiny")


def test_a_header_of_405b_size_is_read_without_its_weights(tmp_path: Path) -> None:
    path = write_sparse(tmp_path / "70b.gguf", LLAMA_70B, "Q8_0")
    assert path.stat().st_blocks * 512 < 10 * 2**20 < path.stat().st_size
    header = read_model(path)
    assert header.shape == LLAMA_70B
    assert len(header.tensors) == 724
