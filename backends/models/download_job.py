"""One download from plan to model: asks the hub, prepares the folder, fetches each part, publishes. Must not queue.

Parts lie in `<models>/.incomplete/` until every one of them has the right size and sha256; only then do they get their
names in `<models>/<owner>--<repo>/`, in the folder that they have in the repo, the one that llama.cpp opens last.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from backends.errors import NearfarError
from backends.models.download_disk import Lock, check_space, disk_problem, folder_gone
from backends.models.download_files import (
    is_proven,
    missing_bytes,
    placed_of,
    publish,
    remove_parts,
    size_of,
    total_of,
    vouched,
)
from backends.models.download_http import RangeClient
from backends.models.download_limit import Limiter
from backends.models.download_names import Layout, layout_of, shown
from backends.models.download_part import Part
from backends.models.download_reader import Pace, StartAgain
from backends.models.download_sidecar import Sidecar, read_sidecar
from backends.models.download_transfer import Source, Stopped, Transfer
from backends.models.errors import FileMismatch, FolderUnusable, ServerMisbehaved
from backends.models.hub import DOWNLOAD, Hub, Resolved
from backends.models.index import Stamp
from backends.models.records import DownloadPlan, RemoteFile
from backends.paths import ensure_folder
from backends.threads import start_aside

T = TypeVar("T")
MAX_RESTARTS = 2


class Job:
    """Runs once, on the engine loop; its blocking parts in threads. `stop` makes `run` raise Stopped, all kept."""

    def __init__(
        self, hub: Hub, plan: DownloadPlan, folder: Path, limiter: Limiter, pace: Pace, *, must_exist: bool = False
    ) -> None:
        """`must_exist`: the folder held parts of this download, so where it is missing it is not made again."""
        self.plan = plan
        self._hub = hub
        self._folder = folder
        self._limiter = limiter
        self._pace = pace
        self._must_exist = must_exist
        self.had_folder = False
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._asking: asyncio.Task[Resolved] | None = None
        self._transfer: Transfer | None = None
        self._part: Part | None = None
        self._sidecar: Sidecar | None = None
        self._before = 0

    @property
    def received_bytes(self) -> int:
        """Of all files, what earlier sessions fetched included."""
        part = self._part
        return self._before + (part.done_bytes if part is not None else 0)

    @property
    def total_bytes(self) -> int | None:
        return total_of(self.plan)

    def stop(self) -> None:
        """Idempotent; from the loop."""
        self._stop.set()
        if self._asking is not None:
            self._asking.cancel()
        if self._transfer is not None:
            self._transfer.stop()

    async def run(self) -> tuple[tuple[Path, ...], tuple[str, ...]]:
        """The files in place and their sha256; raises NearfarError or Stopped."""
        layout_of(self._folder, self.plan)  # refuse bad names before anybody is asked
        first = await self._complete()
        layout = layout_of(self._folder, self.plan)
        return await self._aside(lambda: self._all(layout, first))

    async def _complete(self) -> Resolved:
        """Fill in from the hub what the plan does not know, and pin its commit; where the first file lies."""
        files: list[RemoteFile] = []
        found: list[Resolved] = []
        for file in self.plan.files:
            known = file.size_bytes is not None and file.sha256 is not None
            if found and known:
                files.append(file)
                continue
            found.append(await self._resolve(file))
            files.append(vouched(file, found[-1]))
            self.plan = replace(self.plan, revision=self.plan.revision or found[-1].commit)
        self.plan = replace(self.plan, files=tuple(files))
        return found[0]

    async def _resolve(self, file: RemoteFile) -> Resolved:
        if self._stop.is_set():
            raise Stopped
        self._asking = asyncio.ensure_future(self._hub.resolve(self.plan.repo, self.plan.revision, file.path))
        try:
            await asyncio.wait({self._asking})
            if self._asking.cancelled():
                raise Stopped
            return self._asking.result()
        finally:
            self._asking.cancel()
            self._asking = None

    async def _aside(self, work: Callable[[], T]) -> T:
        """`work` in a thread; whoever cancels waits until it has put everything away."""
        future = asyncio.ensure_future(asyncio.wrap_future(start_aside(work)))
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError:
            self.stop()
            await asyncio.wait({future})
            raise
        return future.result()

    # -- from here on in a thread --------------------------------------------------------------------------------

    def _all(self, layout: Layout, first: Resolved) -> tuple[tuple[Path, ...], tuple[str, ...]]:
        try:
            if self._must_exist and not layout.incomplete.is_dir():
                raise folder_gone(layout.folder)
            self._make(layout)
            self.had_folder = True
            lock = Lock(layout.lock)
            lock.take()
            try:
                return self._locked(layout, first)
            finally:
                lock.give_back()
        except OSError as error:
            raise disk_problem(error, layout.folder) from error

    def _make(self, layout: Layout) -> None:
        try:
            ensure_folder(layout.incomplete)
        except FileNotFoundError as error:
            raise FolderUnusable(f"The models folder {layout.folder} cannot be made: {error.strerror}.") from error

    def _locked(self, layout: Layout, first: Resolved) -> tuple[tuple[Path, ...], tuple[str, ...]]:
        self._sidecar = sidecar = self._open_sidecar(layout)
        placed: frozenset[int] | None = frozenset()
        try:
            placed = placed_of(layout, sidecar, lambda: not self._stop.is_set())
            if placed is None:
                raise Stopped
            for index, file in enumerate(self.plan.files):
                if index not in placed:
                    left = [each for each in range(index, len(self.plan.files)) if each not in placed]
                    self._fetch_once(layout, index, left, first if index == 0 else None)
                self._before += size_of(file)
                self._part = None
            sidecar.close()
            publish(layout, placed, repairs=self.plan.repairs)
            remove_parts(layout)
        except (NearfarError, OSError):
            if not (sidecar.done_bytes or placed):
                sidecar.close()
                with contextlib.suppress(OSError):
                    remove_parts(layout)
            raise
        finally:
            sidecar.close()
        return layout.final, tuple(file.sha256 or "" for file in self.plan.files)

    def _open_sidecar(self, layout: Layout) -> Sidecar:
        """What earlier sessions left of the very same files; anything else starts from the beginning."""
        old = read_sidecar(layout.sidecar)
        if old is None or old.plan.files != self.plan.files:
            remove_parts(layout)
            return Sidecar(layout.sidecar, self.plan)
        there = range(len(layout.parts))
        claims = {index: old.claim(index) for index in there if layout.parts[index].exists()}
        proofs = {index: proof for index in there if (proof := old.proof(index)) is not None}
        return Sidecar(layout.sidecar, self.plan, claims, proofs)

    def _fetch_once(self, layout: Layout, index: int, left: Sequence[int], found: Resolved | None) -> None:
        """Fetch one file unless its part is whole already; before that, see to space for this and all others left.

        Others may have filled the disk while the file before it came.
        """
        assert self._sidecar is not None
        if is_proven(layout.parts[index], self._sidecar.proof(index)):
            return
        check_space(layout.incomplete, missing_bytes(layout, self._sidecar, left))
        self._sidecar.write()
        self._fetch(layout, index, self.plan.files[index], found)
        self._sidecar.prove(index, Stamp.of(layout.parts[index].stat()))

    def _fetch(self, layout: Layout, index: int, file: RemoteFile, found: Resolved | None) -> None:
        """One file, whole and with the right hash, as a part on disk. A wrong hash is fetched once more."""
        found = found or self._ask(file)
        source = Source(found.url, lambda: self._ask(file).url)
        whole, mismatches = False, 0
        for _ in range(MAX_RESTARTS + 1):
            try:
                sha256 = self._transferred(layout, index, file, source, whole=whole)
            except StartAgain as again:
                whole = whole or again.whole
                self._clear(layout, index)
                continue
            if sha256 == file.sha256:
                return
            self._clear(layout, index)
            mismatches += 1
            if mismatches == 2:
                raise FileMismatch(
                    f"{shown(file.path)} came with other bytes than the hub vouches for, twice: its sha256 is wrong."
                )
        why = "knows no ranges, and the connection broke" if whole else "sends another file each time it is asked"
        raise ServerMisbehaved(f"The server {why}.")

    def _transferred(self, layout: Layout, index: int, file: RemoteFile, source: Source, *, whole: bool) -> str:
        assert self._sidecar is not None
        part = Part(layout.parts[index], size_of(file), self._sidecar, index)
        try:
            part.open()
            self._part = part
            transfer = self._transfer = Transfer(part, source, self._client, self._limiter, self._pace, whole=whole)
            if self._stop.is_set():
                raise Stopped
            return transfer.run()
        finally:
            self._transfer = None
            part.close()

    def _client(self) -> RangeClient:
        return RangeClient(self._hub.egress, DOWNLOAD, self._hub.address, self._pace.stall_s)

    def _clear(self, layout: Layout, index: int) -> None:
        """Nothing of this file is claimed any more, then its bytes go."""
        assert self._sidecar is not None
        self._part = None
        self._sidecar.clear(index)
        layout.parts[index].unlink(missing_ok=True)

    def _ask(self, file: RemoteFile) -> Resolved:
        """From a thread: where a file lies now, checked against what is being fetched."""
        if self._stop.is_set():
            raise Stopped
        found = asyncio.run_coroutine_threadsafe(self._resolve(file), self._loop).result()
        vouched(file, found)
        return found
