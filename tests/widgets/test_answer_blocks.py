"""The block machine: equal to markdown-it's reading of the whole text, and indifferent to where deltas are cut."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given, settings
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.widgets.answer_texts import documents, pieces
from widgets.answer_blocks import BlockMachine
from widgets.answer_inline import Mark
from widgets.answer_values import Block, Kind

Line = tuple[object, ...]

_MARK = r"[ \t]*(?:[>*+-]|\d+[.)])[ \t]*"
# Where markdown-it leaves CommonMark: a quote mark indented as code; a table's head that begins with a quote or item
# mark; a lazy line indented as code under marks, or under an item whose text stands further in; an indented line in a
# code span; an empty item, then empty lines; a tab behind several quote marks, which reaches to the next tab stop.
_DEPARTURES = [
    re.compile(r"(    |\t) *>"),
    re.compile(rf"^{_MARK}.*\|.*\n+[ \t]*[|:-][-|: \t]*$", re.MULTILINE),
    re.compile(rf"^(?:{_MARK}){{2}}(.|\n)*^ *(\t|    )", re.MULTILINE),
    re.compile(rf"^{_MARK}.*\n(?:(?=.*\S).*\n)+ *(\t|    )", re.MULTILINE),
    re.compile(rf"^{_MARK}(?:.*\n)+[ \t>]*\n[ \t]+\S.*\n *(\t|    )", re.MULTILINE),
    re.compile(r"^[ >]*(?=[ \d.)+*-]{5}) *(?:[-+*]|\d+[.)]) +.*\n[ >]*(\t|    )", re.MULTILINE),
    re.compile(r"`[^`]*\n[ \t>]*[ \t]"),
    re.compile(r"^ *(?:> ?){2,} *\t", re.MULTILINE),
    re.compile(rf"{_MARK}\n(?:[ \t>]*\n)+", re.MULTILINE),
]


def read(deltas: list[str]) -> list[Block]:
    machine = BlockMachine()
    final = [block for delta in deltas for block in machine.feed(delta).final]
    return final + list(machine.finish().final)


def outline(blocks: list[Block]) -> list[Line]:
    """Kind, containers, marker and text of each block, with cut tables put together again."""
    lines: list[Line] = []
    for block in blocks:
        marker = None
        if block.item:
            marker = (block.item.number, block.item.delimiter)
        if block.kind is Kind.TABLE:
            rows = [[cell_text(cell) for cell in row] for row in ((block.header,) if block.header else ()) + block.rows]
            if block.continues:
                lines[-1][-1].extend(rows)  # type: ignore[attr-defined]  # the last entry of a table line is its rows
                continue
            lines.append(("table", block.path, marker, [align.value for align in block.aligns], rows))
        elif block.kind is Kind.CODE:
            lines.append(
                ("code", block.path, marker, block.language, bool(block.fence), block.text.expandtabs(1).strip())
            )
        else:
            lines.append((block.kind.value, block.path, marker, block.level, cell_text(block.runs)))
    return lines


def cell_text(runs: tuple[object, ...]) -> str:
    return "".join(run.text for run in runs).replace("\u2028", "\n")  # type: ignore[attr-defined]  # Run


def reference_outline(text: str) -> list[Line]:
    """The same, from markdown-it's reading of the whole text: an independent block parser."""
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 100}).enable(["table", "strikethrough"])
    parser.disable("reference")
    parser.validateLink = lambda url: True  # type: ignore[method-assign]  # as the view does
    clean = re.sub("[\0\u2028\u2029\ufdd0-\ufdef\ufffc\ufffe\uffff]", "\ufffd", text)
    return _Flattener(parser.parse(clean)).lines


