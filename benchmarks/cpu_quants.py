"""Measures how fast a CPU core reads each quant: bytes per second of decoding, on one thread. Must not touch the app.

Makes a Llama of 0.6 billion random weights, quantises it with llama.cpp (some minutes), and decodes 24 tokens of each.
The figures behind `CORE_GB_S` in backends/fit/speed.py come from here. The machine should be idle.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import llama_cpp
import platformdirs

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.gguf_factory import Shape, write_random

SHAPE = Shape(vocab=32_000, hidden=2048, ffn=8192, n_layers=8, n_heads=32, n_kv_heads=8, n_ctx_train=8192)
QUANTS = {"Q8_0": 7, "Q6_K": 18, "Q5_K_M": 17, "Q4_K_M": 15, "IQ4_XS": 30, "Q3_K_M": 12, "IQ3_S": 26}
N_TOKENS = 24
ROUNDS = 2


def quantised(folder: Path) -> dict[str, Path]:
    """A file per quant, made where it is not there."""
    source = folder / "cpu-quants-F16.gguf"
    if not source.exists():
        write_random(source, SHAPE, kind="F16")
    files = {}
    for quant, number in QUANTS.items():
        files[quant] = folder / f"cpu-quants-{quant}.gguf"
        if files[quant].exists():
            continue
        partial = files[quant].with_suffix(".part")
        options = llama_cpp.llama_model_quantize_default_params()
        options.ftype = number
        if llama_cpp.llama_model_quantize(str(source).encode(), str(partial).encode(), ctypes.byref(options)):
            raise SystemExit(f"llama.cpp could not make {quant}.")
        partial.rename(files[quant])
    return files


def seconds_per_token(path: Path, n_threads: int) -> float:
    """The median of some tokens, after four to warm up."""
    model = llama_cpp.Llama(str(path), n_ctx=512, n_threads=n_threads, verbose=False, flash_attn=True)
    model.eval([1, 2, 3, 4])
    times = []
    for token in range(5, 5 + N_TOKENS):
        start = time.perf_counter()
        model.eval([token])
        times.append(time.perf_counter() - start)
    model.close()
    return statistics.median(times)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, default=platformdirs.user_cache_path("nearfar") / "benchmarks")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    files = quantised(arguments.folder)
    best = dict.fromkeys(files, float("inf"))
    for _ in range(ROUNDS):  # in turns, so that a busy moment does not hit one quant alone
        for quant, path in files.items():
            best[quant] = min(best[quant], seconds_per_token(path, arguments.threads))
    for quant, seconds in best.items():
        size = files[quant].stat().st_size
        print(f"{quant:8} {size / 1e6:6.0f} MB {seconds * 1000:7.1f} ms {size / seconds / 1e9:6.1f} GB/s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
