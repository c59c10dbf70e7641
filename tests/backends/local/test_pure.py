"""Small pure parts: figures out of llama.cpp's log, words for exit statuses, names of quants, threads."""

from __future__ import annotations

import signal

import pytest

from backends.local.endings import why_it_died
from backends.local.log_capture import read_figures
from backends.local.model import quant_name

GPU_LOG = """
load_tensors: offloaded 33/33 layers to GPU
load_tensors:   CPU_Mapped model buffer size =   281.81 MiB
load_tensors:        CUDA0 model buffer size =  4403.49 MiB
llama_kv_cache:      CUDA0 KV buffer size =  1024.00 MiB
sched_reserve:      CUDA0 compute buffer size =   258.50 MiB
sched_reserve:  CUDA_Host compute buffer size =    24.01 MiB
~llama_context:      CUDA0 compute buffer size is 258.5000 MiB, matches expectation of 258.5000 MiB
"""


def test_figures_of_a_gpu_load() -> None:
    figures = read_figures(GPU_LOG.splitlines())
    assert (figures.gpu_layers, figures.n_layers) == (33, 33)
    assert figures.weights_bytes == round(4685.30 * 2**20)
    assert figures.kv_bytes == 2**30
    assert figures.compute_bytes == round(282.51 * 2**20)
    assert figures.weight_buffers == ("CPU_Mapped", "CUDA0")


def test_a_log_that_says_nothing_gives_nothing() -> None:
    figures = read_figures([])
    assert figures.weights_bytes is figures.kv_bytes is figures.compute_bytes is figures.n_layers is None


@pytest.mark.parametrize(
    ("status", "log", "words"),
    [
        (-signal.SIGKILL, b"", "memory"),
        (-signal.SIGABRT, b"CUDA error: out of memory", "memory ran out"),
        (-signal.SIGABRT, b"ggml_gallocr_reserve_n: failed to allocate CUDA0 buffer of size", "memory ran out"),
        (-signal.SIGABRT, b"CUDA error 2 in cudaMalloc", "memory ran out"),
        (-signal.SIGABRT, b"terminate called after throwing an instance of 'std::bad_alloc'", "memory ran out"),
        (1, b"MemoryError", "memory ran out"),
        (-signal.SIGILL, b"", "processor"),
        (0xC000001D, b"", "processor"),
        (0xC0000005, b"", "crashed"),
        (1, b"ModuleNotFoundError: llama-cpp-python is not installed", "not installed correctly"),
        (1, b"", "unexpectedly"),
        (-250, b"", "unexpectedly"),
        (None, b"", "unexpectedly"),
    ],
)
def test_every_ending_has_words_and_no_number(status: int | None, log: bytes, words: str) -> None:
    problem = why_it_died(status, log).problem
    assert words in problem.what
    assert problem.fix
    assert not any(character.isdigit() for character in problem.sentence)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Q4_K - Medium", "Q4_K_M"),
        ("(guessed) Q5_K - Small", "Q5_K_S"),
        ("Q3_K - Large", "Q3_K_L"),
        ("Q2_K - Medium", "Q2_K"),
        ("Q8_0", "Q8_0"),
        ("IQ4_XS - 4.25 bpw", "IQ4_XS"),
        ("", None),
    ],
)
def test_quants_are_named_as_files_name_them(said: str, name: str | None) -> None:
    assert quant_name(said) == name
