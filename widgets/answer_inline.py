"""Turns one piece of Markdown text (a paragraph, a cell) into styled runs; knows no blocks and no Qt.

Nothing here can reach the disk or the network: pictures become their words, HTML stays text, and only web and mail
addresses become links.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntFlag
from functools import lru_cache
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.common.utils import normalizeReference
from markdown_it.token import Token

LINK_SCHEMES = frozenset({"http", "https", "mailto"})
MAX_LINK_CHARS = 2048
LINE_BREAK = "\u2028"
"""A hard break inside a block, as Qt writes it."""

_BARE_URL = re.compile(r"\bhttps?://[^\s<>\"'`|\u2028]+")
_MARKUP = re.compile(r"[`*_\[\]<~&\\!]|https?://")
_OPENER = re.compile(r"[`\[]|<(?!\s)|\*(?!\s)|(?<!\w)_(?!\s)|~~|\\$")

_REFERENCE = re.compile(
    r"\[((?:[^\[\]\\]|\\.){1,200})\]:[ \t]+<?(\S+?)>?(?:[ \t]+(?:\"[^\"]*\"|'[^']*'|\([^)]*\)))?[ \t]*$"
)
_OPEN_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*$")
_OPEN_MARK = re.compile(r"(?<=\s)[*_~`\[!]+$|(?<=[^\s*])\*{1,3}$|~+$")
_MARK_CHARS = 16
_CODE_SPAN = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
_TICKS = re.compile(r"`+")
_SINGLE = re.compile(r"(?<![\\*])\*(?=[^\s*])|(?<=[^\s*\\])\*(?!\*)")
_DOUBLE = re.compile(r"(?<![\\*])\*\*(?=[^\s*])|(?<=[^\s*\\])\*\*(?!\*)")
_STRIKE = re.compile(r"~~")


class Mark(IntFlag):
    """How a run differs from plain text."""

    NONE = 0
    BOLD = 1
    ITALIC = 2
    CODE = 4
    STRIKE = 8


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of text in one style; `href` is empty or an address of one of LINK_SCHEMES."""

    text: str
    mark: Mark = Mark.NONE
    href: str = ""


def _inline_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough"])
    # Its own check would leave the source of a refused link in the text; `safe_href` decides instead.
    parser.validateLink = lambda url: True  # type: ignore[method-assign]  # documented way to replace the check
    return parser


_PARSER = _inline_parser()


def safe_href(url: str) -> str:
    """The address if a person may be asked to open it, else an empty string."""
    if len(url) > MAX_LINK_CHARS:
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    has_target = parts.netloc if parts.scheme in {"http", "https"} else parts.path
    return url if parts.scheme in LINK_SCHEMES and has_target else ""


def take_references(text: str) -> tuple[str, dict[str, object]]:
    """A paragraph without the link definitions at its start, and these definitions as `inline_runs` takes them."""
    lines = text.split("\n")
    found: dict[str, object] = {}
    while lines and (match := _REFERENCE.match(lines[0].rstrip())):
        found.setdefault(normalizeReference(match[1]), {"href": match[2], "title": ""})
        lines.pop(0)
    return "\n".join(lines), found


def mended(text: str) -> str:
    """`text` as it will probably be read once its open marks are closed, so that they do not show until then."""
    text = _OPEN_LINK.sub(r"\1", text)
    text = text[:-_MARK_CHARS] + _OPEN_MARK.sub("", text[-_MARK_CHARS:])
    outside = _CODE_SPAN.sub("", text)
    tick = _TICKS.search(outside)
    if tick:
        return text + tick.group()
    for mark, pattern in (("*", _SINGLE), ("**", _DOUBLE), ("~~", _STRIKE)):
        if len(pattern.findall(outside)) % 2:
            text = text.rstrip() + mark
    return text


def inline_runs(text: str, references: Mapping[str, object] | None = None) -> tuple[Run, ...]:
    """The runs of `text`; references are markdown-it's, by normalised label."""
    text = text.strip()
    if not _MARKUP.search(text):
        plain = " ".join(re.split(r" ?\n", text)) if "  \n" not in text else None
        if plain is not None:
            return (Run(plain),) if plain else ()
    tokens = _PARSER.parseInline(text, {"references": dict(references or {})})
    children = tokens[0].children or []
    return tuple(_merged(_with_bare_links(_runs(children))))


@lru_cache(maxsize=64)
def is_closed(text: str) -> bool:
    """Whether nothing that follows `text` can change how `text` itself is read. A growing paragraph asks it again."""
    return not any(_OPENER.search(run.text) for run in inline_runs(text) if not run.mark & Mark.CODE)


def _runs(tokens: Iterable[Token]) -> Iterator[Run]:
    mark, href = Mark.NONE, ""
    opens = {"strong_open": Mark.BOLD, "em_open": Mark.ITALIC, "s_open": Mark.STRIKE}
    closes = {"strong_close": Mark.BOLD, "em_close": Mark.ITALIC, "s_close": Mark.STRIKE}
    depth = {Mark.BOLD: 0, Mark.ITALIC: 0, Mark.STRIKE: 0}
    for token in tokens:
        if token.type in opens:
            depth[opens[token.type]] += 1
            mark |= opens[token.type]
        elif token.type in closes:
            which = closes[token.type]
            depth[which] -= 1
            if not depth[which]:
                mark &= ~which
        elif token.type == "link_open":
            href = safe_href(str(token.attrGet("href") or ""))
        elif token.type == "link_close":
            href = ""
        elif token.type == "image":
            yield _picture(token, mark, href)
        elif token.type == "softbreak":
            yield Run(" ", mark, href)
        elif token.type == "hardbreak":
            yield Run(LINE_BREAK, mark, href)
        elif token.content:
            yield Run(token.content, mark | (Mark.CODE if token.type == "code_inline" else Mark.NONE), href)


def _picture(token: Token, mark: Mark, href: str) -> Run:
    source = str(token.attrGet("src") or "")
    words = "".join(run.text for run in _runs(token.children or [])).strip()
    return Run(f"[image: {words}]" if words else "[image]", mark, href or safe_href(source))


def _with_bare_links(runs: Iterable[Run]) -> Iterator[Run]:
    for run in runs:
        if run.href or run.mark & Mark.CODE or "://" not in run.text:
            yield run
            continue
        at = 0
        for match in _BARE_URL.finditer(run.text):
            url = _trimmed(match.group())
            if not safe_href(url):
                continue
            if match.start() > at:
                yield replace(run, text=run.text[at : match.start()])
            yield replace(run, text=url, href=url)
            at = match.start() + len(url)
        if at < len(run.text):
            yield replace(run, text=run.text[at:])


def _trimmed(url: str) -> str:
    """Punctuation that ends the sentence is not part of the address; a bracket is when it was opened inside."""
    while url and (url[-1] in ".,:;!?*_~'" or (url[-1] == ")" and url.count(")") > url.count("("))):
        url = url[:-1]
    return url


def _merged(runs: Iterable[Run]) -> Iterator[Run]:
    last: Run | None = None
    for run in runs:
        if last is not None and (last.mark, last.href) == (run.mark, run.href):
            last = replace(last, text=last.text + run.text)
            continue
        if last is not None:
            yield last
        last = run
    if last is not None:
        yield last
