"""What the values of a header must be for llama.cpp to load it, and what kind of model they tell of. Must not read.

Only Llama is promised. Other architectures that llama.cpp may know are let through, within the same limits, and said to
be others.
"""

from __future__ import annotations

from backends.errors import ModelUnusable
from backends.models.gguf_cursor import STRING, Damaged
from backends.models.gguf_entries import TOKENS, Entries
from backends.models.gguf_types import DEFAULT_ALIGNMENT
from backends.models.records import Shape

LLAMA = "llama"
MAX_LAYERS = 512
MAX_SIZE = 2**31
NO_TOKEN = 2**32 - 1  # how some converters write "none"
ALIGNMENT = "general.alignment"
ARCHITECTURE = "general.architecture"
SPLIT_NUMBER, SPLIT_COUNT, SPLIT_TENSORS = "split.no", "split.count", "split.tensors.count"
U16, U32, I32, F32 = 2, 4, 5, 6
TOKEN_LISTS = {"tokenizer.ggml.scores": (F32, I32), "tokenizer.ggml.token_type": (I32,)}
OTHER_KINDS = {
    "adapter": "an adapter for a model (LoRA)",
    "mmproj": "the image part of a model",
    "imatrix": "a table for making quants",
}
OTHER_ARCHITECTURES = {"clip": "the image part of a model"}
VISION_ARCHITECTURES = ("mllama",)


def alignment_of(entries: Entries) -> int:
    """What tensors are aligned to, in bytes; raises Damaged."""
    if ALIGNMENT not in entries.kinds:
        return DEFAULT_ALIGNMENT
    alignment = entries.integer(ALIGNMENT)
    if entries.kinds[ALIGNMENT] != U32 or not alignment or alignment & (alignment - 1):
        raise Damaged("its alignment is not a power of two")
    return alignment


def check_entries(entries: Entries) -> None:
    """Raises Damaged where llama.cpp would fail on a value, ModelUnusable where the file is no model for a chat."""
    if ARCHITECTURE in entries.kinds and entries.kinds[ARCHITECTURE] != STRING:
        raise Damaged("its architecture is not a text")
    _check_kind(entries)
    _check_split(entries)
    _check_sizes(entries)
    _check_tokens(entries)


def shape_of(entries: Entries, *, tied: bool) -> Shape | None:
    """The model's sizes, None where the header leaves one out or gives several, as some architectures do."""
    architecture = entries.text(ARCHITECTURE)
    if architecture is None:
        return None

    def size(name: str) -> int | None:
        return entries.integer(f"{architecture}.{name}")

    n_layers, hidden, ffn = size("block_count"), size("embedding_length"), size("feed_forward_length")
    n_heads, n_ctx_train = size("attention.head_count"), size("context_length")
    tokens = entries.arrays.get(TOKENS)
    vocab = tokens.count if tokens is not None else size("vocab_size")
    if not (n_layers and hidden and ffn and n_heads and n_ctx_train and vocab):
        return None
    n_kv_heads = size("attention.head_count_kv") or n_heads
    head_dim = size("attention.key_length") or hidden // n_heads
    sizes = (n_layers, hidden, ffn, n_heads, n_kv_heads, head_dim, vocab, n_ctx_train)
    return Shape(*sizes, tied=tied) if all(0 < value < MAX_SIZE for value in sizes) else None


def _check_kind(entries: Entries) -> None:
    architecture = entries.text(ARCHITECTURE)
    if architecture in VISION_ARCHITECTURES:
        raise ModelUnusable(
            "This is a Llama Vision model, and llama.cpp does not run those.",
            fix="Choose a text model of the catalogue.",
        )
    other = OTHER_KINDS.get(entries.text("general.type") or "") or OTHER_ARCHITECTURES.get(architecture or "")
    if other is not None:
        raise ModelUnusable(
            f"This file is {other}, not a model that answers.", fix="Choose the model's own .gguf file."
        )


def _check_split(entries: Entries) -> None:
    for key in (SPLIT_NUMBER, SPLIT_COUNT):
        if key in entries.kinds and entries.kinds[key] != U16:
            raise Damaged("its part number has the wrong type")
    count = entries.integer(SPLIT_COUNT)
    if count is None:
        return
    number, n_tensors = entries.integer(SPLIT_NUMBER), entries.integer(SPLIT_TENSORS)
    if number is None or n_tensors is None or (count > 1 and number >= count):
        raise Damaged("it does not say which part of a model it is")


def _check_sizes(entries: Entries) -> None:
    architecture = entries.text(ARCHITECTURE)
    layers = entries.integer(f"{architecture}.block_count")
    if layers is not None and not 1 <= layers <= MAX_LAYERS:
        raise Damaged(f"its header claims {layers:,} layers")
    if architecture == LLAMA:
        _check_heads(entries)


def _check_heads(entries: Entries) -> None:
    def size(name: str) -> int | None:
        return entries.integer(f"{LLAMA}.{name}")

    hidden, heads = size("embedding_length"), size("attention.head_count")
    kv_heads = size("attention.head_count_kv")
    for value in (hidden, heads, kv_heads, size("feed_forward_length"), size("context_length")):
        if value is not None and not 0 < value < MAX_SIZE:
            raise Damaged("a size in its header is impossible")
    if heads and hidden and hidden % heads and size("attention.key_length") is None:
        raise Damaged("its width does not divide by its heads")
    if heads and kv_heads and (kv_heads > heads or heads % kv_heads):
        raise Damaged("its heads do not divide by the heads that it keeps in memory")


def _check_tokens(entries: Entries) -> None:
    if TOKENS not in entries.kinds:
        return
    tokens = entries.arrays.get(TOKENS)
    if tokens is None or tokens.kind != STRING:
        raise Damaged("its vocabulary is not a list of texts")
    for key, kinds in TOKEN_LISTS.items():
        array = entries.arrays.get(key)
        if key in entries.kinds and (array is None or array.kind not in kinds or array.count != tokens.count):
            raise Damaged("a list beside its vocabulary has the wrong type or length")
    for key in entries.kinds:
        if key.startswith("tokenizer.ggml.") and key.endswith("_token_id"):
            _check_special(entries.integer(key), tokens.count)


def _check_special(token: int | None, n_tokens: int) -> None:
    if token is None or (token not in (-1, NO_TOKEN) and not 0 <= token < n_tokens):
        raise Damaged("a special token lies outside its vocabulary")
