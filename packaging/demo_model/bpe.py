"""Trains and wraps the byte-level BPE vocabulary, split the way Llama 3 splits text.

It must not know about networks or about the meaning of any text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Bpe:
    """A trained vocabulary; special tokens are only ever made by name."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    @classmethod
    def open(cls, path: Path) -> Bpe:
        return cls(Tokenizer.from_file(str(path)))

    def save(self, path: Path) -> None:
        self.tokenizer.save(str(path))

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def special(self, name: str) -> int:
        number = self.tokenizer.token_to_id(name)
        if number is None:
            raise KeyError(name)
        return int(number)

    def size(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    def tokens(self) -> list[str]:
        """Every token in the order of its number, in the byte alphabet that GGUF expects."""
        by_text = self.tokenizer.get_vocab()
        return sorted(by_text, key=lambda text: int(by_text[text]))

    def merges(self) -> list[str]:
        pairs = json.loads(self.tokenizer.to_str())["model"]["merges"]
        return [pair if isinstance(pair, str) else " ".join(pair) for pair in pairs]


def train(texts: Iterable[str], size: int, specials: Iterable[str]) -> Bpe:
    """Learn a vocabulary of exactly `size` tokens, special ones included."""
    special_names = list(specials)
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(special_names),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(special_names)
    return Bpe(tokenizer)
