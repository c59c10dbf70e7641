"""Reads the questions and answers in corpus/ and checks that held-out ones stay held out.

It must not know about tokens, networks or llama.cpp.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "corpus"
OUT_OF_SCOPE_FILE = "99_out_of_scope.md"
CHOICE = re.compile(r"\{([^{}]*)\}")


class CorpusError(ValueError):
    """The corpus breaks one of its own rules."""


@dataclass(frozen=True)
class Entry:
    """One answer with the questions that lead to it.

    `trained` holds patterns: `{a|b}` stands for either text.
    """

    question: str
    trained: tuple[str, ...]
    held_out: tuple[str, ...]
    answer: str

    def patterns(self) -> tuple[str, ...]:
        return (self.question, *self.trained)


@dataclass(frozen=True)
class Corpus:
    """Everything that the demo model is taught and asked."""

    entries: tuple[Entry, ...]
    out_of_scope: Entry

    def every_entry(self) -> tuple[Entry, ...]:
        return (*self.entries, self.out_of_scope)

    def entry(self, question: str) -> Entry:
        """The entry with this canonical question."""
        for entry in self.every_entry():
            if entry.question == question:
                return entry
        raise CorpusError(f"no entry is called {question!r}")

    def forbidden(self) -> frozenset[str]:
        """Held-out questions in normal form, which training must never show."""
        return frozenset(normal(q) for entry in self.every_entry() for q in entry.held_out)


def tidy(text: str) -> str:
    """Collapse the blanks that an empty choice leaves behind."""
    return re.sub(r"\s+([,?.!])", r"\1", re.sub(r"\s+", " ", text)).strip()


def normal(text: str) -> str:
    """Lower case without punctuation: two questions alike in this form count as equal."""
    return " ".join(re.sub(r"[^a-z0-9~ ]+", " ", text.lower()).split())


def expansions(pattern: str) -> Iterator[str]:
    """Every text that a pattern stands for."""
    parts = CHOICE.split(pattern)
    choices = [part.split("|") if i % 2 else [part] for i, part in enumerate(parts)]
    for combination in itertools.product(*choices):
        yield tidy("".join(combination))


def parse(text: str) -> list[Entry]:
    """Entries of one file; each starts with a line `## question`."""
    return [parse_entry(block) for block in re.split(r"(?m)^## ", text)[1:]]


def parse_entry(block: str) -> Entry:
    lines = block.rstrip().split("\n")
    blank = lines.index("")
    head, answer = lines[1:blank], "\n".join(lines[blank + 1 :]).strip()
    wrong = [line for line in head if line[:2] not in ("~ ", "? ")]
    if wrong or not answer:
        raise CorpusError(f"entry {lines[0]!r} is malformed: {wrong}")
    trained = tuple(line[2:].strip() for line in head if line.startswith("~ "))
    held_out = tuple(line[2:].strip() for line in head if line.startswith("? "))
    return Entry(lines[0].strip(), trained, held_out, answer)


def check(corpus: Corpus) -> None:
    """Refuse texts outside ASCII, ambiguous questions and held-out questions that leak.

    A pattern with choices may stand for a held-out question among others; whoever expands it
    leaves that text out (`Corpus.forbidden`).
    """
    forbidden = corpus.forbidden()
    owner: dict[str, str] = {}
    for entry in corpus.every_entry():
        if not "".join((*entry.patterns(), *entry.held_out, entry.answer)).isascii():
            raise CorpusError(f"{entry.question!r} is not plain ASCII")
        for question in (q for pattern in entry.patterns() for q in expansions(pattern)):
            key = normal(question)
            if key in forbidden and question in entry.patterns():
                raise CorpusError(f"held-out question {question!r} is also trained")
            if key and owner.setdefault(key, entry.question) != entry.question:
                raise CorpusError(f"{question!r} belongs to {owner[key]!r} and {entry.question!r}")


def load(folder: Path = FOLDER) -> Corpus:
    """Read and check the whole corpus."""
    entries: list[Entry] = []
    for path in sorted(folder.glob("*.md")):
        if path.name != OUT_OF_SCOPE_FILE:
            entries.extend(parse(path.read_text(encoding="utf-8")))
    (out_of_scope,) = parse((folder / OUT_OF_SCOPE_FILE).read_text(encoding="utf-8"))
    corpus = Corpus(tuple(entries), out_of_scope)
    check(corpus)
    return corpus
