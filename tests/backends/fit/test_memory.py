"""What a Llama needs where, against figures that llama.cpp logged on real GPUs. Hundreds more: test_agreement."""

from __future__ import annotations

import pytest

from backends.fit.memory import Layout, batch_of, cells_of, compute_on, kv_bytes_per_layer, needs, weights_on
from backends.models.records import Shape, Weights
from backends.models.shapes import LLAMA_1B, LLAMA_3_8B, LLAMA_3B, LLAMA_8B, LLAMA_70B, LLAMA_405B
from backends.models.weights import weights_by_rule
from backends.records import KvType
from tests.backends.fit.machines import MIB, model


@pytest.mark.parametrize(("shape", "logged_mib"), [(LLAMA_8B, 4403.49), (LLAMA_70B, 39979.48)], ids=["8B", "70B"])
def test_weights_on_a_gpu_are_those_of_a_real_cuda_log(shape: Shape, logged_mib: float) -> None:
    on_gpu, on_host = weights_on(weights_by_rule(shape, "Q4_K_M"), Layout((shape.n_layers + 1,)))
    assert on_gpu / MIB == pytest.approx(logged_mib, abs=0.01)
    if shape == LLAMA_8B:
        assert on_host / MIB == pytest.approx(281.81, abs=0.01)


@pytest.mark.parametrize(
    ("shape", "mib_per_1k"),
    [(LLAMA_1B, 32), (LLAMA_3B, 112), (LLAMA_8B, 128), (LLAMA_70B, 320), (LLAMA_405B, 504)],
    ids=["1B", "3B", "8B", "70B", "405B"],
)
def test_kv_cache_per_thousand_tokens(shape: Shape, mib_per_1k: int) -> None:
    assert kv_bytes_per_layer(shape, 1024, "f16") * shape.n_layers == mib_per_1k * MIB


@pytest.mark.parametrize(("kv_type", "share"), [("f16", 1.0), ("q8_0", 34 / 64), ("q4_0", 18 / 64)])
def test_kv_types(kv_type: KvType, share: float) -> None:
    assert kv_bytes_per_layer(LLAMA_8B, 8192, kv_type) == share * kv_bytes_per_layer(LLAMA_8B, 8192, "f16")


def test_a_context_is_rounded_up_to_256_and_ends_where_training_did() -> None:
    assert cells_of(LLAMA_8B, 1) == 256
    assert cells_of(LLAMA_8B, 8193) == 8448
    assert cells_of(LLAMA_3_8B, 131_072) == 8192


def test_prompts_are_read_in_the_steps_that_the_worker_takes() -> None:
    assert batch_of(LLAMA_8B, 8192, None, on_gpu=True) == 512
    assert batch_of(LLAMA_8B, 8192, None, on_gpu=False) == 256
    assert batch_of(LLAMA_8B, 64, None, on_gpu=True) == 64
    assert batch_of(LLAMA_8B, 8192, 32, on_gpu=True) == 32
    assert batch_of(LLAMA_8B, 8192, 32, on_gpu=True, n_parallel=48) == 48


def test_the_last_layers_and_the_output_go_to_the_gpus() -> None:
    weights = Weights(embedding_bytes=100, layer_bytes=(1, 2, 4, 8), output_bytes=50, tied=False)
    assert weights_on(weights, Layout((1,))) == (50, 115)
    assert weights_on(weights, Layout((3,))) == (4 + 8 + 50, 103)
    assert weights_on(weights, Layout((2, 3))) == (1 + 2, 4 + 8 + 50, 100)
    assert weights_on(weights, Layout()) == (165,)


def test_a_tied_matrix_stands_twice_only_where_a_gpu_has_the_output() -> None:
    weights = Weights(embedding_bytes=100, layer_bytes=(1, 2), output_bytes=101, tied=True)
    assert weights_on(weights, Layout((3,))) == (1 + 2 + 101, 100)
    assert weights_on(weights, Layout()) == (100 + 1 + 2 + 1,)


def test_every_layer_is_somewhere_once() -> None:
    facts = model(LLAMA_8B)
    whole = sum(facts.weights.layer_bytes) + facts.weights.embedding_bytes + facts.weights.output_bytes
    for on_gpus in ((), (1,), (33,), (5, 9), (10, 10, 13)):
        each = needs(facts, Layout(on_gpus), 8192, "f16", None)
        assert sum(need.layers for need in each) == 33
        assert sum(need.weights_bytes for need in each) == whole
        assert sum(need.kv_bytes for need in each) == 1024 * MIB


def test_a_quantised_cache_costs_scratch_on_a_gpu() -> None:
    """CUDA turns one layer's whole cache into 16-bit floats: 512 MiB for an 8B at 128k, which eats much of the gain."""
    facts, whole = model(LLAMA_8B), Layout((33,))
    plain, _ = compute_on(facts, whole, 131_072, "f16", None)
    quantised, _ = compute_on(facts, whole, 131_072, "q8_0", None)
    assert (quantised - plain) / MIB == pytest.approx(436, abs=1)


def test_several_gpus_keep_inputs_for_four_batches() -> None:
    facts = model(LLAMA_8B)
    alone, _ = compute_on(facts, Layout((33,)), 131_072, "f16", None)
    first, _, _ = compute_on(facts, Layout((16, 17)), 131_072, "f16", None)
    assert first - alone > 3 * 128 * MIB, "three more attention masks"


def test_shared_memory_needs_no_copies() -> None:
    facts = model(LLAMA_8B)
    own, _ = compute_on(facts, Layout((33,)), 131_072, "f16", None)
    shared, _ = compute_on(facts, Layout((33,), shared=True), 131_072, "f16", None)
    assert own - shared >= 128 * MIB, "the mask is read where it lies"
