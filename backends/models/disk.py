"""Copies large files safely: hashed, flushed, never over another file, with room left. Must not know what is in them.

A copy grows under a name that no scan takes for a model and gets its own name in one step when it is whole.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from backends.errors import ModelMissing, NearfarError
from backends.models.download_disk import RESERVE_BYTES
from backends.models.errors import DiskFull, FileMismatch, FolderUnusable
from backends.models.folder import never
from backends.models.index import Stamp
from backends.models.regular import open_regular
from backends.models.verify import BLOCK_BYTES, Hashed, OnBytes, hash_file, nothing
from backends.paths import ensure_folder
from backends.sizes import size_words

BLOCKS_BETWEEN_LOOKS = 16
UNFINISHED = ".incomplete"
NOT_MOVED = "Nothing was removed or overwritten."


def folder_problem(folder: Path, error: OSError) -> NearfarError:
    """The sentence for what a disk answered; `safe` holds for every caller here, because all of them only add."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"The disk of {folder} is full.", safe=NOT_MOVED, fix="Free space on this disk, or choose another folder."
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return FolderUnusable(f"The folder {folder} cannot be written ({error.strerror}).", safe=NOT_MOVED)
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ESTALE, errno.EIO, errno.ENXIO):
        return FolderUnusable(
            f"The folder {folder} is gone or does not answer ({error.strerror}).",
            safe=NOT_MOVED,
            fix="Connect its disk again, or choose another folder for models in Settings.",
        )
    return FolderUnusable(f"The folder {folder} cannot be used ({error.strerror}).", safe=NOT_MOVED)


def make_room(folder: Path, size_bytes: int) -> None:
    """As `make_writable`, and see that it holds `size_bytes` more with 1 GiB to spare. Raises DiskFull, too."""
    make_writable(folder)
    check_room(folder, size_bytes)


def make_writable(folder: Path) -> None:
    """Make `folder` and see that it can be written; enough for what takes no space. Raises FolderUnusable."""
    try:
        ensure_folder(folder)
        probe = folder / f".nearfar-{os.getpid()}{UNFINISHED}"
        with open(probe, "xb"):
            pass
        probe.unlink()
    except FileExistsError:
        if not folder.is_dir():
            raise FolderUnusable(f"{folder} is a file, not a folder.", safe=NOT_MOVED) from None
    except OSError as error:
        raise folder_problem(folder, error) from None


def check_room(folder: Path, size_bytes: int) -> None:
    """Raises DiskFull where less than `size_bytes` and 1 GiB are free."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise folder_problem(folder, error) from None
    if free < size_bytes + RESERVE_BYTES:
        short = size_bytes + RESERVE_BYTES - free
        raise DiskFull(
            f"The disk of {folder} has {size_words(free)} free; {size_words(size_bytes)} are needed and "
            f"{size_words(RESERVE_BYTES)} stays in reserve, so {size_words(short)} are missing.",
            safe=NOT_MOVED,
            fix="Free space on this disk, or choose another folder.",
        )


def unfinished_name(final: Path) -> Path:
    """Where a copy of `final` grows. The number is this process, so that another can tell what was left behind."""
    return final.with_name(f".{final.name}.{os.getpid()}{UNFINISHED}")


def sweep(folder: Path) -> None:
    """Remove copies that a killed process left unfinished in `folder`; those of living processes stay."""
    with contextlib.suppress(OSError), os.scandir(folder) as listing:
        for entry in list(listing):
            pid = entry.name.removesuffix(UNFINISHED).rpartition(".")[2]
            if entry.name.endswith(UNFINISHED) and pid.isdecimal() and int(pid) != os.getpid() and not _lives(int(pid)):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def _lives(pid: int) -> bool:
    try:
        return psutil.pid_exists(pid)
    except OverflowError:
        return False


def copy_file(
    source: Path, unfinished: Path, *, on_bytes: OnBytes = nothing, cancelled: Callable[[], bool] = never
) -> Hashed | None:
    """Copy to the new file `unfinished` and flush it; None where it was cancelled, and the copy is then gone.

    Returns the hash of what was read with the stamp of the source. Raises ModelMissing for the source, DiskFull or
    FolderUnusable for the target.
    """
    digest = hashlib.sha256()
    try:
        with io.FileIO(open_regular(source), "rb") as reader, io.FileIO(unfinished, "xb") as writer:
            before = Stamp.of(os.fstat(reader.fileno()))
            for count, block in enumerate(_blocks(reader, source, before.size_bytes)):
                if cancelled():
                    unfinished.unlink()
                    return None
                if count % BLOCKS_BETWEEN_LOOKS == 0:
                    check_room(unfinished.parent, 0)
                digest.update(block)
                _write_all(writer.fileno(), block)
                on_bytes(len(block))
            os.fsync(writer.fileno())
            if Stamp.of(os.fstat(reader.fileno())) != before:
                raise ModelMissing(f"{source.name} changed while it was copied.", safe=NOT_MOVED)
    except OSError as error:
        _forget(unfinished)
        raise folder_problem(unfinished.parent, error) from None
    except BaseException:
        _forget(unfinished)
        raise
    return Hashed(digest.hexdigest(), before)


def _blocks(reader: io.FileIO, source: Path, size_bytes: int) -> Iterable[memoryview]:
    """What the file holds, and of one that grows at most a block more than `size_bytes`."""
    block = memoryview(bytearray(BLOCK_BYTES))
    read_bytes = 0
    while read_bytes <= size_bytes:
        try:
            count = reader.readinto(block)
        except OSError as error:
            raise ModelMissing(
                f"{source.name} could not be read to its end ({error.strerror}).", safe=NOT_MOVED
            ) from None
        if not count:
            return
        read_bytes += count
        yield block[:count]


def _write_all(handle: int, block: memoryview) -> None:
    while block:
        block = block[os.write(handle, block) :]


def _forget(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def read_back(path: Path, sha256: str, *, on_bytes: OnBytes = nothing, cancelled: Callable[[], bool] = never) -> bool:
    """Read a copy again, from the disk where the system allows; False where cancelled. Raises FileMismatch."""
    if hasattr(os, "posix_fadvise"):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)
    seen = hash_file(path, on_bytes=on_bytes, cancelled=cancelled)
    if seen is None:
        return False
    if seen.sha256 != sha256:
        raise FileMismatch(
            f"What was written to {path.parent} does not read back as it was.",
            safe="The original is where it was; the damaged copy was removed.",
            fix="Check that disk, or choose another folder.",
        )
    return True


def place(unfinished: Path, final: Path) -> None:
    """Give a whole copy its name, never over another file. Raises FileExistsError, or OSError."""
    try:
        os.link(unfinished, final)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(final):
            raise FileExistsError(errno.EEXIST, "File exists", str(final)) from None
        os.rename(unfinished, final)
    else:
        os.unlink(unfinished)


def is_taken(path: Path) -> bool:
    """Whether a name is used, by anything, a broken link included."""
    return os.path.lexists(path)
