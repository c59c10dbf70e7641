"""Varies questions the way people do: case, politeness, other words, missing words, slips.

It must not know the answers, and it never returns a held-out question.
"""

from __future__ import annotations

import random
import re

from corpus import expansions, normal, tidy
from vocabulary import PROPER, REPLACEMENTS, SMALL_WORDS
from wrappings import CLOSERS, FILLERS, OPENERS

TYPO_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def expand(pattern: str, rng: random.Random) -> str:
    """One of the texts that a pattern stands for."""
    if "{" not in pattern:
        return pattern
    chosen = re.sub(r"\{([^{}]*)\}", lambda m: rng.choice(m.group(1).split("|")), pattern)
    return tidy(chosen)


def proper_case(text: str) -> str:
    """Write names and abbreviations as they are written in print."""
    return re.sub(r"[A-Za-z0-9_.]+", lambda m: PROPER.get(m.group(), m.group()), text)


def replace_words(text: str, rng: random.Random, chance: float) -> str:
    """Exchange words and phrases for others of the same meaning."""
    for group in REPLACEMENTS:
        found = [word for word in group if re.search(rf"\b{re.escape(word)}\b", text)]
        if found and rng.random() < chance:
            old = max(found, key=len)
            text = re.sub(rf"\b{re.escape(old)}\b", rng.choice(group), text, count=1)
    return text


def drop_word(words: list[str], rng: random.Random) -> None:
    """Lose one word, most likely a small one."""
    if len(words) < 4:
        return
    small = [i for i, word in enumerate(words) if word.lower() in SMALL_WORDS]
    index = rng.choice(small) if small and rng.random() < 0.7 else rng.randrange(len(words))
    del words[index]


def swap_words(words: list[str], rng: random.Random) -> None:
    if len(words) > 3:
        i = rng.randrange(len(words) - 1)
        words[i], words[i + 1] = words[i + 1], words[i]


def slip(words: list[str], rng: random.Random) -> None:
    """Make one typing mistake in one longer word."""
    long_words = [i for i, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if not long_words:
        return
    index = rng.choice(long_words)
    word = words[index]
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    middle = (word[at + 1] + word[at], word[at] * 2, "", rng.choice(TYPO_LETTERS))[kind]
    words[index] = word[:at] + middle + word[at + (2 if kind == 0 else 1) :]


def distort(text: str, rng: random.Random) -> str:
    """Apply a few small accidents to the words."""
    words = text.split()
    if rng.random() < 0.30:
        drop_word(words, rng)
    if rng.random() < 0.10:
        drop_word(words, rng)
    if rng.random() < 0.10:
        swap_words(words, rng)
    if rng.random() < 0.10:
        slip(words, rng)
    if rng.random() < 0.25:
        words.insert(rng.randrange(len(words) + 1), rng.choice(FILLERS))
    return " ".join(words)


def keywords(text: str, rng: random.Random) -> str:
    """Keep only the words that carry meaning, as in a search box."""
    words = [word for word in text.split() if word.lower() not in SMALL_WORDS]
    if rng.random() < 0.3:
        rng.shuffle(words)
    return " ".join(words) if len(words) > 1 else text


def wrap(text: str, rng: random.Random) -> str:
    """Put polite or hesitant words around a question."""
    if rng.random() < 0.35:
        text = rng.choice(OPENERS) + text
    if rng.random() < 0.25:
        text = text + rng.choice(CLOSERS)
    return text


def dress(text: str, rng: random.Random) -> str:
    """Choose capitals and the sign at the end."""
    if rng.random() < 0.6:
        text = proper_case(text)
    style = rng.random()
    if style < 0.5:
        text = text[:1].upper() + text[1:]
    elif style > 0.97:
        text = text.upper()
    return text + rng.choices(("?", "", ".", "!", "??"), (50, 38, 9, 2, 1))[0]


def vary(patterns: tuple[str, ...], rng: random.Random) -> str:
    """One varied question out of the patterns that share an answer."""
    text = expand(rng.choice(patterns), rng).rstrip("?.!")
    text = text[0].lower() + text[1:] if text[1:2].islower() else text
    kind = rng.random()
    if kind < 0.10:
        text = text + rng.choice((", ", " ", ": ", "? ", ". ")) + expand(rng.choice(patterns), rng)
    elif kind < 0.18:
        text = keywords(text, rng)
    if rng.random() < 0.75:
        text = replace_words(text, rng, 0.35)
        text = distort(text, rng)
        text = wrap(text, rng)
    return dress(text, rng)


class Questions:
    """Endless varied questions that never equal a held-out one."""

    def __init__(self, forbidden: frozenset[str], rng: random.Random) -> None:
        self.forbidden = forbidden
        self.rng = rng

    def ask(self, patterns: tuple[str, ...]) -> str:
        """A varied question, or now and then one exactly as it stands in the corpus."""
        for _ in range(20):
            if self.rng.random() < 0.08:
                question = expand(self.rng.choice(patterns), self.rng)
            elif self.rng.random() < 0.08:
                question = patterns[0]
            else:
                question = vary(patterns, self.rng)
            if normal(question) not in self.forbidden:
                return question
        return next(expansions(patterns[0]))
