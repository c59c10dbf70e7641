"""The queue of downloads: one at a time, paused, resumed, found again after a restart. Must not know windows.

Everything here runs on the engine loop. What blocks is in `download_job` and below.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from backends.errors import NearfarError, Problem
from backends.models.download_disk import disk_problem
from backends.models.download_files import discard_parts, find_unfinished, total_of
from backends.models.download_job import Job
from backends.models.download_limit import Limiter
from backends.models.download_names import layout_of
from backends.models.download_reader import Pace
from backends.models.download_transfer import Stopped
from backends.models.errors import DownloadError
from backends.models.hub import Hub
from backends.models.records import DownloadPlan, DownloadProgress, DownloadState

log = logging.getLogger(__name__)

CHANGE_S = 0.2
RATE_OVER_S = 5.0
LIVE = frozenset({"queued", "running", "paused"})

OnChange = Callable[[tuple[DownloadProgress, ...]], None]
OnDone = Callable[[DownloadPlan, tuple[Path, ...], tuple[str, ...]], Awaitable[None] | None]


@dataclass(slots=True)
class _Entry:
    """`folder` is where it was begun; its parts lie there (`seen`), whatever folder is chosen later."""

    plan: DownloadPlan
    folder: Path
    state: DownloadState = "queued"
    problem: Problem | None = None
    received: int = 0
    seen: bool = False
    job: Job | None = None
    task: asyncio.Task[None] | None = None
    stop_as: DownloadState | None = None
    samples: deque[tuple[float, int]] = field(default_factory=deque)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ended_well(self) -> bool:
        return self.state == "done"

    def progress(self) -> DownloadProgress:
        received = self.job.received_bytes if self.job is not None else self.received
        total, rate = total_of(self.job.plan if self.job is not None else self.plan), self._rate(received)
        return DownloadProgress(
            ref=self.plan.ref,
            name=self.plan.name,
            quant=self.plan.quant,
            state=self.state,
            received_bytes=received,
            total_bytes=total,
            rate_bytes_s=rate,
            left_s=(total - received) / rate if rate and total is not None else None,
            problem=self.problem,
        )

    def _rate(self, received: int) -> float | None:
        """Over the last seconds; None until there are two samples, and while nothing runs."""
        if self.state != "running" or self.job is None:
            self.samples.clear()
            return None
        now = time.monotonic()
        self.samples.append((now, received))
        while now - self.samples[0][0] > RATE_OVER_S and len(self.samples) > 2:
            self.samples.popleft()
        began, before = self.samples[0]
        return max(0.0, (received - before) / (now - began)) if now - began >= CHANGE_S else None


class Downloads:
    """All downloads by ref. Use it on one event loop; `close` pauses everything, durably."""

    def __init__(
        self,
        hub: Hub,
        folder: Callable[[], Path] | Path,
        *,
        on_change: OnChange,
        on_done: OnDone,
        limit_bytes_s: float | None = None,
        pace: Pace | None = None,
    ) -> None:
        """`on_change` is called at most five times a second; `on_done` once the files are in place, and awaited."""
        self._hub = hub
        self._folder = folder
        self._on_change = on_change
        self._on_done = on_done
        self._limiter = Limiter(limit_bytes_s)
        self._pace = pace or Pace()
        self._entries: dict[str, _Entry] = {}
        self._told_at = 0.0
        self._telling: asyncio.TimerHandle | None = None
        self._closing = False

    # -- what a person can do ------------------------------------------------------------------------------------

    def add(self, plan: DownloadPlan) -> None:
        """Put a download at the end of the queue; parts of an earlier session are used.

        Raises BadReference, and DownloadError where this file is being downloaded already.
        """
        key = layout_of(self._place(), plan).key
        for ref, entry in self._entries.items():
            if entry.state in LIVE and (ref == plan.ref or layout_of(self._place(), entry.plan).key == key):
                raise DownloadError(
                    f"{plan.name} is being downloaded already.",
                    safe="Nothing was started twice.",
                    fix="Look for it among the downloads; a paused one goes on with Resume.",
                )
        self._entries.pop(plan.ref, None)
        self._entries[plan.ref] = _Entry(plan, self._place())
        self._pump()

    async def pause(self, ref: str) -> None:
        """Stop it and wait until everything that came is on disk. Nothing happens to one that has ended."""
        await self._end(ref, "paused")

    def resume(self, ref: str) -> None:
        """Put a download that was paused, cancelled or failed at the end of the queue again."""
        entry = self._entries.get(ref)
        if entry is None or entry.state in ("queued", "running", "done"):
            return
        del self._entries[ref]
        folder = entry.folder if entry.seen else self._place()
        fresh = self._entries[ref] = _Entry(entry.plan, folder, received=entry.received, seen=entry.seen)
        fresh.state = "queued"
        self._pump()

    async def cancel(self, ref: str, *, discard: bool = False) -> None:
        """Stop it; its part stays and can be resumed, unless it is to be discarded. Raises FolderUnusable."""
        entry = self._entries.get(ref)
        if entry is None or entry.ended_well:
            return
        await self._end(ref, "cancelled")
        if entry.ended_well:  # it was quicker
            return
        entry.state, entry.problem = "cancelled", None
        if discard:
            await asyncio.to_thread(discard_parts, entry.folder, entry.plan)
            entry.received = 0
        self._tell()

    def forget(self, ref: str) -> None:
        """Leave one that has ended out of the list; nothing on disk is touched."""
        entry = self._entries.get(ref)
        if entry is not None and entry.state not in LIVE:
            del self._entries[ref]
            self._tell()

    def set_limit(self, limit_bytes_s: float | None) -> None:
        """In bytes per second, for all downloads together; None is no limit. Holds at once."""
        self._limiter.set(limit_bytes_s)

    def snapshot(self) -> tuple[DownloadProgress, ...]:
        """In the order of the queue."""
        return tuple(entry.progress() for entry in self._entries.values())

    def live_plans(self) -> tuple[DownloadPlan, ...]:
        """Of downloads that are queued, running or paused."""
        return tuple(entry.plan for entry in self._entries.values() if entry.state in LIVE)

    async def restore(self) -> None:
        """Add the downloads that earlier sessions left, as paused ones. Raises nothing: a bad file is passed over."""
        folder = self._place()
        for plan, received in await asyncio.to_thread(find_unfinished, folder):
            if plan.ref not in self._entries:
                entry = self._entries[plan.ref] = _Entry(plan, folder, received=received, seen=True)
                entry.state = "paused"
                entry.ended.set()
        self._tell()

    def moved(self, old: Path, new: Path) -> None:
        """The models folder was moved, with what was fetched so far."""
        for entry in self._entries.values():
            if entry.folder == old:
                entry.folder = new

    async def wait(self, ref: str) -> DownloadProgress:
        """Until it is neither queued nor running; how it ended. Raises KeyError for one that is not here."""
        entry = self._entries[ref]
        await entry.ended.wait()
        return entry.progress()

    async def close(self) -> None:
        """Pause everything and wait until it is on disk; idempotent."""
        self._closing = True
        for ref in list(self._entries):
            await self.pause(ref)
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    # -- the queue -----------------------------------------------------------------------------------------------

    def _place(self) -> Path:
        return self._folder if isinstance(self._folder, Path) else self._folder()

    def _pump(self) -> None:
        """Start the next one, where none runs."""
        running = any(entry.task is not None for entry in self._entries.values())
        waiting = next((entry for entry in self._entries.values() if entry.state == "queued"), None)
        if not running and waiting is not None and not self._closing:
            waiting.state = "running"
            waiting.task = asyncio.create_task(self._run(waiting))
        self._tell()

    async def _run(self, entry: _Entry) -> None:
        ticking = asyncio.create_task(self._tick())
        try:
            entry.state, entry.problem = await self._outcome(entry)
        except asyncio.CancelledError:
            entry.state = "paused"
            raise
        finally:
            ticking.cancel()
            if entry.job is not None:
                entry.received, entry.plan = entry.job.received_bytes, entry.job.plan
                entry.seen = entry.seen or entry.job.had_folder
            entry.job = entry.task = None
            entry.ended.set()
            self._pump()

    async def _outcome(self, entry: _Entry) -> tuple[DownloadState, Problem | None]:
        if entry.stop_as is not None:  # before it had begun
            return entry.stop_as, None
        try:
            entry.job = Job(self._hub, entry.plan, entry.folder, self._limiter, self._pace, must_exist=entry.seen)
            paths, hashes = await entry.job.run()
            outcome = self._on_done(entry.job.plan, paths, hashes)
            if inspect.isawaitable(outcome):
                await outcome
        except Stopped:
            return entry.stop_as or "paused", None
        except NearfarError as error:
            return "failed", error.problem
        except OSError as error:
            return "failed", disk_problem(error, entry.folder).problem
        except Exception:
            log.exception("a download ended in an unexpected way")
            return "failed", DownloadError("The download ended in an unexpected way.").problem
        return "done", None

    async def _end(self, ref: str, state: DownloadState) -> None:
        entry = self._entries.get(ref)
        if entry is None or entry.state not in ("queued", "running"):
            return
        if entry.task is None:
            entry.state = state
            entry.ended.set()
            self._tell()
            return
        entry.stop_as = state
        if entry.job is not None:
            entry.job.stop()
        await asyncio.wait({entry.task})

    # -- telling -------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(CHANGE_S)
            self._tell()

    def _tell(self) -> None:
        """Now, or as soon as the last time is long enough ago; the last change is always told."""
        if self._telling is not None:
            return
        left = self._told_at + CHANGE_S - time.monotonic()
        if left <= 0 or self._closing:
            self._tell_now()
        else:
            self._telling = asyncio.get_running_loop().call_later(left, self._tell_now)

    def _tell_now(self) -> None:
        self._telling = None
        self._told_at = time.monotonic()
        self._on_change(self.snapshot())
