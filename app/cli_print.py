"""Prints runs and sentences to a terminal, or runs as JSON lines. Must not import Qt or start anything."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from backends.endings import cut_by
from backends.events import Cancelled, Delta, Event, Failed, Finished, Loading, Notice, Started
from backends.models.download_names import valid_text
from backends.other_work import MACHINE_BUSY, busy_words
from backends.records import RunRequest, RunResult
from backends.wire import event_as_json

# Model text must not steer the terminal: every control character but tab and newline is dropped.
_CONTROLS = {code: None for code in (*range(32), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}
# A name or a sentence must not turn the text around it either, nor break its line.
_MARKS = dict.fromkeys((0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF))
_BREAKS = {**_MARKS, **dict.fromkeys((ord("\t"), ord("\n"), 0x2028, 0x2029), " ")}
_WIPE_LINE = "\r\x1b[K"


def plain(text: str) -> str:
    """Text without control characters, for a terminal."""
    return text.translate(_CONTROLS)


def one_line(text: str) -> str:
    """`plain`, without line breaks: a name or a sentence cannot pass for two."""
    return plain(text).translate(_BREAKS)


def json_text(value: object) -> str:
    """One line of JSON that every reader takes: a byte of a file name that is no UTF-8 becomes U+FFFD."""
    text = json.dumps(value)
    return text if "\\ud" not in text else json.dumps(_clean(value))


def _clean(value: object) -> object:
    match value:
        case str():
            return valid_text(value)
        case dict():
            return {_clean(key): _clean(each) for key, each in value.items()}
        case list() | tuple():
            return [_clean(each) for each in value]
        case _:
            return value


def say(sentence: str) -> None:
    """One line on standard error; lost where that cannot be written, which must not end a run."""
    if sys.stderr is not None:  # closed by whoever started us; print would then choose standard output
        with contextlib.suppress(OSError):
            print(f"nearfar: {one_line(sentence)}", file=sys.stderr, flush=True)


def use_utf8() -> None:
    """Text of any language goes in and out, whatever the locale; a lone surrogate goes out as \\udcff."""
    for stream, errors in (
        (sys.stdin, "replace"),
        (sys.stdout, "backslashreplace"),
        (sys.stderr, "backslashreplace"),
    ):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)


def reader_is_gone(error: BaseException) -> bool:
    """True for the error of a pipe that nobody reads; Windows calls it an invalid argument."""
    return isinstance(error, BrokenPipeError) or (
        os.name == "nt" and isinstance(error, OSError) and error.errno == errno.EINVAL
    )


def discard_output() -> None:
    """After standard output broke: what is buffered would break once more when Python ends, and change the status."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class StatusLine:
    """A line on standard error while a command works; nothing where that is no terminal."""

    def __init__(self, text: str) -> None:
        self._shown = sys.stderr is not None and sys.stderr.isatty()
        self._write(text)

    def wipe(self) -> None:
        """Before anything else is printed; idempotent."""
        self._write(_WIPE_LINE)
        self._shown = False

    def _write(self, text: str) -> None:
        if self._shown:
            with contextlib.suppress(OSError):
                print(text, end="", file=sys.stderr, flush=True)


class JsonLines:
    """One JSON object per event and line; what the person should know beside them goes to standard error."""

    def __init__(self, requests: Sequence[RunRequest]) -> None:
        self._targets = {request.run_id: str(request.target) for request in requests}

    def show(self, event: Event) -> None:
        if isinstance(event, Notice) and event.text and event.code not in ("preparing", MACHINE_BUSY):
            say(event.text)
        elif isinstance(event, Finished | Failed | Cancelled):
            _say_if_busy(event.result)
        line = event_as_json(event, self._targets[event.run_id])
        if line is not None:
            print(json.dumps(line), flush=True)  # a target stands here as it was named, whatever it holds


