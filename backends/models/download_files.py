"""What happens to a download's files before and after its bytes come: checked, found, published, removed.

Must not know the network. Its functions raise OSError, and run in threads.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

from backends.errors import NearfarError
from backends.files import flush_folder
from backends.models.download_disk import Lock, disk_problem
from backends.models.download_names import INCOMPLETE, Layout, layout_of, shown
from backends.models.download_sidecar import Sidecar, read_sidecar
from backends.models.errors import FileMismatch, ServerMisbehaved
from backends.models.hub import Resolved
from backends.models.records import DownloadPlan, RemoteFile
from backends.paths import ensure_folder

log = logging.getLogger(__name__)


def vouched(file: RemoteFile, found: Resolved) -> RemoteFile:
    """The file with size and hash; raises where the hub has another one now, or vouches for none."""
    name = shown(file.path)
    size, sha256 = found.size_bytes, found.sha256
    for ours, theirs in ((file.size_bytes, size), (file.sha256, sha256)):
        if ours is not None and theirs is not None and ours != theirs:
            raise FileMismatch(
                f"The hub now has another file under the name {name} than the one that was chosen.",
                safe="Nothing more was downloaded.",
                fix="List the repo again and choose the file anew.",
            )
    size, sha256 = file.size_bytes or size, file.sha256 or sha256
    if not size or sha256 is None:
        raise ServerMisbehaved(
            f"The hub does not say size and sha256 of {name}, so it could not be checked.",
            safe="Nothing was downloaded.",
            fix="Choose another file.",
        )
    return replace(file, size_bytes=size, sha256=sha256)


def size_of(file: RemoteFile) -> int:
    assert file.size_bytes is not None
    return file.size_bytes


def total_of(plan: DownloadPlan) -> int | None:
    """All files together; None where the hub has not said yet."""
    sizes = [file.size_bytes for file in plan.files]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def publish(layout: Layout) -> None:
    """Give every part its name, the first one last, so that a model is seen only when all of it is there."""
    home = ensure_folder(layout.final[0].parent)
    for part, final in reversed(list(zip(layout.parts, layout.final, strict=True))):
        os.replace(part, final)
    flush_folder(home)
    flush_folder(layout.folder)
    layout.sidecar.unlink(missing_ok=True)


def remove_parts(layout: Layout) -> None:
    """Remove what was fetched so far, and the notes about it."""
    layout.sidecar.unlink(missing_ok=True)
    for part in layout.parts:
        part.unlink(missing_ok=True)


def unused_bytes(layout: Layout, sidecar: Sidecar) -> int:
    """Bytes of the disk that parts hold already without having been filled: allocated ahead."""
    blocks = 0
    for part in layout.parts:
        try:
            blocks += getattr(part.stat(), "st_blocks", 0) * 512
        except FileNotFoundError:
            continue
    return max(0, blocks - sidecar.done_bytes)


def discard_parts(folder: Path, plan: DownloadPlan) -> None:
    """Remove what a download left; raises FolderUnusable, and DownloadError where it runs in another process."""
    layout = layout_of(folder, plan)
    if not layout.incomplete.is_dir():
        return
    try:
        lock = Lock(layout.lock)
        lock.take()
        try:
            remove_parts(layout)
        finally:
            lock.give_back()
    except OSError as error:
        raise disk_problem(error, folder) from error


def find_unfinished(folder: Path) -> list[tuple[DownloadPlan, int]]:
    """Downloads that earlier sessions left, with the bytes there. A file that makes no sense is passed over."""
    found: list[tuple[DownloadPlan, int]] = []
    try:
        sidecars = sorted((folder / INCOMPLETE).glob("*.json"))
    except OSError:
        return []
    for path in sidecars:
        try:
            sidecar = read_sidecar(path)
            if sidecar is not None and layout_of(folder, sidecar.plan).sidecar == path:
                found.append((sidecar.plan, sidecar.done_bytes))
        except (OSError, NearfarError) as error:
            log.info("an unfinished download was passed over: %s", type(error).__name__)
    return found
