"""The random-weight models that benchmarks run, made on the spot and kept. Must not know what is measured with them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import platformdirs

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.gguf_factory import LLAMA3_TEMPLATE, SHAPE_1B, SHAPE_56M, Shape, write_random

FOLDER = Path(platformdirs.user_cache_dir("nearfar")) / "benchmarks"
# A random answer begins with a space, which a trained model's does not: trimmed, it would be read as other tokens.
TEMPLATE = LLAMA3_TEMPLATE.replace(" | trim", "")
SHAPE_3M = Shape(vocab=8_000, hidden=128, ffn=384, n_layers=4, n_heads=4, n_kv_heads=2, n_ctx_train=8192)
SHAPES: dict[str, Shape] = {
    "3m": SHAPE_3M,
    "3m-long": replace(SHAPE_3M, n_ctx_train=32_768),
    "16m": Shape(vocab=16_000, hidden=320, ffn=960, n_layers=6, n_heads=5, n_kv_heads=5, n_ctx_train=8192),
    "56m": SHAPE_56M,
    "56m-long": replace(SHAPE_56M, n_ctx_train=32_768),
    "1b": SHAPE_1B,
}


def model_file(folder: Path, name: str) -> Path:
    """The random Q4_0 model of this shape, made once and kept in `folder`."""
    path = folder / f"words-{name}-q4_0.gguf"  # earlier ones, `random-`, said what they did not read again
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        print(f"making {path.name} ...", file=sys.stderr)
        write_random(path.with_suffix(".part"), SHAPES[name], kind="Q4_0", template=TEMPLATE).rename(path)
    return path
