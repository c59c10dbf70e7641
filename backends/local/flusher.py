"""Hands out an answer's text while llama.cpp computes the next token. Must not know tokens, pipes or messages.

Turning text into a line and writing it takes as long as drawing a token does. Python is free while llama.cpp computes,
so another thread does it then, and no token waits for the text of the one before.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Self

from backends.local.text_stream import TextStream

FLUSH_S = 0.02  # twice as often as the window looks; each line costs both processes CPU that decoding wants
MAX_WAITING_TOKENS = 1024
OnText = Callable[[str, tuple[int, ...]], None]


class Flusher:
    """`on_text` gets what the stream may show, in order: the first text at once, the rest every 20 ms from a thread.

    As a context it ends the thread, and where the run failed hands out what there is. What `on_text` raises is raised
    again by `flush` or `close`.
    """

    def __init__(self, stream: TextStream, on_text: OnText) -> None:
        self._stream = stream
        self._on_text = on_text
        self._turn = threading.Lock()  # a text is taken and handed out in one turn, else two would change places
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self.n_tokens = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self._stop()
        if kind is not None:
            with contextlib.suppress(Exception):  # the run has an error already, which may be the same one
                self._stream.finish()
                self.flush()

    def begin(self) -> None:
        """Hand out the first text now, and what comes later in time."""
        self.flush()
        self._thread = threading.Thread(target=self._flush_in_time, name="flush", daemon=True)
        self._thread.start()

    def flush(self) -> None:
        """Hand out what there is; waits while the thread does, and so for a reader that is slow."""
        with self._turn:
            text, stamps = self._stream.take()
            if text or stamps:
                self.n_tokens += len(stamps)
                self._on_text(text, stamps)
        self._raise()

    def close(self) -> None:
        """Hand out the rest, from the calling thread."""
        self._stop()
        self._raise()
        self.flush()

    def _stop(self) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _flush_in_time(self) -> None:
        while not self._done.wait(FLUSH_S):
            try:
                self.flush()
            except BaseException as error:  # noqa: BLE001 - it belongs to the run, whose thread raises it again
                self._error = error
                return
