"""What happens to a download's files before and after its bytes come: checked, found, published, removed.

Must not know the network. Its functions raise OSError, and run in threads.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path

from backends.errors import NearfarError
from backends.files import flush_folder
from backends.models.download_disk import Lock, disk_problem
from backends.models.download_names import INCOMPLETE, Layout, layout_of, shown
from backends.models.download_sidecar import Sidecar, read_sidecar
from backends.models.errors import FileMismatch, NameTaken, ServerMisbehaved
from backends.models.hub import Resolved
from backends.models.index import Stamp
from backends.models.records import DownloadPlan, RemoteFile
from backends.paths import ensure_folder

log = logging.getLogger(__name__)

READ_BYTES = 2**20


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


def publish(layout: Layout, placed: Collection[int] = (), *, repairs: bool = False) -> None:
    """Give every part its name, the first one last, so that a model is seen only when all of it is there.

    Those at `placed` have it already. Raises NameTaken where a file is in the way, unless the download `repairs` it.
    """
    home = ensure_folder(layout.final[0].parent)
    for index, (part, final) in reversed(list(enumerate(zip(layout.parts, layout.final, strict=True)))):
        if index in placed:
            continue
        if os.path.lexists(final) and not (repairs and final.is_file()):
            raise name_taken(final)
        os.replace(part, final)
    flush_folder(home)
    flush_folder(layout.folder)
    layout.sidecar.unlink(missing_ok=True)


def remove_parts(layout: Layout) -> None:
    """Remove what was fetched so far, and the notes about it."""
    layout.sidecar.unlink(missing_ok=True)
    for part in layout.parts:
        part.unlink(missing_ok=True)


def name_taken(final: Path) -> NameTaken:
    return NameTaken(
        f"There is another file named {final.name} in {final.parent} already, with other bytes than this download has.",
        fix="Remove that file or move it elsewhere, then press Resume.",
    )


def is_proven(path: Path, stamp: Stamp | None) -> bool:
    """Whether the file at `path` is there and still the one that was found to be right. Raises OSError."""
    try:
        return stamp is not None and Stamp.of(os.lstat(path)) == stamp
    except FileNotFoundError:
        return False


def placed_of(layout: Layout, sidecar: Sidecar, go_on: Callable[[], bool]) -> frozenset[int] | None:
    """Which files have their names already, with the right bytes; None where `go_on` said no.

    A file is read once for that. Raises NameTaken for one with other bytes, unless the plan repairs it.
    """
    placed: set[int] = set()
    for index, (final, file) in enumerate(zip(layout.final, sidecar.plan.files, strict=True)):
        if not is_proven(final, sidecar.proof(index)):
            if not os.path.lexists(final):
                continue
            if not final.is_file():
                raise name_taken(final)
            stamp = Stamp.of(final.stat())
            right = stamp.size_bytes == size_of(file) and _sha256(final, go_on) == file.sha256
            if not go_on():
                return None
            if not right and sidecar.plan.repairs:
                continue
            if not right:
                raise name_taken(final)
            sidecar.prove(index, stamp)
        placed.add(index)
    return frozenset(placed)


def _sha256(path: Path, go_on: Callable[[], bool]) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while go_on() and (chunk := stream.read(READ_BYTES)):
            digest.update(chunk)
    return digest.hexdigest()


def missing_bytes(layout: Layout, sidecar: Sidecar, indices: Iterable[int]) -> int:
    """What the files at `indices` still need of the disk, beyond what their parts hold or had allocated ahead."""
    missing = 0
    for index in indices:
        try:
            blocks = getattr(layout.parts[index].stat(), "st_blocks", 0) * 512
        except FileNotFoundError:
            blocks = 0
        missing += max(0, size_of(sidecar.plan.files[index]) - max(blocks, sidecar.claim(index).likely_bytes))
    return missing


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
    """Downloads that earlier sessions left, with the bytes there; files that have their names already are counted.

    A file that makes no sense is passed over.
    """
    found: list[tuple[DownloadPlan, int]] = []
    try:
        sidecars = sorted((folder / INCOMPLETE).glob("*.json"))
    except OSError:
        return []
    for path in sidecars:
        try:
            sidecar = read_sidecar(path)
            if sidecar is not None and (layout := layout_of(folder, sidecar.plan)).sidecar == path:
                placed = [
                    size_of(file)
                    for index, (final, file) in enumerate(zip(layout.final, sidecar.plan.files, strict=True))
                    if is_proven(final, sidecar.proof(index)) and not layout.parts[index].exists()
                ]
                parts = (sidecar.claim(index).likely_bytes for index, part in enumerate(layout.parts) if part.exists())
                found.append((sidecar.plan, sum(placed) + sum(parts)))
        except (OSError, NearfarError) as error:
            log.info("an unfinished download was passed over: %s", type(error).__name__)
    return found
