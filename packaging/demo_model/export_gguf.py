"""Writes a trained network and its vocabulary as a Q8_0 GGUF file that llama.cpp can load.

It must not know how the network was trained.
"""

from __future__ import annotations

import re
from pathlib import Path

import gguf
import numpy as np
from torch import Tensor

from bpe import Bpe
from chat import BEGIN, END_TURN, SPECIALS, TEMPLATE
from model import DemoLlama, Shape

DESCRIPTION = (
    "A tiny demo model of about 3 million parameters trained only on text about Nearfar. "
    "It shows how Nearfar works and is no measure of what local models can do."
)
LAYER_NAMES = {
    "attention_norm": "attn_norm",
    "attention.wq": "attn_q",
    "attention.wk": "attn_k",
    "attention.wv": "attn_v",
    "attention.wo": "attn_output",
    "ffn_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
OUTER_NAMES = {"embedding.weight": "token_embd.weight", "output_norm.weight": "output_norm.weight"}


def gguf_name(name: str) -> str:
    """The name that llama.cpp gives to a tensor of ours."""
    inner = re.fullmatch(r"blocks\.(\d+)\.(.+)\.weight", name)
    if inner is None:
        return OUTER_NAMES[name]
    return f"blk.{inner.group(1)}.{LAYER_NAMES[inner.group(2)]}.weight"


def add_about(writer: gguf.GGUFWriter) -> None:
    writer.add_name("Nearfar demo")
    writer.add_description(DESCRIPTION)
    writer.add_license("apache-2.0")
    writer.add_author("The Nearfar developers")
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def add_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.eps)
    writer.add_vocab_size(shape.vocab)


def add_vocabulary(writer: gguf.GGUFWriter, words: Bpe) -> None:
    tokens = words.tokens()
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types([control if token in SPECIALS else normal for token in tokens])
    writer.add_token_merges(words.merges())
    writer.add_bos_token_id(words.special(BEGIN))
    writer.add_eos_token_id(words.special(END_TURN))
    writer.add_eot_token_id(words.special(END_TURN))
    writer.add_pad_token_id(words.special(END_TURN))
    writer.add_add_bos_token(True)
    writer.add_chat_template(TEMPLATE)


def add_tensor(writer: gguf.GGUFWriter, name: str, weight: Tensor) -> None:
    """Matrices as Q8_0, the small norm vectors as they are."""
    data = weight.detach().float().numpy().astype(np.float32)
    if data.ndim < 2:
        writer.add_tensor(name, data)
        return
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)


def export(model: DemoLlama, words: Bpe, path: Path) -> None:
    """Write the file in one go beside its place, then move it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    writer = gguf.GGUFWriter(part, "llama")
    add_about(writer)
    add_shape(writer, model.shape)
    add_vocabulary(writer, words)
    for name, weight in model.named_parameters():
        add_tensor(writer, gguf_name(name), weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.replace(path)
