"""TextStream: the same text however bytes are cut into tokens, and stop sequences never seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backends.local.text_stream import TextStream


def feed(pieces: list[bytes], stops: tuple[str, ...] = ()) -> tuple[str, int, list[str]]:
    """All text, the tokens counted, and the texts as they were shown."""
    stream = TextStream(stops)
    shown: list[str] = []
    tokens = 0
    for number, piece in enumerate(pieces):
        stream.add(piece, number)
        text, stamps = stream.take()
        shown.append(text)
        tokens += len(stamps)
        if stream.stopped:
            break
    stream.finish()
    text, stamps = stream.take()
    shown.append(text)
    return "".join(shown), tokens + len(stamps), shown


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(st.text(max_size=80), st.lists(st.integers(0, 400), max_size=30))
def test_any_cut_gives_the_same_text_and_counts_every_token(text: str, places: list[int]) -> None:
    pieces = cut(text.encode(), places)
    whole, tokens, shown = feed(pieces)
    assert whole == text
    assert tokens == len(pieces)
    assert all("\ufffd" not in part for part in shown) or "\ufffd" in text


@given(
    st.text("abcé😀", max_size=60),
    st.lists(st.text("abcé😀", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.integers(0, 300), max_size=30),
)
def test_any_cut_stops_at_the_same_place(text: str, stops: list[str], places: list[int]) -> None:
    whole, _tokens, _shown = feed(cut(text.encode(), places), tuple(stops))
    assert not any(stop in whole for stop in stops)
    assert text.startswith(whole)
    if not any(stop in text for stop in stops):
        assert whole == text


def test_text_that_only_began_like_a_stop_is_shown_at_the_end() -> None:
    assert feed([b"abc", b"<en"], ("<end>",))[0] == "abc<en"


def test_bytes_that_are_no_utf_8_become_replacement_characters() -> None:
    assert feed([b"a\xff", b"b"])[0] == "a\ufffdb"
    assert feed([b"a", b"\xf0\x9f"])[0] == "a\ufffd"


def test_tokens_of_a_stop_do_not_count_and_silent_ones_at_the_end_do() -> None:
    assert feed([b"a", b"b", b"<", b"end>", b"c"], ("<end>",))[:2] == ("ab", 2)
    assert feed([b"a", b"", b""])[:2] == ("a", 3)
