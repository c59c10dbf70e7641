"""The sizes of every Llama of the catalogue, and what follows from them alone. Must not know quants or files.

Sizes are those of the models' own config files; the parameter counts that follow from them are the published ones.
"""

from __future__ import annotations

from backends.models.records import Shape

VOCAB = 128_256
N_CTX_LLAMA_3 = 8_192
N_CTX_LLAMA_31 = 131_072


def _llama(
    n_layers: int,
    hidden: int,
    ffn: int,
    n_heads: int,
    *,
    n_kv_heads: int = 8,
    head_dim: int = 128,
    n_ctx_train: int = N_CTX_LLAMA_31,
    tied: bool = False,
) -> Shape:
    return Shape(
        n_layers=n_layers,
        hidden=hidden,
        ffn=ffn,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        vocab=VOCAB,
        n_ctx_train=n_ctx_train,
        tied=tied,
    )


LLAMA_1B = _llama(16, 2048, 8192, 32, head_dim=64, tied=True)
LLAMA_3B = _llama(28, 3072, 8192, 24, tied=True)
LLAMA_8B = _llama(32, 4096, 14_336, 32)
LLAMA_70B = _llama(80, 8192, 28_672, 64)
LLAMA_405B = _llama(126, 16_384, 53_248, 128)
# The release of July 2024 repeated its 8 KV heads to 16; some GGUF files are made from it and need twice the KV memory.
LLAMA_405B_16_KV_HEADS = _llama(126, 16_384, 53_248, 128, n_kv_heads=16)
LLAMA_3_8B = _llama(32, 4096, 14_336, 32, n_ctx_train=N_CTX_LLAMA_3)
LLAMA_3_70B = _llama(80, 8192, 28_672, 64, n_ctx_train=N_CTX_LLAMA_3)
# The text part of Llama 3.2 Vision, cross-attention layers counted as layers; nothing here can run them.
LLAMA_11B_VISION = _llama(40, 4096, 14_336, 32)
LLAMA_90B_VISION = _llama(100, 8192, 28_672, 64)

# As the catalogue's file names them.
SHAPES = {
    "1B": LLAMA_1B,
    "3B": LLAMA_3B,
    "8B": LLAMA_8B,
    "70B": LLAMA_70B,
    "405B-16": LLAMA_405B_16_KV_HEADS,
    "3-8B": LLAMA_3_8B,
    "3-70B": LLAMA_3_70B,
    "11B-vision": LLAMA_11B_VISION,
    "90B-vision": LLAMA_90B_VISION,
}


def has_rope_factors(shape: Shape) -> bool:
    """True from Llama 3.1 on: the file then holds a small table that stretches the positions."""
    return shape.n_ctx_train > N_CTX_LLAMA_3


def parameters(shape: Shape) -> int:
    """Weights of the model, a tied matrix counted once, as published."""
    attention = shape.hidden * shape.head_dim * (2 * shape.n_heads + 2 * shape.n_kv_heads)
    layer = attention + 3 * shape.hidden * shape.ffn + 2 * shape.hidden
    matrices = 1 if shape.tied else 2
    return shape.n_layers * layer + matrices * shape.vocab * shape.hidden + shape.hidden
