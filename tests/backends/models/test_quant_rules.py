"""The rules against llama.cpp itself, and the sizes against published files and logs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backends.models.quant_rules import QUANTS
from backends.models.records import Shape
from backends.models.shapes import (
    LLAMA_1B,
    LLAMA_3_8B,
    LLAMA_3B,
    LLAMA_8B,
    LLAMA_70B,
    LLAMA_405B,
    LLAMA_405B_16_KV_HEADS,
    SHAPES,
    parameters,
)
from backends.models.tensor_table import data_bytes, file_bytes, tensor_table
from tests.backends.models import ask_llama_cpp
from tests.gguf_shapes import write_sparse

# Rows that do not divide into blocks of 256, nor the ffn's into 32: the types that stand in.
ODD = Shape(
    n_layers=17, hidden=320, ffn=432, n_heads=5, n_kv_heads=5, head_dim=64, vocab=512, n_ctx_train=512, tied=False
)
ASKED = {
    "1B": (LLAMA_1B, True),
    "3B": (LLAMA_3B, True),
    "3B without imatrix": (LLAMA_3B, False),
    "8B": (LLAMA_8B, True),
    "8B without imatrix": (LLAMA_8B, False),
    "3 8B": (LLAMA_3_8B, True),
    "70B": (LLAMA_70B, True),
    "70B without imatrix": (LLAMA_70B, False),
    "405B": (LLAMA_405B, True),
    "405B of the first release": (LLAMA_405B_16_KV_HEADS, True),
    "odd": (ODD, True),
    "odd without imatrix": (ODD, False),
}


@pytest.mark.parametrize("case", ASKED)
def test_llama_cpp_gives_every_tensor_the_same_type(case: str, tmp_path: Path) -> None:
    """All quants, by llama.cpp's own dry run over an F16 file of that shape."""
    shape, imatrix = ASKED[case]
    shape = replace(shape, vocab=512)  # which no rule looks at, and which takes llama.cpp most of the time
    path = write_sparse(tmp_path / "f16.gguf", shape, "F16")
    quants = [f"{quant}={number}" for quant, (number, _) in QUANTS.items()]
    asked = [sys.executable, ask_llama_cpp.__file__, str(path), str(imatrix).lower(), *quants]
    answer = json.loads(subprocess.run(asked, capture_output=True, text=True, timeout=300, check=True).stdout)
    for quant in QUANTS:
        ours = {tensor.name: tensor.type.name for tensor in tensor_table(shape, quant, imatrix=imatrix)}
        assert ours == answer[quant], quant


def test_parameters_are_the_published_ones() -> None:
    assert [parameters(shape) for shape in (LLAMA_1B, LLAMA_3B, LLAMA_8B, LLAMA_70B, LLAMA_405B)] == [
        1_235_814_400,
        3_212_749_824,
        8_030_261_248,
        70_553_706_496,
        405_853_388_800,
    ]
    assert {shape.vocab for shape in SHAPES.values()} == {128_256}


# Weights on the GPU in MiB: all but the input embedding, or all where it is also the output.
ON_GPU_MIB = {
    "1B": {
        "IQ2_M": 484.1,
        "Q2_K": 546.5,
        "IQ3_M": 619.4,
        "Q4_0": 729.7,
        "Q4_K_M": 762.8,
        "Q6_K": 967.0,
        "Q8_0": 1252.4,
    },
    "3B": {"Q2_K": 1293.3, "Q3_K_M": 1601.5, "IQ4_XS": 1736.9, "Q4_K_S": 1831.4, "Q5_K_M": 2207.1, "F16": 6128.2},
    "8B": {"IQ2_M": 2589.0, "IQ3_M": 3386.7, "Q4_0": 4170.0, "Q4_K_M": 4403.5, "Q5_K_M": 5115.5, "Q8_0": 7605.3},
    "70B": {"Q2_K": 24817.0, "Q3_K_M": 32242.0, "IQ4_XS": 35607.0, "Q4_K_M": 39979.5, "Q6_K": 54377.0, "F16": 132569.0},
}


@pytest.mark.parametrize("name", ON_GPU_MIB)
def test_weights_on_the_gpu(name: str) -> None:
    shape = SHAPES[name]
    for quant, mib in ON_GPU_MIB[name].items():
        tensors = tensor_table(shape, quant)
        on_gpu = sum(tensor.size_bytes for tensor in tensors) - (0 if shape.tied else tensors[0].size_bytes)
        assert on_gpu / 2**20 == pytest.approx(mib, abs=0.06), quant


@pytest.mark.parametrize(("shape", "logged_mib"), [(LLAMA_8B, 4403.49), (LLAMA_70B, 39979.48)])
def test_model_buffers_in_public_cuda_logs(shape: Shape, logged_mib: float) -> None:
    tensors = tensor_table(shape, "Q4_K_M")
    assert round(sum(tensor.size_bytes for tensor in tensors[1:]) / 2**20, 2) == pytest.approx(logged_mib, abs=0.005)


def test_offsets_follow_one_another() -> None:
    tensors = tensor_table(LLAMA_8B, "Q5_K_M")
    last = tensors[-1]
    assert last.offset_bytes + last.size_bytes == data_bytes(tensors)
    assert all(tensor.offset_bytes % 32 == 0 for tensor in tensors)


def test_a_published_file_to_20_kb() -> None:
    assert file_bytes(LLAMA_8B, "Q4_K_M") == pytest.approx(4_920_739_232, abs=20_000)


def test_a_quant_without_rules() -> None:
    with pytest.raises(KeyError):
        tensor_table(LLAMA_8B, "UD-Q4_K_XL")
