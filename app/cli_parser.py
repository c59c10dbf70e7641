"""argparse with our kind of error: one sentence, and exit status 2. Must not know any command."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from backends.errors import UsageError
from backends.keys import KEY_SHAPE

Number = TypeVar("Number", int, float)

LONGEST_SHOWN = 15  # API keys are longer, numbers and choices are not
HIDDEN = "what was given"
OPTION_NAME = re.compile(r"--(?!g?sk-)[a-z]{1,20}(?:-[a-z]{1,20}){0,2}")
# The places where argparse repeats what was typed.
_REPEATED = re.compile(
    r"(?<=invalid choice: ).*(?= \(choose from )|(?<=unknown parser ).*(?= \(choices: )"
    r"|(?<=ambiguous option: ).*(?= could match )|(?<=explicit argument ).*",
    re.DOTALL,
)


def quoted(text: str) -> str:
    """What was typed, for a sentence that refuses it; without it where it may be a key."""
    return f"“{text}”" if _may_be_shown(text) else HIDDEN


def number(text: str, kind: type[Number], low: Number, high: Number, words: str) -> Number:
    """What was typed as a number within bounds; raises what argparse words as an error."""
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not {words}")
    return value


def _may_be_shown(text: str) -> bool:
    return len(text) <= LONGEST_SHOWN and KEY_SHAPE.search(text) is None


def _not_understood(left_over: Sequence[str]) -> str:
    """Options by name; their values and all else as a number, for a key may be among them."""
    names = [name for name in (each.partition("=")[0] for each in left_over) if OPTION_NAME.fullmatch(name)]
    others = len(left_over) - len(names)
    if not names:
        return f"{others} more argument{'s' if others > 1 else ''} than this command takes"
    more = f" and {others} more" if others else ""
    return f"unrecognized arguments: {', '.join(names)}{more}"


class Parser(argparse.ArgumentParser):
    """`hides_input`: what was not understood may be a key, so it is not repeated."""

    hides_input = False

    def error(self, message: str) -> NoReturn:
        if self.hides_input:
            raise UsageError(
                f"`{self.prog}` was not understood. A key is never taken from the command line.",
                safe="Nothing was kept or changed. If you typed a key there, your shell may remember it.",
                fix=f"See `{self.prog} --help`.",
            )
        message = _REPEATED.sub(lambda each: each[0] if _may_be_shown(each[0].strip("'\"")) else HIDDEN, message)
        raise UsageError(f"{message[:1].upper()}{message[1:].rstrip('.')}.", fix=f"See `{self.prog} --help`.")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's own, which would repeat all that is left over."""
        known, left_over = self.parse_known_args(args, namespace)
        if left_over:
            self.error(_not_understood(left_over))
        return known

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """What is left over would be named by the parser above this one."""
        known, left_over = super().parse_known_args(args, namespace)
        if left_over and self.hides_input:
            self.error("")
        return known, left_over
