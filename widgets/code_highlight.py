"""Colours for code as it streams in: Pygments tokens per line, bounded and incremental; knows no Markdown, no window.

A lexer is imported and compiled on a thread of its own (30 ms for Python), so the first fence never stalls painting.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pygments.lexer import ExtendedRegexLexer, Lexer, LexerContext, RegexLexer
from pygments.lexers import get_all_lexers, get_lexer_by_name
from pygments.token import Token, _TokenType

log = logging.getLogger(__name__)

MAX_LINE_CHARS = 1000
"""Longer lines stay plain: Pygments' expressions may backtrack."""
HOLD_LINES = 6
"""Lines that are lexed again when the next ones come, as what follows may change how they read."""
MAX_WINDOW_CHARS = 6000
MAX_LATE_CHARS = 32_000
"""Code in a language whose lexer keeps no state is coloured when it is complete, up to this size."""

Span = tuple[int, int, str]
"""Start and length in characters, and the group of AnswerStyle.syntax."""

_GROUPS: dict[_TokenType, str] = {
    Token.Comment: "comment",
    Token.Keyword: "keyword",
    Token.Operator.Word: "keyword",
    Token.Keyword.Constant: "number",
    Token.Name.Function: "function",
    Token.Name.Class: "class",
    Token.Name.Namespace: "name",
    Token.Name.Builtin: "builtin",
    Token.Name.Exception: "class",
    Token.Name.Decorator: "decorator",
    Token.Name.Attribute: "function",
    Token.Name.Tag: "keyword",
    Token.Literal.String: "string",
    Token.Literal.Number: "number",
    Token.Generic.Heading: "keyword",
    Token.Generic.Inserted: "string",
    Token.Generic.Deleted: "number",
    Token.Generic.Prompt: "comment",
}


def group_of(token: _TokenType) -> str:
    """The group of a token or of its nearest ancestor that has one; empty for plain."""
    kind: _TokenType | None = token
    while kind is not None:
        if kind in _GROUPS:
            return _GROUPS[kind]
        kind = kind.parent
    return ""


class LexerShelf:
    """Lexers by the names that fences use. Only Pygments' own: a plug-in would be code we did not choose."""

    def __init__(self) -> None:
        self._aliases = {alias: aliases[0] for _, aliases, _, _ in get_all_lexers(plugins=False) for alias in aliases}
        self._ready: dict[str, Lexer] = {}
        self._broken: set[str] = set()
        self._threads: dict[str, threading.Thread] = {}

    def known(self, language: str) -> bool:
        """Whether there is a lexer for it, or may be one when it is loaded."""
        name = self._aliases.get(language)
        return name is not None and name not in self._broken

    def get(self, language: str) -> Lexer | None:
        """The lexer, or None while it is being loaded; loading begins with the first call."""
        name = self._aliases[language]
        if name not in self._ready and name not in self._threads:
            thread = threading.Thread(target=self._load, args=(name,), name=f"lexer {name}", daemon=True)
            self._threads[name] = thread
            thread.start()
        return self._ready.get(name)

    def wait(self) -> None:
        """Until all lexers asked for are loaded; for tests and benchmarks."""
        for thread in list(self._threads.values()):
            thread.join()

    def _load(self, name: str) -> None:
        try:
            lexer = get_lexer_by_name(name, stripnl=False, ensurenl=False)
            for _ in lexer.get_tokens("x\n"):
                pass
        except Exception:
            # One of 500 lexers that does not load here costs its colours, not the answer.
            self._broken.add(name)
            log.exception("no colours for %s code", name)
            return
        self._ready[name] = lexer


@dataclass(slots=True)
class LineLexer:
    """Lexes one piece of code as its lines come. A window of the last lines is read again, all before is settled."""

    lexer: Lexer
    _window: list[str] = field(default_factory=list)
    _stack: list[str] = field(default_factory=lambda: ["root"])
    _first: int = 0
    """Index of the window's first line."""
    late: bool = field(init=False)
    """The lexer cannot go on in the middle; lines are coloured by `finish` only."""

    def __post_init__(self) -> None:
        steps = (RegexLexer.get_tokens_unprocessed, ExtendedRegexLexer.get_tokens_unprocessed)
        self.late = not isinstance(self.lexer, RegexLexer) or type(self.lexer).get_tokens_unprocessed not in steps

    def feed(self, lines: list[str]) -> Iterator[tuple[int, list[Span]]]:
        """More lines; yields line numbers with their spans, some of them again."""
        self._window += [line if len(line) <= MAX_LINE_CHARS else "" for line in lines]
        if self.late:
            if sum(map(len, self._window)) > MAX_LATE_CHARS:
                self._window.clear()
            return
        text = "".join(line + "\n" for line in self._window)
        starts = _line_starts(self._window)
        context = LexerContext(text, 0, list(self._stack))
        states: dict[int, list[str]] = {}
        tokens = []
        try:
            for at, token, value in _tokens(self.lexer, context):
                if at in starts and at == context.pos:
                    states[at] = list(context.stack)
                tokens.append((at, token, value))
        except TypeError:
            # A callback of a plain lexer that takes no context: Pygments offers no way to know before.
            self.late = True
            return
        yield from self._by_line(tokens, starts)
        self._settle(states, starts, context, len(text))

    def finish(self) -> Iterator[tuple[int, list[Span]]]:
        """The code is complete."""
        if self.late and self._window:
            text = "".join(line + "\n" for line in self._window)
            tokens = list(self.lexer.get_tokens_unprocessed(text))
            yield from self._by_line(tokens, _line_starts(self._window))
        self._window.clear()

    def _by_line(
        self, tokens: list[tuple[int, _TokenType, str]], starts: dict[int, int]
    ) -> Iterator[tuple[int, list[Span]]]:
        spans: list[list[Span]] = [[] for _ in self._window]
        line, start = 0, 0
        for at, token, value in tokens:
            group = group_of(token)
            for part in value.splitlines(keepends=True):
                while at in starts and starts[at] != line:
                    line, start = starts[at], at
                length = len(part.rstrip("\n"))
                if group and length and line < len(spans):
                    spans[line].append((at - start, length, group))
                at += len(part)
        for index, line_spans in enumerate(spans):
            yield self._first + index, line_spans

    def _settle(self, states: dict[int, list[str]], starts: dict[int, int], context: LexerContext, end: int) -> None:
        latest = len(self._window) - HOLD_LINES
        settled = max((at for at in states if starts[at] <= latest), default=0)
        if settled:
            self._stack = states[settled]
            drop = starts[settled]
        elif end > MAX_WINDOW_CHARS:
            self._stack = list(context.stack)
            drop = len(self._window)
        else:
            return
        del self._window[:drop]
        self._first += drop


def _tokens(lexer: Lexer, context: LexerContext) -> Iterator[tuple[int, _TokenType, str]]:
    """Lex as ExtendedRegexLexer does, whose context tells the state at the end; plain lexers have the same tables."""
    steps: Callable[..., Iterator[tuple[int, _TokenType, str]]] = ExtendedRegexLexer.get_tokens_unprocessed
    return steps(lexer, context=context)


def _line_starts(lines: list[str]) -> dict[int, int]:
    starts, at = {}, 0
    for index, line in enumerate(lines):
        starts[at] = index
        at += len(line) + 1
    return starts
