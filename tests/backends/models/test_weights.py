"""Where the bytes lie: by rule and by header they agree, and a mixture without rules keeps its total."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.errors import ModelUnusable
from backends.models.gguf import read_header
from backends.models.gguf_file import read_file, read_model
from backends.models.records import Shape
from backends.models.shapes import LLAMA_1B, LLAMA_3_8B, LLAMA_3B, LLAMA_8B, LLAMA_70B, LLAMA_405B
from backends.models.tensor_table import data_bytes, tensor_table
from backends.models.weights import (
    facts_by_rule,
    facts_from_header,
    weights_by_rule,
    weights_by_size,
    weights_file_bytes,
    weights_from,
)
from tests.backends.models.raw_gguf import Raw
from tests.gguf_factory import write_random
from tests.gguf_shapes import split_model, write_sparse


@pytest.mark.parametrize("quant", ["Q4_K_M", "IQ3_M", "F16"])
@pytest.mark.parametrize("shape", [LLAMA_1B, LLAMA_3B, LLAMA_8B, LLAMA_3_8B, LLAMA_70B, LLAMA_405B])
def test_rule_and_header_agree(shape: Shape, quant: str, tmp_path: Path) -> None:
    header = read_model(write_sparse(tmp_path / "model.gguf", shape, quant))
    by_header = facts_from_header(header, name="model")
    by_rule = facts_by_rule("model", quant, shape)
    assert by_header.from_header
    assert not by_rule.from_header
    assert (by_header.shape, by_header.quant, by_header.weights) == (shape, quant, by_rule.weights)
    assert weights_file_bytes(by_rule.weights) == data_bytes(tensor_table(shape, quant))
    assert weights_file_bytes(by_rule.weights) + header.header_bytes == header.file_bytes


def test_layers_differ_where_the_quant_mixes() -> None:
    """Q4_K_M gives the first and last eighth and every third layer more bits."""
    layers = weights_by_rule(LLAMA_8B, "Q4_K_M").layer_bytes
    assert len(set(layers[1:])) == 2
    assert layers[1] == layers[3] == layers[6] == layers[31] > layers[4] == layers[5]
    assert layers[0] == layers[1] + 64 * 4, "the table that stretches positions"


def test_an_untied_embedding_stays_off_the_gpu() -> None:
    weights = weights_by_rule(LLAMA_8B, "Q4_K_M")
    assert weights.embedding_bytes / 2**20 == pytest.approx(281.81, abs=0.005)
    assert (weights.output_bytes + sum(weights.layer_bytes)) / 2**20 == pytest.approx(4403.49, abs=0.005)


def test_a_tied_matrix_stands_once_in_the_file_and_is_copied_for_the_gpu() -> None:
    weights = weights_by_rule(LLAMA_1B, "Q4_K_M")
    assert weights.tied
    assert weights.output_bytes == weights.embedding_bytes + 2048 * 4
    assert (weights.output_bytes + sum(weights.layer_bytes)) / 2**20 == pytest.approx(762.8, abs=0.05)


def test_parts_have_the_weights_of_the_whole(tmp_path: Path) -> None:
    whole = write_random(tmp_path / "tiny.gguf")
    assert weights_from(read_model(split_model(whole, 3)[0])) == weights_from(read_file(whole))


def test_a_mixture_without_rules_keeps_its_total() -> None:
    size = 2_060_886_464  # Llama 3.2 3B UD-Q4_K_XL
    weights = weights_by_size(LLAMA_3B, size)
    assert weights_file_bytes(weights) == pytest.approx(size - 7_850_000, abs=1000)
    assert weights.embedding_bytes == weights_by_rule(LLAMA_3B, "Q4_K_M").embedding_bytes
    assert facts_by_rule("3B", "UD-Q4_K_XL", LLAMA_3B, size_bytes=size).weights == weights
    with pytest.raises(KeyError):
        facts_by_rule("3B", "UD-Q4_K_XL", LLAMA_3B)


def test_a_header_without_sizes_has_no_facts() -> None:
    header = read_header(Raw().without("llama.context_length").file(), name="x")
    with pytest.raises(ModelUnusable, match="how large"):
        facts_from_header(header, name="x")