class Terminal:
    """Answers in the order in which they began, each streamed when its turn has come. Colour only on a terminal."""

    def __init__(self, requests: Sequence[RunRequest], out: TextIO) -> None:
        self._targets = {request.run_id: one_line(str(request.target)) for request in requests}
        self._out = out
        self._colour = out.isatty() and "NO_COLOR" not in os.environ
        self._shows_progress = sys.stderr is not None and sys.stderr.isatty()
        self._progress_shown = False
        self._order: list[str] = []
        self._text: dict[str, list[str]] = {}
        self._ends: dict[str, tuple[RunResult, str]] = {}

    def show(self, event: Event) -> None:
        match event:
            case Started():
                self._begin(event.run_id)
            case Delta(kind="text"):
                text = plain(event.text)
                self._text[event.run_id].append(text)
                if event.run_id == self._order[0]:
                    self._print(text)
            case Loading() if event.run_id == self._order[0]:
                self._progress_shown = True
                self._progress(f"\rloading {event.fraction:4.0%} ")
            case Notice(text=text, code=code) if text and code != MACHINE_BUSY:  # which is said with the figures
                self._say(text)
            case Failed():
                self._end(event.run_id, event.result, event.problem.sentence)
            case Finished():
                self._end(event.run_id, event.result, ending_words(event.result))
            case Cancelled():
                self._end(event.run_id, event.result, "Stopped; what arrived is above.")

    def _begin(self, run_id: str) -> None:
        self._order.append(run_id)
        self._text[run_id] = []
        if self._order[0] == run_id:
            self._head()

    def _head(self) -> None:
        run_id = self._order[0]
        self._print(self._styled("1", self._targets[run_id]) + "\n" + "".join(self._text[run_id]))

    def _end(self, run_id: str, result: RunResult, words: str) -> None:
        self._ends[run_id] = (result, words)
        while self._order and self._order[0] in self._ends:
            result, words = self._ends.pop(self._order[0])
            self._print("\n" + self._styled("2", figures(result)) + "\n\n")
            if words:
                self._say(words)
            _say_if_busy(result)
            self._text.pop(self._order.pop(0))
            if self._order:
                self._head()

    def _progress(self, text: str) -> None:
        if self._shows_progress:
            with contextlib.suppress(OSError):
                print(text, end="", file=sys.stderr, flush=True)

    def _wipe_progress(self) -> None:
        """Before anything else is printed, since both streams share one line of the terminal."""
        if self._progress_shown:
            self._progress_shown = False
            self._progress(_WIPE_LINE)

    def _say(self, sentence: str) -> None:
        self._wipe_progress()
        say(sentence)

    def _print(self, text: str) -> None:
        self._wipe_progress()
        self._out.write(text)
        self._out.flush()

    def _styled(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def _say_if_busy(result: RunResult) -> None:
    words = busy_words(result.other_work)
    if words:
        say(words)


def ending_words(result: RunResult) -> str:
    """What is to be said of an answer that ended by itself and is not whole; empty where it is."""
    if not result.complete:
        return "The answer is incomplete: the server ended it early. Run it again."
    if result.finish_reason == "content_filter":
        return "The provider's content filter ended the answer."
    match cut_by(result):
        case "max_tokens":
            limit = result.settings.get("max_tokens")
            at = f" at {limit:,} tokens" if isinstance(limit, int) else ""
            return f"The answer was cut off{at}. Ask for more with --max-tokens."
        case "context":
            return "The answer was cut off because the context is full. Shorten the prompt."
        case "server":
            return "The answer was cut off: the context is full, or a limit of the server's own was reached."
        case _:
            return ""


def figures(result: RunResult) -> str:
    """One line of figures for a terminal."""
    tokens = result.usage.completion_tokens
    parts = [
        f"TTFT {_ms(result.ttft_ms)}",
        f"{'n/a' if result.decode_tok_s is None else f'{result.decode_tok_s:.1f}'} tok/s",
        f"{'n/a' if tokens is None else tokens} tokens",
        f"{_ms(result.e2e_ms)} in all",
        cost_words(result),
    ]
    if result.device:
        parts.append(one_line(result.device))
    return " · ".join(parts)


def cost_words(result: RunResult) -> str:
    """The cost with what it rests on."""
    usd, basis = result.cost.usd, result.cost.basis
    if usd is None:
        return "cost not measured" if basis == "not_measured" else "cost unknown"
    if basis == "practice_at_gpt4o_price":
        return f"would cost ${usd:f} at gpt-4o's price"
    if basis == "estimated":
        return f"at least about ${usd:f}"
    return f"${usd:f}"


def _ms(value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:.0f} ms" if value < 10_000 else f"{value / 1000:.1f} s"
