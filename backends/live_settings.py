"""The settings as they hold in this process, beside other processes that change the same file. Must not know who shows
them, nor what they are applied to.

A save writes only what this process changed; what the others wrote is taken over.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from backends.errors import Problem, SettingsNotSaved
from backends.settings import KEYS, Settings, SettingsFile
from backends.settings_merge import merged

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0

Changed = frozenset[str]


class LiveSettings:
    """`now` holds; safe from any thread but for `save`, which belongs to an event loop."""

    def __init__(self, file: SettingsFile) -> None:
        loaded = file.load()
        self.now = loaded.settings
        self.warnings = loaded.warnings
        self.applied: Callable[[Changed], None] = _nobody  # at once, on the thread that changed or took over
        self.taken_over: Callable[[Changed], None] = _nobody  # others changed these; on any thread
        self._file = file
        self._base = loaded.settings  # what the file said when it was read or written last
        self._changing = threading.Lock()  # short: around what is in memory
        self._syncing = threading.Lock()  # around reading and writing the file, and what follows from it
        self._saver = ThreadPoolExecutor(1, thread_name_prefix="settings")
        self._unsaved = False

    def change(self, **changes: object) -> None:
        """They hold at once, and on disk after `save`."""
        with self._changing:  # the window and the engine loop both change settings
            self.now = replace(self.now, **changes)  # type: ignore[arg-type]  # checked when saved
            self._unsaved = True
        self.applied(frozenset(changes))

    async def save(self) -> Problem | None:
        """Write changed settings, off the loop: a flush to disk takes its time. Says what went wrong; never raises."""
        if not self._unsaved:
            return None
        try:
            # One thread, so that an older save can never end after a newer one.
            await asyncio.get_running_loop().run_in_executor(self._saver, self._store)
        except SettingsNotSaved as error:
            log.warning("%s", error.problem.what)
            return error.problem
        return None

    def close(self) -> None:
        """After the last save."""
        self._saver.shutdown(wait=False)

    def look(self, *, wait: bool = True) -> None:
        """Take over what other processes have written since. A glance at the file's date and size where nothing was.

        Without `wait` it does nothing while a save is under way, which takes the same over. Never raises.
        """
        if not self._syncing.acquire(blocking=wait):
            return
        try:
            news = self._file.news(self._base)
            if news is not None:
                self._take(self._base, news)
        finally:
            self._syncing.release()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """What other processes write meanwhile holds here within LOOK_EVERY_S: local only cuts what is under way."""
        await asyncio.to_thread(self.look)

        async def keep_looking() -> None:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                await asyncio.to_thread(self.look, wait=False)

        task = asyncio.get_running_loop().create_task(keep_looking(), name="settings of others")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _store(self) -> None:
        with self._syncing:
            with self._changing:
                mine, base = self.now, self._base
            self._take(mine, self._file.save(mine, base))

    def _take(self, known: Settings, file: Settings) -> None:
        """The file says `file` now, in which everything of `known` is that was changed here until then."""
        with self._changing:
            before = self.now
            self.now = merged(known, before, file)
            self._base = file
            self._unsaved = self.now != file
        changed = frozenset(key for key in KEYS if getattr(before, key) != getattr(self.now, key))
        if changed:
            log.info("another Nearfar changed settings: %s", ", ".join(sorted(changed)))
            self.applied(changed)
            self.taken_over(changed)


def _nobody(_changed: Changed) -> None:
    """Until somebody listens."""
