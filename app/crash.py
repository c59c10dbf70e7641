"""What happens to errors nobody expected: they go to the log, never to the person as a traceback. Must not hold keys.

Native crashes of this process leave their stack in the same folder through faulthandler.
"""

from __future__ import annotations

import faulthandler
import logging
import logging.handlers
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import TextIO

log = logging.getLogger("nearfar")

LOG_BYTES = 1_000_000
_native: list[TextIO] = []


def keep_logs(folder: Path) -> None:
    """Log to `folder`/nearfar.log, 2 MB at most. A folder that cannot be written is not an error: stderr serves."""
    handler: logging.Handler
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handler = logging.handlers.RotatingFileHandler(
            folder / "nearfar.log", maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8", delay=True
        )
        _native.append((folder / "native-crash.log").open("a", encoding="utf-8"))
        faulthandler.enable(_native[-1])
    except OSError:
        handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for chatty in ("asyncio", "httpx2", "httpcore2", "openai"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    sys.excepthook = _log_exception
    threading.excepthook = lambda arguments: _log_exception(
        arguments.exc_type, arguments.exc_value or arguments.exc_type(), arguments.exc_traceback
    )


def _log_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    log.critical("unexpected error", exc_info=(kind, error, trace))
