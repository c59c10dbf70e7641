"""The Llama 3 chat format: its special tokens, its template, and tokens with loss weights.

It must not know which questions exist or how the network is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

BEGIN = "<|begin_of_text|>"
END = "<|end_of_text|>"
START_HEADER = "<|start_header_id|>"
END_HEADER = "<|end_header_id|>"
END_TURN = "<|eot_id|>"
SPECIALS = (BEGIN, END, START_HEADER, END_HEADER, END_TURN)

TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{% endif %}"
)

DECISION_TOKENS = 4
DECISION_WEIGHT = 5.0


@dataclass(frozen=True)
class Message:
    """One turn; `limit` shows training only the first tokens of an answer."""

    role: str
    content: str
    limit: int | None = None


@dataclass
class Tokens:
    """Token ids, each with the weight that the loss gives to predicting it."""

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, ids: Sequence[int], weights: Sequence[float] | None = None) -> None:
        self.ids.extend(ids)
        self.weights.extend(weights or [0.0] * len(ids))


class Encoder(Protocol):
    """What the chat format needs of a tokeniser."""

    def special(self, name: str) -> int: ...

    def encode(self, text: str) -> list[int]: ...


def header(encoder: Encoder, role: str) -> list[int]:
    start, end = encoder.special(START_HEADER), encoder.special(END_HEADER)
    return [start, *encoder.encode(role), end, *encoder.encode("\n\n")]


def answer_weights(count: int) -> list[float]:
    """The first tokens choose the answer, so they weigh more than its continuation."""
    return [DECISION_WEIGHT if i < DECISION_TOKENS else 1.0 for i in range(count)]


def conversation(encoder: Encoder, messages: Sequence[Message]) -> Tokens:
    """The tokens that the template would give, weighted so that only answers are learned."""
    tokens = Tokens()
    tokens.add([encoder.special(BEGIN)])
    for message in messages:
        tokens.add(header(encoder, message.role))
        body = [*encoder.encode(message.content), encoder.special(END_TURN)]
        if message.role == "assistant":
            body = body[: message.limit]
            tokens.add(body, answer_weights(len(body)))
        else:
            tokens.add(body)
    return tokens
