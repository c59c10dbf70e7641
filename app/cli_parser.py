"""argparse with our kind of error: one sentence, and exit status 2. Must not know any command."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from backends.errors import UsageError


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
        raise UsageError(f"{message[:1].upper()}{message[1:].rstrip('.')}.", fix=f"See `{self.prog} --help`.")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """What is left over would be named by the parser above this one."""
        known, left_over = super().parse_known_args(args, namespace)
        if left_over and self.hides_input:
            self.error("")
        return known, left_over
