"""Turns Ctrl-C and SIGTERM into one call on the event loop, so that a command ends in order. Must not know commands."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


def stop_on_signal(stop: Callable[[], None]) -> Callable[[], bool]:
    """Call `stop` on the running loop at Ctrl-C or SIGTERM; returns what says whether one came."""
    seen = [False]

    def handle(*_arguments: object) -> None:
        seen[0] = True
        stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, handle)
        except NotImplementedError:  # Windows loops have no signal handlers
            signal.signal(number, lambda *_arguments: loop.call_soon_threadsafe(handle))
    return lambda: seen[0]
