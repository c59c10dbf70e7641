"""Random Markdown documents and ways to cut them into deltas."""

from __future__ import annotations

from hypothesis import strategies as st

_PREFIXES = [
    "",
    "",
    "",
    "",
    "> ",
    ">",
    "- ",
    "* ",
    "+ ",
    "1. ",
    "2. ",
    "3) ",
    " ",
    "  ",
    "   ",
    "    ",
    "\t",
    "-   ",
    "10. ",
]
_CONTENTS = [
    "", "", "", "word", "two words", "# Head", "## Head ##", "#", "#no", "```", "````", "```py", "~~~", "``` a`b",
    "---", "***", "- - -", "===", "=", "-", "*", "1.", "| a | b |", "|---|:-:|", "| 1 | 2 |", "| 1 |", "a | b",
    "--- | ---",
    "|--|", "| x \\| y | `z` |", "<div>", "<b>x</b> <img src=a>", "**bold** and `code` *it*", "🙂‍🚀 é́", "漢字 かな",
    "[ ] open", "[x] shut", "*left open", "ends  ", "ends\\", "`tick", "1986. A year", "a_b_c __d__", "&amp; &lt;",
    "\ttab",
    "[l](http://a.b/c_d)", "![p](file:///etc/passwd)", "http://e.org/x_y.", "~~gone~~", ">", "\\* no item", "5 * 3 * 1",
    "> > in", "<!-- note", "-->", "</div>", "<script>x</script>", "a <em>b</em> <br/> c", "<details><summary>s",
    "<http://a.b>", "<file:///etc/passwd>",
    "- [ ] > - 1. x", "\t- tab", "a\tb\t|\tc", "```py {x}", "~~~~ py", "***all*** _it_", "**a*b**c*", "``a`b``",
    "nb\u00a0sp", "li\u2028ne", "\ufdd0 x", "x" * 30 + " " + "y " * 12,
]  # fmt: skip

_long_lines = st.builds(
    lambda piece, size: (piece * (size // len(piece) + 1))[:size],
    st.sampled_from(
        ["word ", "x", "**bold** and ", "`code` ", "*open ", "[l](http://a.b/c) ", "a | b ", "🙂漢 ", "end. "]
    ),
    st.sampled_from([590, 1001, 2500, 4010, 9000]),
)
_REFERENCES = ["[r] and [r][]", "[r]: http://e.org/r 'T'", "[r]:", "![p][r]", "[R]: file:///etc/passwd"]


def _prefixed(contents: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    prefixes = st.lists(st.sampled_from(_PREFIXES), max_size=3)
    return st.builds(lambda prefix, content: "".join(prefix) + content, prefixes, contents)


def _joined(lines: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.builds(str.__add__, lines, _ends), min_size=1, max_size=14).map("".join)


_ends = st.sampled_from(["\n", "\n", "\n", "\n\n", "\r\n", "\r"])
_contents = st.sampled_from(_CONTENTS)
_structured = _joined(_prefixed(_contents))
_noise = st.text(alphabet="ab *_`>#-+|\n\n\t~1.)[]()<&\\!:=🙂漢\r", max_size=60)

documents = st.one_of(_structured, _structured, _noise)
with_more = st.one_of(
    documents, _joined(_prefixed(st.one_of(*[_contents] * 12, st.sampled_from(_REFERENCES), _long_lines)))
)
"""Also link definitions, whose effect depends on where they stand, and lines that are read in pieces."""


@st.composite
def pieces(draw: st.DrawFn, source: st.SearchStrategy[str] = with_more) -> list[str]:
    """A document cut into deltas at random places."""
    text = draw(source)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
