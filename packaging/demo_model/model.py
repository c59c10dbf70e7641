"""The Llama architecture in PyTorch, just large enough for the demo model.

It must not know about text, files or training schedules.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """The sizes that llama.cpp needs to know to rebuild the same network."""

    vocab: int
    width: int = 192
    layers: int = 6
    heads: int = 6
    kv_heads: int = 3
    head_width: int = 32
    hidden: int = 512
    context: int = 2048
    rope_base: float = 10_000.0
    eps: float = 1e-5


def rotation_table(shape: Shape) -> Tensor:
    """Cosines and sines for every position, stacked in the first dimension."""
    pairs = torch.arange(0, shape.head_width, 2, dtype=torch.float32)
    speeds = shape.rope_base ** (-pairs / shape.head_width)
    angles = torch.outer(torch.arange(shape.context, dtype=torch.float32), speeds)
    return torch.stack((angles.cos(), angles.sin()))


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turn the neighbouring pairs (2i, 2i+1), the layout that GGUF calls llama."""
    cos, sin = table[0], table[1]
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2).to(x.dtype)


class Attention(nn.Module):
    """Causal self-attention with grouped key and value heads."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.wq = nn.Linear(shape.width, shape.heads * shape.head_width, bias=False)
        self.wk = nn.Linear(shape.width, shape.kv_heads * shape.head_width, bias=False)
        self.wv = nn.Linear(shape.width, shape.kv_heads * shape.head_width, bias=False)
        self.wo = nn.Linear(shape.heads * shape.head_width, shape.width, bias=False)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        rows, length, _ = x.shape
        groups = self.shape.heads // self.shape.kv_heads
        q = self.wq(x).view(rows, length, self.shape.heads, -1).transpose(1, 2)
        k = self.wk(x).view(rows, length, self.shape.kv_heads, -1).transpose(1, 2)
        v = self.wv(x).view(rows, length, self.shape.kv_heads, -1).transpose(1, 2)
        q, k = rotate(q, table), rotate(k, table)
        k = k.repeat_interleave(groups, dim=1)
        v = v.repeat_interleave(groups, dim=1)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.wo(mixed.transpose(1, 2).reshape(rows, length, -1))
        return out


class Block(nn.Module):
    """One transformer layer: attention, then the gated feed-forward part."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.width, eps=shape.eps)
        self.attention = Attention(shape)
        self.ffn_norm = nn.RMSNorm(shape.width, eps=shape.eps)
        self.gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x), table)
        inner = self.ffn_norm(x)
        out: Tensor = x + self.down(functional.silu(self.gate(inner)) * self.up(inner))
        return out


class DemoLlama(nn.Module):
    """The whole network, with one matrix for input and output embeddings."""

    table: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, eps=shape.eps)
        self.register_buffer("table", rotation_table(shape), persistent=False)
        self.reset()

    def reset(self) -> None:
        """Set the starting weights; the random seed is the caller's."""
        scale = (2 * self.shape.layers) ** -0.5
        for name, weight in self.named_parameters():
            if weight.dim() < 2:
                nn.init.ones_(weight)
            else:
                shrink = scale if name.endswith(("wo.weight", "down.weight")) else 1.0
                nn.init.normal_(weight, std=0.02 * shrink)

    def hidden_states(self, tokens: Tensor) -> Tensor:
        table = self.table[:, : tokens.shape[1]]
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, table)
        out: Tensor = self.output_norm(x)
        return out

    def logits_at(self, tokens: Tensor, wanted: Tensor) -> Tensor:
        """Scores over the vocabulary at the marked positions only."""
        return functional.linear(self.hidden_states(tokens)[wanted], self.embedding.weight)

    def parameter_count(self) -> int:
        return sum(weight.numel() for weight in self.parameters())
