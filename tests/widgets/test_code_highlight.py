"""Colours of code: the same however the lines came, and bounded."""

from __future__ import annotations

import random

import pytest
from pygments.lexers import get_lexer_by_name

from widgets.code_highlight import HOLD_LINES, MAX_LINE_CHARS, LexerShelf, LineLexer, Span

CODE = {
    "python": '@dataclass\nclass Fit:\n    """Two\n    lines # no comment"""\n\n    def of(self, x: int = 1) -> str:\n'
    '        return f"a {x} b"  # why\n\nif True:\n    print("x" \'y\')\n' * 12,
    "javascript": "const a = (b) => `one ${b} two\nthree`; // end\n/* long\n comment */\nfunction go() { return 12; }\n"
    * 12,
    "c": '#include <x.h>\n/* a comment\n over lines */\nint main(void) { return 0x1F; }\nchar *s = "a\\"b";\n' * 12,
    "bash": "for f in *.gguf; do\n  echo \"$f\" | wc -c  # count\ndone\ncat <<EOF\nplain $HOME\nEOF\nexport A='b'\n"
    * 12,
    "html": '<p class="a">x</p>\n<script>\nlet a = 1;\n</script>\n<style>\np { color: red }\n</style>\n' * 12,
    "sql": "SELECT a, 'b' FROM t -- why\nWHERE n > 12;\n" * 12,
    "yaml": "a: 1\nb:\n  - 'x' # y\n  - |\n    text\n" * 12,
    "json": '{"a": [1, true, null],\n "b": "c"}\n' * 6,
    "rust": 'fn main() { let s = "a"; /* b\n c */ println!("{}", 1_000); }\n' * 12,
}


def colours(language: str, groups: list[list[str]]) -> dict[int, list[Span]]:
    lexer = LineLexer(get_lexer_by_name(language, stripnl=False, ensurenl=False))
    found: dict[int, list[Span]] = {}
    for lines in groups:
        found.update(lexer.feed(lines))
    found.update(lexer.finish())
    return found


@pytest.mark.parametrize("language", CODE)
@pytest.mark.parametrize("seed", range(3))
def test_groups_of_lines_change_nothing(language: str, seed: int) -> None:
    lines = CODE[language].splitlines()
    rng = random.Random(seed)
    groups, at = [], 0
    while at < len(lines):
        size = rng.choice([1, 1, 1, 2, 5, 20])
        groups.append(lines[at : at + size])
        at += size
    streamed = colours(language, groups)
    assert streamed == colours(language, [lines])
    assert len(streamed) == len(lines)
    assert any(streamed.values())


def test_a_long_string_keeps_its_colour() -> None:
    lines = ['text = """', *[f"def no_keyword_{n}" for n in range(400)], '"""', "def real(): pass"]
    found = colours("python", [[line] for line in lines])
    assert all({group for _, _, group in found[n]} == {"string"} for n in range(1, 401))
    assert "keyword" in {group for _, _, group in found[402]}


def test_a_feed_reads_a_bounded_window() -> None:
    lexer = LineLexer(get_lexer_by_name("python"))
    for n in range(500):
        assert len(list(lexer.feed([f"x = {n}"]))) <= HOLD_LINES + 2


def test_a_very_long_line_stays_plain() -> None:
    found = colours("python", [["x = 1", "y = '" + "a" * MAX_LINE_CHARS + "'", "z = 2"]])
    assert found[0]
    assert not found[1]
    assert found[2]


def test_json_is_coloured_when_it_is_complete() -> None:
    lexer = LineLexer(get_lexer_by_name("json"))
    assert lexer.late
    assert not list(lexer.feed(['{"a": 1}']))
    assert dict(lexer.finish())[0]


def test_shelf_loads_in_the_background() -> None:
    shelf = LexerShelf()
    assert not shelf.known("no such language")
    assert shelf.known("py")
    shelf.get("py")
    shelf.wait()
    lexer = shelf.get("python3")
    assert lexer is shelf.get("py")
    assert lexer is not None


def test_a_lexer_that_does_not_load_costs_only_its_colours(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_args: object, **_kwargs: object) -> None:
        raise ImportError("gone")

    monkeypatch.setattr("widgets.code_highlight.get_lexer_by_name", broken)
    shelf = LexerShelf()
    shelf.get("rust")
    shelf.wait()
    assert not shelf.known("rust")
    assert "no colours for rust" in caplog.text
