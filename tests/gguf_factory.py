"""Makes small Llama GGUF files with random weights, or weights that spell a given text. Must not know the app's code.

Two kinds of model, both real files for real llama.cpp:

- random weights in any Llama shape, in F16, Q8_0 or Q4_0, drawn as ready-made blocks so that a 1B shape takes seconds;
- a *script*: the layers add nothing and the output matrix maps each token's embedding to the token that follows it, so
  greedy decoding spells a known text, token by token, and then ends or goes round for ever.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_lowercase
from typing import Any, Literal

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Quant

Kind = Literal["F16", "Q8_0", "Q4_0"]

BLOCK = 32
BOS, HEADER, END_HEADER, EOT, END_OF_TEXT = (
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|end_of_text|>",
)
SPECIALS = (BOS, END_OF_TEXT, HEADER, END_HEADER, EOT)
LLAMA3_TEMPLATE = (
    "{{- bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
MERGED = (
    *("the", "and", "you", "that", "was", "for", "are", "with", "this", "have", "from", "tok", "en", "model"),
    *("local", "cloud", "run", "what", "does", "mean", "how", "many"),
)


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama's sizes; every matrix row must divide by 32 for the block formats."""

    vocab: int = 512
    hidden: int = 64
    ffn: int = 128
    n_layers: int = 2
    n_heads: int = 2
    n_kv_heads: int = 1
    n_ctx_train: int = 2048
    rope_theta: float = 10_000.0

    @property
    def head_dim(self) -> int:
        return self.hidden // self.n_heads


TINY = Shape()
SHAPE_56M = Shape(vocab=32_000, hidden=512, ffn=1632, n_layers=12, n_heads=8, n_kv_heads=4, n_ctx_train=8192)
SHAPE_1B = Shape(
    vocab=128_256,
    hidden=2048,
    ffn=8192,
    n_layers=16,
    n_heads=32,
    n_kv_heads=8,
    n_ctx_train=131_072,
    rope_theta=500_000.0,
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Token strings in GPT-2's byte alphabet, their types, and the merges between them."""

    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]

    def id(self, token: str) -> int:
        return self.tokens.index(token)


def byte_alphabet() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte: itself where printable, else a letter from U+0100 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {byte: chr(byte) for byte in plain}
    for byte in range(256):
        if byte not in table:
            table[byte] = chr(0x100 + len(table) - len(plain))
    return table


ALPHABET = byte_alphabet()


def spell(piece: bytes) -> str:
    """Bytes as GPT-2's vocabulary writes them."""
    return "".join(ALPHABET[byte] for byte in piece)


def vocabulary(size: int, pieces: Sequence[bytes] = ()) -> Vocabulary:
    """All bytes, a few merged words, `pieces`, fillers up to `size`, and Llama-3's special tokens last.

    Fillers are words of letters, each with the merge that makes it of a shorter one: what a random model says is read
    again as the same tokens, as it is with a real one.
    """
    tokens: dict[str, None] = dict.fromkeys(ALPHABET.values())
    merges: dict[str, None] = {}
    for word in ["\n\n", *(f" {word}" for word in MERGED)]:
        spelled = spell(word.encode())
        for end in range(2, len(spelled) + 1):
            tokens[spelled[:end]] = None
            merges[f"{spelled[: end - 1]} {spelled[end - 1]}"] = None
    tokens.update(dict.fromkeys(spell(piece) for piece in pieces))
    for stem, letter in _growing_words():
        if len(tokens) >= size - len(SPECIALS):
            break
        tokens[stem + letter] = None
        merges[f"{stem} {letter}"] = None
    normal = len(tokens)
    names = (*tokens, *SPECIALS)
    types = (gguf.TokenType.NORMAL,) * normal + (gguf.TokenType.CONTROL,) * len(SPECIALS)
    return Vocabulary(names, types, tuple(merges))


def _growing_words() -> Iterator[tuple[str, str]]:
    """Every word of small letters, shorter ones first, as the word without its last letter and that letter."""
    stems = [spell(b" ")]
    while True:
        for stem in stems:
            yield from ((stem, letter) for letter in ascii_lowercase)
        stems = [stem + letter for stem in stems for letter in ascii_lowercase]


def write_random(
    path: Path,
    shape: Shape = TINY,
    *,
    kind: Kind = "Q8_0",
    seed: int = 0,
    template: str | None = LLAMA3_TEMPLATE,
    arrays: Mapping[str, Any] | None = None,
) -> Path:
    """A model with random weights and tied embeddings; `arrays` replaces header arrays such as the vocabulary.

    Its special tokens have embeddings of zero: their logits are 0 and never drawn, so it answers until it is stopped.
    """
    rng = np.random.default_rng(seed)
    writer = _writer(path, shape, vocabulary(shape.vocab), kind, template, arrays or {})
    _matrix(writer, "token_embd.weight", shape.vocab, shape.hidden, kind, rng, zero_rows=len(SPECIALS))
    _layers(writer, shape, kind, rng)
    _close(writer)
    return path


