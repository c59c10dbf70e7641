"""Asks the exported GGUF its questions in llama.cpp, greedily, and prints how many it got right.

It must not know how the model was trained; an answer counts only when it equals the corpus.
"""

from __future__ import annotations

import argparse
import random
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import corpus
from answering import Chat, DemoModel, same_text
from augment import expand
from system_prompts import UNSEEN
from vocabulary import SMALL_WORDS

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "resources" / "demo"
LATE_QUESTIONS = 40
LATE_TOKENS = 1500


@dataclass(frozen=True)
class Question:
    """A question in its chat, with the one answer that counts."""

    chat: Chat
    answer: str
    is_out_of_scope: bool = False


@dataclass
class Tally:
    """Right answers of one kind of question, beside the share that was promised."""

    name: str
    promised: float | None
    right: int = 0
    asked: int = 0
    refused: int = 0
    odd: int = 0
    misses: list[str] = field(default_factory=list)

    def share(self) -> float:
        return self.right / self.asked if self.asked else 0.0

    def is_kept(self) -> bool:
        return self.promised is None or self.share() >= self.promised

    def line(self) -> str:
        promise = "" if self.promised is None else f"  (promised {self.promised:.0%})"
        wrong = self.asked - self.right - self.refused
        detail = f"  refused {self.refused}, other answer {wrong}, non-ASCII {self.odd}"
        return f"{self.name:38} {self.share():6.1%}  {self.right}/{self.asked}{promise}{detail}"


def ask_all(model: DemoModel, tally: Tally, questions: Iterable[Question], refusal: str) -> Tally:
    """Put the questions one by one, each in a fresh chat."""
    for question in questions:
        reply = model.answer(question.chat)
        tally.asked += 1
        tally.odd += not reply.isascii()
        if same_text(reply, question.answer):
            tally.right += 1
            continue
        tally.refused += same_text(reply, refusal)
        tally.misses.append(f"{question.chat[-1]['content']}\n      -> {reply[:90]!r}")
    return tally


def single(text: str, answer: str) -> Question:
    return Question([{"role": "user", "content": text}], answer)


def trained(texts: corpus.Corpus, rng: random.Random) -> list[Question]:
    """Each canonical question and one text of each trained pattern, as it stands."""
    forbidden, found = texts.forbidden(), []
    for entry in texts.every_entry():
        for pattern in entry.patterns()[entry is texts.out_of_scope :]:
            text = expand(pattern, rng)
            if corpus.normal(text) not in forbidden:
                found.append(single(text, entry.answer))
    return found


def canonical(texts: corpus.Corpus) -> list[Question]:
    return [single(entry.question, entry.answer) for entry in texts.entries]


def held_out(texts: corpus.Corpus) -> list[Question]:
    return [single(text, entry.answer) for entry in texts.entries for text in entry.held_out]


def fresh(texts: corpus.Corpus) -> list[Question]:
    """Held-out paraphrases that share their content words with no trained text of the entry."""
    found = []
    for entry in texts.entries:
        known = {gist(q) for pattern in entry.patterns() for q in corpus.expansions(pattern)}
        found += [single(q, entry.answer) for q in entry.held_out if gist(q) not in known]
    return found


def gist(text: str) -> frozenset[str]:
    return frozenset(corpus.normal(text).split()) - SMALL_WORDS


def outside(texts: corpus.Corpus) -> list[Question]:
    entry = texts.out_of_scope
    return [single(text, entry.answer) for text in entry.held_out]


def with_system(questions: Sequence[Question], rng: random.Random) -> list[Question]:
    """The same questions behind system prompts that training never showed."""
    return [
        Question([{"role": "system", "content": rng.choice(UNSEEN)}, *q.chat], q.answer)
        for q in questions
    ]


def late(texts: corpus.Corpus, model: DemoModel, rng: random.Random) -> list[Question]:
    """Canonical questions asked when a long conversation already fills most of the context."""
    found: list[Question] = []
    for entry in rng.sample(texts.entries, LATE_QUESTIONS):
        chat: Chat = []
        while model.count(chat) < LATE_TOKENS:
            earlier = rng.choice(texts.entries)
            chat.append({"role": "user", "content": earlier.question})
            chat.append({"role": "assistant", "content": earlier.answer})
        chat.append({"role": "user", "content": entry.question})
        found.append(Question(chat, entry.answer))
    return found


def samples(texts: corpus.Corpus) -> list[Question]:
    listed = tomllib.loads((DEMO / "samples.toml").read_text(encoding="utf-8"))["sample"]
    return [single(item["prompt"], texts.entry(item["prompt"]).answer) for item in listed]


def evaluate(model: DemoModel, texts: corpus.Corpus, quick: bool) -> list[Tally]:
    """All kinds of questions in turn; printed as they are done."""
    rng = random.Random(7)
    first = canonical(texts) if quick else trained(texts, rng)
    plan: list[tuple[str, float | None, list[Question]]] = [
        ("1 questions it was trained on", 0.95, first),
        ("2 held-out paraphrases", 0.70, held_out(texts)),
        ("3 held-out out-of-scope questions", 0.80, outside(texts)),
        ("held-out with new content words", None, fresh(texts)),
        ("sample prompts of the window", 1.0, samples(texts)),
        ("canonical, no system prompt", None, canonical(texts)),
        ("canonical, unseen system prompts", None, with_system(canonical(texts), rng)),
        (f"canonical, after {LATE_TOKENS}+ tokens of chat", None, late(texts, model, rng)),
    ]
    tallies = []
    for name, promised, questions in plan:
        tally = ask_all(model, Tally(name, promised), questions, texts.out_of_scope.answer)
        print(tally.line(), flush=True)
        tallies.append(tally)
    return tallies


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=DEMO / "nearfar-demo.gguf")
    parser.add_argument("--quick", action="store_true", help="of the trained ones, canonical only")
    parser.add_argument("--misses", action="store_true", help="list missed trained questions")
    chosen = parser.parse_args()
    tallies = evaluate(DemoModel(chosen.model), corpus.load(), chosen.quick)
    if chosen.misses:
        print("\n".join(tallies[0].misses))
    return 0 if all(tally.is_kept() for tally in tallies) else 1


if __name__ == "__main__":
    sys.exit(main())