class _Flattener:
    def __init__(self, tokens: list[Token]) -> None:
        self.lines: list[Line] = []
        self.path: list[str] = []
        self.items: list[list[object]] = []
        self.numbers: list[int | None] = []
        self.rows: list[list[str]] = []
        self.aligns: list[str] = []
        for index, token in enumerate(tokens):
            self.take(token, tokens[index + 1] if index + 1 < len(tokens) else token)

    def take(self, token: Token, following: Token) -> None:
        kind = token.type
        if kind in ("bullet_list_open", "ordered_list_open"):
            self.numbers.append(int(token.attrGet("start") or 1) if kind[0] == "o" else None)
        elif kind in ("bullet_list_close", "ordered_list_close"):
            self.numbers.pop()
        elif kind == "list_item_open":
            self.path.append("l")
            self.items.append([(self.numbers[-1], token.markup), len(self.path), False])
            if self.numbers[-1] is not None:
                self.numbers[-1] += 1
        elif kind == "list_item_close":
            if not self.items[-1][2]:
                self.add("paragraph", 0, "")
            self.items.pop()
            self.path.pop()
        elif kind in ("blockquote_open", "blockquote_close"):
            self.path.append("q") if kind.endswith("open") else self.path.pop()
        elif kind in ("paragraph_open", "heading_open"):
            level = int(token.tag[1]) if kind[0] == "h" else 0
            self.add(
                "heading" if level else "paragraph",
                level,
                self.plain(following, first=not token.markup.startswith("#")),
            )
        elif kind == "hr":
            self.add("rule", 0, "")
        elif kind in ("fence", "code_block"):
            info = token.info.split()
            for line in token.content.removesuffix("\n").split("\n"):
                self.add("code", info[0].lower() if info else "", kind == "fence", line.expandtabs(1).strip())
        elif kind == "table_open":
            self.rows, self.aligns = [], []
        elif kind == "tr_open":
            self.rows.append([])
        elif kind in ("th_open", "td_open"):
            if kind == "th_open":
                self.aligns.append(str(token.attrs.get("style", "")).removeprefix("text-align:"))
            self.rows[-1].append(self.plain(following))
        elif kind == "table_close":
            self.add("table", self.aligns, self.rows)

    def plain(self, inline: Token, *, first: bool = False) -> str:
        children = inline.children or []
        text = "".join(self.word(child) for child in children)
        if first and self.items and not self.items[-1][2] and self.items[-1][1] == len(self.path):
            text = re.sub(r"^\[[ xX]\]\s+", "", text)
        return text

    def word(self, token: Token) -> str:
        if token.type == "image":
            return f"[image: {token.content}]" if token.content else "[image]"
        return {"softbreak": " ", "hardbreak": "\n"}.get(token.type, token.content)

    def add(self, kind: str, *rest: object) -> None:
        path = "".join(self.path)
        marker = None
        for index, item in enumerate(self.items):
            if item[2]:
                continue
            item[2] = True
            if index == len(self.items) - 1 and kind in ("paragraph", "heading"):
                marker = item[0]
            else:
                self.lines.append(("paragraph", path[: int(str(item[1]))], item[0], 0, ""))
        self.lines.append((kind, path, marker, *rest))


@given(documents)
@settings(max_examples=600, deadline=None, derandomize=True)
@example("> a\n- b\n\n    code\n")
@example("<div>\n# Head\n</div>\n> > <!-- a\n> > -->\n")
def test_one_pass_equals_markdown_it(text: str) -> None:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    assume(not any(departure.search(lines) for departure in _DEPARTURES))
    assert outline(read([text])) == reference_outline(text)


@pytest.mark.parametrize("before", ["", "> ", "- ", "1. > ", "words\n"])
@pytest.mark.parametrize(
    "piece", ["word ", "**bold** and ", "`code` x ", "[l](http://a.b/c) ", "*a **b** c* ", "🙂漢 "]
)
def test_a_long_line_equals_markdown_it(before: str, piece: str) -> None:
    text = f"{before}{(piece * 1000)[:9000]}\n\n# Head\n"
    assert outline(read([text])) == reference_outline(text)


def test_a_line_indented_as_code_goes_on_lazily_under_an_item_that_stands_further_in() -> None:
    """CommonMark: code cannot interrupt a paragraph. markdown-it ends the item and begins code."""
    (line,) = outline(read(["-    text\n    # no head\n"]))
    assert line == ("paragraph", "l", (None, "-"), 0, "text # no head")


@given(pieces())
@settings(max_examples=300, deadline=None)
def test_cuts_change_nothing(deltas: list[str]) -> None:
    assert read(deltas) == read(["".join(deltas)])


