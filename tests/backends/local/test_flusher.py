"""Text is handed out in order and in time, whoever hands it out; and what goes wrong there belongs to the run."""

from __future__ import annotations

import threading
import time

import pytest

from backends.local.flusher import Flusher
from backends.local.text_stream import TextStream

LIMIT_S = 30.0


def until(holds: threading.Event) -> None:
    assert holds.wait(LIMIT_S)


def flush_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "flush"]


def test_the_first_text_comes_at_once_and_the_rest_without_being_asked_for() -> None:
    stream, texts, later = TextStream(), [], threading.Event()

    def on_text(text: str, stamps: tuple[int, ...]) -> None:
        texts.append((text, stamps, threading.current_thread().name))
        if text != "one":
            later.set()

    with Flusher(stream, on_text) as flusher:
        stream.add(b"one", 1)
        flusher.begin()
        assert texts == [("one", (1,), threading.current_thread().name)]
        stream.add(b"two", 2)
        until(later)
        assert texts[1] == ("two", (2,), "flush")
        stream.add(b"three", 3)
        stream.finish()
        flusher.close()
    assert "".join(text for text, _stamps, _name in texts) == "onetwothree"
    assert flusher.n_tokens == 3
    assert not flush_threads()


def test_nothing_is_lost_or_swapped_while_two_threads_hand_out() -> None:
    stream, texts, stamps = TextStream(), list[str](), list[int]()

    def on_text(text: str, new: tuple[int, ...]) -> None:
        if threading.current_thread().name == "flush":
            time.sleep(0.002)  # time enough for the other thread to come first
        texts.append(text)
        stamps.extend(new)

    with Flusher(stream, on_text) as flusher:
        stream.add(b"0 ", 0)
        flusher.begin()
        for number in range(1, 20_000):
            stream.add(f"{number} ".encode(), number)
            if number % 7 == 0:
                flusher.flush()
        stream.finish()
        flusher.close()
    assert "".join(texts) == "".join(f"{number} " for number in range(20_000))
    assert stamps == list(range(20_000))


def test_what_goes_wrong_in_the_thread_is_raised_in_the_run() -> None:
    stream, broke = TextStream(), threading.Event()

    def on_text(text: str, _stamps: tuple[int, ...]) -> None:
        if text == "two":
            broke.set()
            raise ValueError("no reader")

    with Flusher(stream, on_text) as flusher:
        stream.add(b"one", 1)
        flusher.begin()
        stream.add(b"two", 2)
        until(broke)
        with pytest.raises(ValueError, match="no reader"):
            flusher.close()
    assert not flush_threads()


def test_a_run_that_fails_leaves_no_thread() -> None:
    stream = TextStream()

    def fails_on_the_way() -> None:
        with Flusher(stream, lambda _text, _stamps: None) as flusher:
            stream.add(b"one", 1)
            flusher.begin()
            assert flush_threads()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails_on_the_way()
    assert not flush_threads()
