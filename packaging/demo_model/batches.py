"""Makes endless training batches: short chats of similar length, and now and then long ones.

It must not know how the network learns from them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from augment import Questions
from chat import Encoder, Message, Tokens, conversation
from corpus import Corpus, Entry
from system_prompts import TRAINED

POOL = 600
TOKENS_PER_BATCH = 4096
LONG_ROWS = 2
LONG_EVERY = 12
OUT_OF_SCOPE_SHARE = 0.25
SHORT_ANSWER_SHARE = 0.75


@dataclass(frozen=True)
class Batch:
    """Rows of equal length; the loss at a position has the weight of the token after it."""

    inputs: Tensor
    targets: Tensor
    weights: Tensor


class Conversations:
    """Random chats over the corpus."""

    def __init__(self, corpus: Corpus, encoder: Encoder, context: int, rng: random.Random) -> None:
        self.corpus = corpus
        self.encoder = encoder
        self.context = context
        self.rng = rng
        self.questions = Questions(corpus.forbidden(), rng)
        self.waiting: list[Entry] = []

    def entry(self) -> Entry:
        """Out of scope for a fixed share, else every entry equally often."""
        if self.rng.random() < OUT_OF_SCOPE_SHARE:
            return self.corpus.out_of_scope
        if not self.waiting:
            self.waiting = list(self.corpus.entries)
            self.rng.shuffle(self.waiting)
        return self.waiting.pop()

    def turn(self, limit: int | None = None) -> list[Message]:
        entry = self.entry()
        question = self.questions.ask(entry.patterns())
        return [Message("user", question), Message("assistant", entry.answer, limit)]

    def opening(self) -> list[Message]:
        """A system prompt, which the answers ignore, in part of the chats."""
        if self.rng.random() < 0.7:
            return []
        return [Message("system", self.rng.choice(TRAINED))]

    def short(self) -> Tokens:
        """One to three turns; most last answers are cut so that more questions are seen."""
        messages = self.opening()
        for _ in range(self.rng.choices((0, 1, 2), (80, 14, 6))[0]):
            messages += self.turn()
        cut = self.rng.random() < SHORT_ANSWER_SHARE
        messages += self.turn(self.rng.randint(6, 20) if cut else None)
        return conversation(self.encoder, messages)

    def long(self) -> Tokens:
        """As many turns as the context holds."""
        messages = self.opening()
        tokens = conversation(self.encoder, messages)
        while len(tokens.ids) < self.context + 1:
            messages += self.turn()
            tokens = conversation(self.encoder, messages)
        return Tokens(tokens.ids[: self.context + 1], tokens.weights[: self.context + 1])


def batch(rows: list[Tokens]) -> Batch:
    """Pad rows at the end, where causal attention never looks."""
    length = max(len(row.ids) for row in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    weights = torch.zeros(len(rows), length)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        weights[i, : len(row.ids)] = torch.tensor(row.weights)
    return Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), weights[:, 1:].contiguous())


def grouped(pool: list[Tokens]) -> list[list[Tokens]]:
    """Rows of similar length together, so that little is spent on padding."""
    groups: list[list[Tokens]] = [[]]
    for row in sorted(pool, key=lambda tokens: len(tokens.ids)):
        if groups[-1] and len(row.ids) * (len(groups[-1]) + 1) > TOKENS_PER_BATCH:
            groups.append([])
        groups[-1].append(row)
    return groups


def batches(source: Conversations) -> Iterator[Batch]:
    """Batches without end, in an order that the source's random numbers fix."""
    made = 0
    while True:
        groups = grouped([source.short() for _ in range(POOL)])
        source.rng.shuffle(groups)
        for group in groups:
            yield batch(group)
            made += 1
            if made % LONG_EVERY == 0:
                yield batch([source.long() for _ in range(LONG_ROWS)])
