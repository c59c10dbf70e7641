"""What happens to errors nobody expected: the log has them, the person reads one calm sentence. Must not hold keys.

The sentence names the log and never the error, whose own text may hold a prompt; nor does the log have that text, see
`log_filter`. Native crashes of this process leave their stack in the same folder through faulthandler.
"""

from __future__ import annotations

import faulthandler
import logging
import logging.handlers
import os
import sys
import threading
import time
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import TextIO

from app.log_filter import LogFilter
from backends.errors import Problem

log = logging.getLogger("nearfar")

LOG_BYTES = 1_000_000
LOG_NAME = "nearfar.log"
TOLD_EVERY_S = 60.0
OURS = frozenset({"nearfar", "app", "asyncio"})  # whose errors reach nobody in any other way

Listener = Callable[[Problem], None]
_native: list[TextIO] = []


def keep_logs(folder: Path) -> Teller:
    """Log to `folder`/nearfar.log, 2 MB at most. A folder that cannot be written is not an error: stderr serves.

    Returns what tells the person of errors; until it is given a listener, it tells them on stderr.
    """
    handler: logging.Handler
    place: Path | None = folder / LOG_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handler = _LogFile(folder / LOG_NAME, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8", delay=True)
        for earlier in folder.glob(f"{LOG_NAME}*"):
            earlier.chmod(0o600)
        _native.append(open_private(folder / "native-crash.log"))
        faulthandler.enable(_native[-1])
    except OSError:
        handler, place = logging.StreamHandler(sys.stderr), None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    teller = Teller(place)
    handler.addFilter(teller.filter_of_logs)
    teller.addFilter(teller.filter_of_logs)
    root = logging.getLogger()
    root.addHandler(handler)
    root.addHandler(teller)  # after the log, so that what it points to is there
    root.setLevel(logging.INFO)
    for chatty in ("asyncio", "httpx2", "httpcore2", "openai"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    _hook()
    return teller


def open_private(path: Path) -> TextIO:
    """A file to append to, which only its owner may read; also where it was there with other rights."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags, 0o600)

    file = open(path, "a", encoding="utf-8", opener=opener)  # noqa: SIM115  its handler closes it
    path.chmod(0o600)
    return file


class _LogFile(logging.handlers.RotatingFileHandler):
    def _open(self) -> TextIOWrapper:
        file = open_private(Path(self.baseFilename))
        assert isinstance(file, TextIOWrapper)
        return file


class Teller(logging.Handler):
    """Turns errors in the log into the one sentence for a person, at most once a minute. Set `listener` at any time;
    it is called on whatever thread the error happened."""

    def __init__(self, place: Path | None) -> None:
        super().__init__(logging.ERROR)
        self.listener: Listener | None = None
        self.filter_of_logs = LogFilter()
        self.where = f"is written in {place}" if place is not None else "was written to the terminal"
        self.problem = Problem(
            code="defect",
            what="Something went wrong inside Nearfar.",
            safe="Your prompt and any text that arrived are kept.",
            fix=f"If the window misbehaves, start it again. What happened {self.where}.",
        )
        self._told_at: float | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """`logging` holds this handler's lock around it."""
        now = time.monotonic()
        ours = record.name.partition(".")[0] in OURS
        if not ours or (self._told_at is not None and now - self._told_at < TOLD_EVERY_S):
            return
        self._told_at = now
        if self.listener is None:
            print(f"nearfar: {self.problem.sentence}", file=sys.stderr)
        else:
            self.listener(self.problem)


def _hook() -> None:
    sys.excepthook = _log_exception
    sys.unraisablehook = lambda arguments: log.warning(
        "unexpected error while tidying up",
        exc_info=(arguments.exc_type, arguments.exc_value or arguments.exc_type(), arguments.exc_traceback),
    )
    threading.excepthook = lambda arguments: _log_exception(
        arguments.exc_type, arguments.exc_value or arguments.exc_type(), arguments.exc_traceback
    )


def _log_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    log.critical("unexpected error", exc_info=(kind, error, trace))
