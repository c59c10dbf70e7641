"""What may stand in the log: no text of an error nobody expected, and no key. Must not know where the log is.

Such a text may quote a prompt or a header, so of an error only its types and the places in the code are kept. A key is
recognised by its shape, and those of this session by themselves.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from urllib.parse import quote

from backends.errors import NearfarError
from backends.keys import Secret

HEAD = "Traceback, without what the errors say (most recent call last):"
HIDDEN = "[hidden]"
OURS = frozenset({"nearfar", "app", "backends", "widgets"})
SHORTEST = 4  # a shorter "key" is a dummy, and would hide half of every line
MAX_FRAMES = 60
MAX_ERRORS = 20

KEY_SHAPES = re.compile(
    r"(?P<head>\b(?i:bearer|basic)\s+|(?i:\b(?:x-)?api[-_]?key\b[\"']?\s*[:=]\s*[\"']?))[^\s\"',;)}\]]+"
    r"|\b(?:sk|pk|rk|xai)-[A-Za-z0-9_-]{6,}"
    r"|\b(?:gsk_|tgp_v1_|nvapi-|AIza)[A-Za-z0-9_-]{6,}"
    r"|\bhf_(?=[A-Za-z]*\d|[A-Za-z]{16})[A-Za-z0-9]{6,}"  # and no name of a function
)

Keys = Callable[[], Iterable[Secret]]


class LogFilter(logging.Filter):
    """Goes on every handler. Set `keys` to what gives the keys of this session; it is called on any thread."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: Keys = tuple

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true: a record is rewritten, for this handler and those after it. Never raises."""
        error = record.exc_info[1] if record.exc_info else None
        record.msg = self.masked(_message(record))
        record.args = None
        if error is not None:
            record.exc_text = self.masked("\n".join(frames_of(error)))
        elif record.exc_text:
            record.exc_text = HIDDEN
        record.exc_info = None
        record.stack_info = None  # it quotes lines of code, and the frames are known
        return True

    def masked(self, text: str) -> str:
        """The text without keys, neither those of this session nor what looks like one."""
        for key in self.keys():
            for form in _forms(key.reveal()):
                text = text.replace(form, HIDDEN)
        return KEY_SHAPES.sub(lambda found: f"{found['head'] or ''}{HIDDEN}", text)


def frames_of(error: BaseException) -> list[str]:
    """Lines that say of which types an error, what led to it and what it holds are, and where each was raised."""
    return [HEAD, *_told(error, set(), "  ")]


def _message(record: logging.LogRecord) -> str:
    name = record.name.partition(".")[0]
    if record.exc_info and record.exc_info[1] is not None and name not in OURS:
        return "an error that nothing caught"  # asyncio's own words quote the error and the arguments of the call
    record.msg = _harmless(record.msg)
    if isinstance(record.args, tuple):
        record.args = tuple(_harmless(each) for each in record.args)
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - a log never makes an error of its own
        return f"a message that could not be written ({type(error).__name__})"


def _harmless(value: object) -> object:
    """An error nobody expected says its type; ours are written for people, and quote nothing of theirs."""
    unexpected = isinstance(value, BaseException) and not isinstance(value, NearfarError)
    return type(value).__name__ if unexpected else value


def _told(error: BaseException, seen: set[int], indent: str) -> Iterator[str]:
    if id(error) in seen or len(seen) >= MAX_ERRORS:
        return
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _told(before, seen, indent)
        yield f"{indent}which led to:"
    yield from (indent + place for place in _places(error.__traceback__))
    yield f"{indent}{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield f"{indent}  one of {len(error.exceptions)}:"
            yield from _told(each, seen, indent + "    ")


def _places(trace: TracebackType | None) -> list[str]:
    places = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename}:{trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    if len(places) > MAX_FRAMES:
        half = MAX_FRAMES // 2
        places[half:-half] = [f"... {len(places) - 2 * half} more"]
    return places


def _forms(key: str) -> tuple[str, ...]:
    """A key as it may stand in a text; longest first."""
    if len(key) < SHORTEST:
        return ()
    encoded = base64.b64encode(key.encode()).decode()
    return tuple(dict.fromkeys((encoded, encoded.rstrip("="), quote(key, safe=""), key)))