def write_script(
    path: Path,
    pieces: Sequence[bytes],
    *,
    loop_to: int | None = None,
    template: str | None = LLAMA3_TEMPLATE,
    start: bytes = b"\n\n",
    n_ctx_train: int = 2048,
) -> Path:
    """A model that answers `pieces` in order, then ends, or goes on at piece `loop_to` for ever.

    Each piece becomes one token, so no two may be equal. `start` is the text whose last token opens the answer.
    """
    if len(set(pieces)) != len(pieces):
        raise ValueError("the pieces of a script must differ")
    words = vocabulary(TINY.vocab, pieces)
    shape = replace(TINY, vocab=len(words.tokens), hidden=256, ffn=32, n_layers=1, n_ctx_train=n_ctx_train)
    rng = np.random.default_rng(7)
    embedding = rng.choice(np.array([-1.0, 1.0], dtype=np.float32), size=(shape.vocab, shape.hidden))
    chain = [words.id(spell(start)), *(words.id(spell(piece)) for piece in pieces)]
    chain.append(words.id(EOT) if loop_to is None else chain[1 + loop_to])
    output = np.zeros_like(embedding)
    for token, following in itertools.pairwise(chain):
        output[following] += embedding[token]
    writer = _writer(path, shape, words, "F16", template, {})
    writer.add_tensor("token_embd.weight", embedding.astype(np.float16))
    writer.add_tensor("output.weight", output.astype(np.float16))
    _layers(writer, shape, "F16", None)
    _close(writer)
    return path


def _writer(
    path: Path, shape: Shape, words: Vocabulary, kind: Kind, template: str | None, arrays: Mapping[str, Any]
) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(path.stem)
    writer.add_context_length(shape.n_ctx_train)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.n_layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.n_heads)
    writer.add_head_count_kv(shape.n_kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_vocab_size(shape.vocab)
    writer.add_file_type(
        {"F16": gguf.LlamaFileType.MOSTLY_F16, "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}.get(
            kind, gguf.LlamaFileType.MOSTLY_Q4_0
        )
    )
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(arrays.get("tokens", words.tokens))
    writer.add_token_types(words.types)
    writer.add_token_merges(words.merges)
    writer.add_bos_token_id(words.id(BOS))
    writer.add_eos_token_id(words.id(EOT))
    if template is not None:
        writer.add_chat_template(template)
    return writer


def _layers(writer: gguf.GGUFWriter, shape: Shape, kind: Kind, rng: np.random.Generator | None) -> None:
    kv = shape.n_kv_heads * shape.head_dim
    sizes = {
        "attn_q": (shape.hidden, shape.hidden),
        "attn_k": (kv, shape.hidden),
        "attn_v": (kv, shape.hidden),
        "attn_output": (shape.hidden, shape.hidden),
        "ffn_gate": (shape.ffn, shape.hidden),
        "ffn_up": (shape.ffn, shape.hidden),
        "ffn_down": (shape.hidden, shape.ffn),
    }
    for layer in range(shape.n_layers):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(shape.hidden, dtype=np.float32))
        for name, (rows, columns) in sizes.items():
            _matrix(writer, f"blk.{layer}.{name}.weight", rows, columns, kind, rng)
    writer.add_tensor("output_norm.weight", np.ones(shape.hidden, dtype=np.float32))


def _matrix(
    writer: gguf.GGUFWriter,
    name: str,
    rows: int,
    columns: int,
    kind: Kind,
    rng: np.random.Generator | None,
    *,
    zero_rows: int = 0,
) -> None:
    """Weights of variance 1 / columns, so that activations keep their size; zeros without `rng` or in the last rows."""
    if rng is None:
        writer.add_tensor(name, np.zeros((rows, columns), dtype=np.float16))
    elif kind == "F16":
        weights = rng.standard_normal((rows, columns), dtype=np.float32) / np.sqrt(columns)
        weights[rows - zero_rows :] = 0
        writer.add_tensor(name, weights.astype(np.float16))
    else:
        blocks = _blocks(rows, columns, kind, rng)
        blocks[rows - zero_rows :, :, :2] = 0
        writer.add_tensor(name, blocks.reshape(rows, -1), raw_dtype=Quant[kind])


def _blocks(rows: int, columns: int, kind: Kind, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Blocks of 32 weights: a float16 scale, then 32 signed bytes (Q8_0) or 16 bytes of two 4-bit weights (Q4_0)."""
    deviation, payload = (73.9, 32) if kind == "Q8_0" else (4.61, 16)
    scale = np.float16(1 / (deviation * np.sqrt(columns)))
    blocks = np.empty((rows, columns // BLOCK, 2 + payload), dtype=np.uint8)
    blocks[:, :, :2] = np.frombuffer(scale.tobytes(), dtype=np.uint8)
    blocks[:, :, 2:] = rng.integers(0, 256, size=(rows, columns // BLOCK, payload), dtype=np.uint8)
    return blocks


def _close(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
