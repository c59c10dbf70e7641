"""One blocking call of somebody else's code, aside and with a time limit. Must not know what it calls."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import TypeVar

T = TypeVar("T")


def start_aside(work: Callable[[], T]) -> Future[T]:
    """Run `work` in a daemon thread of its own.

    A call that hangs (a driver, a keyring that waits for a password) then keeps its thread, but neither the loop nor
    the exit of the program, which a thread of `asyncio.to_thread` would.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        with contextlib.suppress(InvalidStateError):  # nobody waits any more
            try:
                value = work()
            except Exception as error:  # noqa: BLE001 - handed to whoever waits, whatever it is
                outcome.set_exception(error)
            else:
                outcome.set_result(value)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return outcome


async def call_aside(work: Callable[[], T], *, timeout_s: float) -> T:
    """What `work` returns or raises, from a thread of its own; TimeoutError after `timeout_s`."""
    return await asyncio.wait_for(asyncio.wrap_future(start_aside(work)), timeout_s)
