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
    "nb\u00a0sp", "li\u2028ne", "\ufdd0 x", "x" * 30 + " " + "y " * 12,
]  # fmt: skip

_lines = st.builds(
    lambda prefixes, content: "".join(prefixes) + content,
    st.lists(st.sampled_from(_PREFIXES), max_size=3),
    st.sampled_from(_CONTENTS),
)
_ends = st.sampled_from(["\n", "\n", "\n", "\n\n", "\r\n", "\r"])
_structured = st.lists(st.builds(str.__add__, _lines, _ends), min_size=1, max_size=14).map("".join)
_noise = st.text(alphabet="ab *_`>#-+|\n\n\t~1.)[]()<&\\!:=🙂漢\r", max_size=60)

documents = st.one_of(_structured, _structured, _noise)


@st.composite
def pieces(draw: st.DrawFn, source: st.SearchStrategy[str] = documents) -> list[str]:
    """A document cut into deltas at random places."""
    text = draw(source)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
