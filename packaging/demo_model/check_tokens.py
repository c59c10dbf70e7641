"""Checks that the trained vocabulary and llama.cpp cut every text of the corpus alike.

It must not know anything about the network.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import corpus
from answering import DemoModel
from bpe import Bpe
from chat import Message, conversation
from system_prompts import TRAINED, UNSEEN

ROOT = Path(__file__).resolve().parents[2]


def texts(found: corpus.Corpus) -> list[str]:
    """Every answer, every text of every pattern, every system prompt."""
    result = [*TRAINED, *UNSEEN]
    for entry in found.every_entry():
        result += [entry.answer, *entry.held_out]
        for pattern in entry.patterns():
            result += corpus.expansions(pattern)
    return result


def differences(model: DemoModel, words: Bpe, found: list[str]) -> list[str]:
    """Texts that the two tokenisers cut differently, alone or as a chat."""
    wrong = []
    for text in found:
        alone = list(model.llama.tokenize(text.encode(), add_bos=False, special=False))
        asked = conversation(words, [Message("user", text)]).ids
        in_chat = model.tokens([{"role": "user", "content": text}])[: len(asked)]
        if alone != words.encode(text) or in_chat != asked:
            wrong.append(text)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=ROOT / "resources/demo/nearfar-demo.gguf")
    parser.add_argument("--words", type=Path, default=ROOT / ".cache/demo_model/tokenizer.json")
    chosen = parser.parse_args()
    found = texts(corpus.load())
    wrong = differences(DemoModel(chosen.model), Bpe.open(chosen.words), found)
    print(f"{len(found)} texts, {len(wrong)} cut differently")
    for text in wrong[:10]:
        print(f"  {text!r}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
