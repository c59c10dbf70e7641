"""What llama.cpp said of this machine's devices, and when: names keep, free memory does not. Must not know NVML.

It is asked in a process of its own: one that has loaded a model holds memory, and one that is old may have lost a GPU.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from backends.errors import NearfarError
from backends.local.engine import LocalEngine
from backends.local.facts import WorkerFacts

PROBE_S = 30.0
ASK_AGAIN_S = 60.0  # a llama.cpp that did not start is not started again at every look


class AskedFacts:
    """Use it on the engine loop. `engine` makes one that was not started yet; it is asked and closed."""

    def __init__(self, engine: Callable[[], LocalEngine]) -> None:
        self._engine = engine
        self._facts: WorkerFacts | None = None
        self._asked_s = self._doubted_s = self._failed_s = -ASK_AGAIN_S
        self._turn = asyncio.Lock()

    async def known(self, since_s: float, *, try_again: bool = False) -> WorkerFacts | None:
        """What is known; asks first where nothing is, or where it was doubted and is older than `since_s`.

        Free sizes older than that are None. After a failure it asks again a minute later, or at once to `try_again`.
        Times are those of `time.monotonic`.
        """
        async with self._turn:
            doubtful = self._asked_s <= self._doubted_s and self._asked_s < since_s
            if self._facts is None or doubtful:
                await self._ask(try_again=try_again)
            return self._sized(since_s)

    async def asked(self, since_s: float, *, try_again: bool = False) -> WorkerFacts | None:
        """As `known`, but asks wherever the last answer is older than `since_s`."""
        async with self._turn:
            if self._facts is None or self._asked_s < since_s:
                await self._ask(try_again=try_again)
            return self._sized(since_s)

    def doubt(self) -> None:
        """A driver is in trouble: what was said up to now may name GPUs that are gone, or leave out some."""
        self._doubted_s = time.monotonic()

    async def _ask(self, *, try_again: bool) -> None:
        if not try_again and time.monotonic() - self._failed_s < ASK_AGAIN_S:
            return
        engine, begun_s = self._engine(), time.monotonic()
        try:
            self._facts = await asyncio.wait_for(engine.probe(), PROBE_S)
            self._asked_s = begun_s
        except (TimeoutError, NearfarError):
            # What is wrong with llama.cpp is for `doctor` and for the first run to say.
            self._failed_s = time.monotonic()
            if self._asked_s <= self._doubted_s:
                self._facts = None
        finally:
            with contextlib.suppress(NearfarError):
                await engine.close()

    def _sized(self, since_s: float) -> WorkerFacts | None:
        if self._facts is None or self._asked_s >= since_s:
            return self._facts
        return replace(self._facts, devices=tuple(replace(each, free_bytes=None) for each in self._facts.devices))
