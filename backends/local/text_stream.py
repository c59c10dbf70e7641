"""Turns token bytes into text that may be shown: whole characters only, and nothing of a stop sequence. Pure."""

from __future__ import annotations

import codecs
import threading
from collections.abc import Sequence


class TextStream:
    """Bytes go in token by token; `take` gives the text that may be shown and the stamps of the tokens behind it.

    A token counts once a character that follows its start is shown, so the tokens of a stop sequence never count.
    Bytes that are no UTF-8 become U+FFFD; a character that is still incomplete waits for its other bytes.
    One thread may add while another takes.
    """

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self.stopped = False
        self._stops = tuple(stops)
        self._longest = max(map(len, self._stops), default=0)
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._tokens: list[tuple[int, int]] = []  # (characters before the token, its stamp)
        self._decoded = 0
        self._released = 0
        self._held = ""
        self._shown: list[str] = []
        self._lock = threading.Lock()

    @property
    def ready(self) -> bool:
        """True when there is text to take."""
        return bool(self._shown)

    @property
    def waiting(self) -> int:
        """Tokens not taken yet."""
        return len(self._tokens)

    def add(self, piece: bytes, stamp_ns: int) -> None:
        """One token's bytes; sets `stopped` when they complete a stop sequence."""
        with self._lock:
            self._tokens.append((self._decoded, stamp_ns))
            text = self._decode(piece)
            if not text:
                return
            self._decoded += len(text)
            if self._stops:
                self._hold(text)
            else:
                self._release(text)

    def finish(self) -> None:
        """No more tokens: what was held back is shown, a half character as U+FFFD. Does nothing after a stop."""
        if self.stopped:
            return
        with self._lock:
            rest = self._held + self._decode(b"", True)
            self._held = ""
            if rest:
                self._release(rest)
            # Tokens without text at the very end, such as control tokens, count too.
            self._released += 1

    def take(self) -> tuple[str, tuple[int, ...]]:
        """Text to show and the stamps of its tokens, once."""
        with self._lock:
            text = "".join(self._shown)
            self._shown.clear()
            stamps = tuple(stamp for start, stamp in self._tokens if start < self._released)
            self._tokens = [token for token in self._tokens if token[0] >= self._released]
        return text, stamps

    def _release(self, text: str) -> None:
        self._shown.append(text)
        self._released += len(text)

    def _hold(self, text: str) -> None:
        held = self._held + text
        found = min((at for at in map(held.find, self._stops) if at >= 0), default=-1)
        if found >= 0:
            self.stopped = True
            keep, self._held = held[:found], ""
        else:
            cut = len(held) - self._possible_start(held)
            keep, self._held = held[:cut], held[cut:]
        if keep:
            self._release(keep)

    def _possible_start(self, held: str) -> int:
        """Length of the longest end of `held` that a stop sequence could begin with."""
        for length in range(min(self._longest - 1, len(held)), 0, -1):
            tail = held[-length:]
            if any(stop.startswith(tail) for stop in self._stops):
                return length
        return 0
