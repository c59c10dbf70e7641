"""Downloads that were begun and not ended, as they lie on the disk: listed, found by name, discarded. Must not fetch.

Whoever began them may be another process, alive or killed. Blocks; call it in a thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.errors import NearfarError
from backends.models.download_disk import Lock
from backends.models.download_files import discard_parts, find_unfinished, total_of
from backends.models.download_names import Layout, layout_of
from backends.models.errors import DownloadError, InUse
from backends.models.records import DownloadPlan


@dataclass(frozen=True, slots=True)
class Unfinished:
    """`received_bytes` came so far; `disk_bytes` is what the disk gets back, space taken ahead included.

    `running`: some process is downloading it now. `total_bytes` None: the hub has not said.
    """

    plan: DownloadPlan
    received_bytes: int
    total_bytes: int | None
    disk_bytes: int
    running: bool

    @property
    def ref(self) -> str:
        return self.plan.ref


def unfinished(folder: Path) -> tuple[Unfinished, ...]:
    """By ref; what makes no sense is passed over."""
    found = [_look(layout_of(folder, plan), plan, received) for plan, received in find_unfinished(folder)]
    return tuple(sorted(found, key=lambda each: each.ref.lower()))


def find_unfinished_named(all_of_them: Sequence[Unfinished], name: str) -> Unfinished | None:
    """The one of this ref, in any case, or of the hub's name for one of its files."""
    wanted = name.strip().lower()
    for each in all_of_them:
        files = (f"hf:{each.plan.repo}/{file.path}".lower() for file in each.plan.files)
        if wanted == each.ref.lower() or wanted in files:
            return each
    return None


def discard(folder: Path, each: Unfinished) -> int:
    """Remove its parts; returns the bytes freed. Raises InUse while it runs, and FolderUnusable."""
    freed = _look(layout_of(folder, each.plan), each.plan, 0).disk_bytes
    try:
        discard_parts(folder, each.plan)
    except NearfarError as error:
        if not isinstance(error, DownloadError):
            raise
        raise InUse(f"{each.plan.name} is being downloaded now.", fix="Stop that download, then try again.") from None
    return freed


def _look(layout: Layout, plan: DownloadPlan, received: int) -> Unfinished:
    disk = 0
    for path in (*layout.parts, layout.sidecar):
        with contextlib.suppress(OSError):
            stat = path.stat()
            disk += stat.st_blocks * 512 if hasattr(stat, "st_blocks") else stat.st_size
    return Unfinished(plan, received, total_of(plan), disk, _is_running(layout))


def _is_running(layout: Layout) -> bool:
    if not layout.lock.exists():  # whoever downloads holds it
        return False
    lock = Lock(layout.lock)
    try:
        lock.take()
    except DownloadError:
        return True
    except OSError:
        return False
    lock.give_back()
    return False