def rest(text: str) -> str:
    """What shows of an unfinished text, marks written as HTML would."""
    machine = BlockMachine()
    update = machine.feed(text)
    shown = []
    for block in update.final + update.rest:
        for run in block.runs:
            tags = [mark.name.lower()[0] for mark in Mark if mark and mark in run.mark and mark.name]
            shown.append("".join(f"<{tag}>" for tag in tags) + run.text)
    return "|".join(shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("some **bo", "some |<b>bo"),
        ("some **bold*", "some |<b>bold"),
        ("some **bold** and", "some |<b>bold| and"),
        ("some *it", "some |<i>it"),
        ("some **bold *both", "some |<b>bold |<b><i>both"),
        ("a `co", "a |<c>co"),
        ("a `x*` *", "a |<c>x*"),
        ("see [the gui", "see [the gui"),
        ("see [the guide](http://exa", "see the guide"),
        ("5 * 3", "5 * 3"),
        ("snake_case", "snake_case"),
        ("2 ** 3 and `a", "2 ** 3 and |<c>a"),
    ],
)
def test_open_marks_do_not_show(text: str, shown: str) -> None:
    assert rest(text) == shown


@pytest.mark.parametrize(
    "text", ["-", "Words\n-", "Words\n=", "1.", "1. ", "- ", "#", "```", "> ", "> -", "**", "| a | b |", "- [ ]"]
)
def test_an_undecided_line_waits(text: str) -> None:
    assert rest(text) in ("", "Words")


@pytest.mark.parametrize("text", ["42", "-5 degrees", "*it", "1.5 GB", "#hashtag", "Words\n- item"])
def test_a_decided_line_shows(text: str) -> None:
    assert rest(text)


def test_a_lazy_line_is_no_table_head() -> None:
    assert [block.kind for block in read(["> x\na | b\n> --- | ---\n"])] == [Kind.PARAGRAPH]


def test_link_definitions_serve_what_follows() -> None:
    blocks = read(["[guide]: https://example.org/g 'A title'\n\nread the [guide] now\n"])
    assert [run.href for run in blocks[0].runs] == ["", "https://example.org/g", ""]
    assert len(blocks) == 1


def test_a_long_paragraph_is_settled_as_it_grows() -> None:
    text = "Some **bold** words and `code` that run on and on. " * 400
    machine = BlockMachine()
    longest = 0
    blocks: list[Block] = []
    for at in range(0, len(text), 50):
        blocks += machine.feed(text[at : at + 50]).final
        leaf = machine._reader._leaf
        longest = max(longest, len(getattr(leaf, "text", "")) + len(machine._line))
    blocks += machine.finish().final
    assert longest < 2000
    assert all(block.continues for block in blocks[1:])
    assert " ".join(block.text.strip() for block in blocks) == re.sub("[*`]", "", text).strip()


def test_a_paragraph_is_one_block_up_to_a_length_that_nobody_writes() -> None:
    """Where it goes on in a new block it shows a new line, so then after a sentence if it has any."""
    sentence = "Some **bold** words and `code` that run on and on. "
    assert len(read(["a" + sentence * 200])) == 1
    blocks = read([sentence * 800])
    assert len(blocks) > 1
    assert all(block.text.rstrip().endswith("on.") for block in blocks)


@pytest.mark.parametrize("mark", ["*", "`", "[", "<b "])
def test_an_open_mark_does_not_keep_a_paragraph_open(mark: str) -> None:
    text = f"a {mark}never closed " + "words " * 3000
    assert sum(len(block.text) for block in read([text])) >= len(text) - 40


def test_a_long_table_goes_on_in_segments() -> None:
    rows = "".join(f"| {n} | {'x' * (n % 30)} |\n" for n in range(40))
    blocks = read(["| a | b |\n|---|--:|\n" + rows])
    assert [len(block.rows) for block in blocks] == [12, 12, 12, 4]
    assert [bool(block.header) for block in blocks] == [True, False, False, False]
    assert len({block.widths for block in blocks}) == 1
    assert len(set(read(["| a |\n|---|\n"]))) == 1


def test_a_line_without_end_costs_no_text() -> None:
    for start in ("", "- ", "> ", "```\n", "| a |\n|---|\n| ", "# "):
        text = start + "abcdefgh " * 1000
        shown = "".join(
            b.text + "".join(run.text for row in b.rows for cell in row for run in cell) for b in read([text])
        )
        assert shown.replace(" ", "").count("abcdefgh") == 1000
