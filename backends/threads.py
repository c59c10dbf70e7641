"""One blocking call of somebody else's code, aside and with a time limit. Must not know what it calls."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import TypeVar

T = TypeVar("T")


async def call_aside(work: Callable[[], T], *, timeout_s: float) -> T:
    """Run `work` in a daemon thread and wait at most `timeout_s`; raises TimeoutError, or what `work` raised.

    A call that hangs (a driver, a keyring waiting for a password) keeps its thread, but neither the loop nor the exit
    of the program, which the threads of `asyncio.to_thread` would.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            value = work()
        except Exception as error:  # noqa: BLE001 - handed to the waiting coroutine, whatever it is
            with contextlib.suppress(InvalidStateError):  # nobody waits any more
                outcome.set_exception(error)
        else:
            with contextlib.suppress(InvalidStateError):
                outcome.set_result(value)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return await asyncio.wait_for(asyncio.wrap_future(outcome), timeout_s)
