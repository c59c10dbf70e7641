"""What a download asks of the disk: space, a lock, durable writes, and a sentence for each refusal.

Must not know the network or what is in the files.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

from backends.errors import NearfarError
from backends.models.errors import DiskFull, DownloadError, FolderUnusable
from backends.sizes import size_words

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

RESERVE_BYTES = 2**30
FULL = frozenset({errno.ENOSPC, errno.EDQUOT}) if hasattr(errno, "EDQUOT") else frozenset({errno.ENOSPC})
NO_FILE = (
    os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
)


def free_bytes(folder: Path) -> int:
    """What this user may still write there. Raises OSError."""
    return shutil.disk_usage(folder).free


def check_space(folder: Path, missing_bytes: int) -> None:
    """Raise DiskFull unless `missing_bytes` and the reserve are free; OSError where the folder cannot be asked."""
    free = free_bytes(folder)
    wanted = missing_bytes + RESERVE_BYTES
    if free < wanted:
        raise DiskFull(
            f"The disk of {folder} has {size_words(free)} free; this download needs {size_words(missing_bytes)}, "
            f"and {size_words(RESERVE_BYTES)} must stay free for everything else."
        )


def disk_problem(error: OSError, folder: Path) -> NearfarError:
    """The sentence for what the disk refused."""
    if error.errno in FULL:
        return DiskFull(f"The disk of {folder} is full.")
    if error.errno == errno.EFBIG:
        return DiskFull(
            f"The disk of {folder} cannot hold a file as large as this one.",
            fix="Disks formatted as FAT32 end at 4 GiB: move the models folder to another disk, then press Resume.",
        )
    if error.errno == errno.EROFS or isinstance(error, PermissionError):
        return FolderUnusable(f"The models folder {folder} cannot be written: {_reason(error)}.")
    if isinstance(error, FileNotFoundError) and not folder.exists():
        return folder_gone(folder)
    return FolderUnusable(f"The models folder {folder} cannot be used: {_reason(error)}.")


def folder_gone(folder: Path) -> FolderUnusable:
    return FolderUnusable(
        f"The models folder {folder} is not there any more.",
        fix="If it is on a drive that was removed, connect it again, then press Resume.",
    )


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def open_file(path: Path) -> int:
    """A file of this user alone, made where it is missing, never through a link. Raises OSError."""
    return os.open(path, NO_FILE, 0o600)


_seeking = threading.Lock()


def write_at(handle: int, data: memoryview | bytes, offset: int) -> None:
    """Write all of `data` at `offset`. Raises OSError."""
    view = memoryview(data)
    while view:
        if sys.platform == "win32":
            with _seeking:
                os.lseek(handle, offset, os.SEEK_SET)
                written = os.write(handle, view)
        else:
            written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written


def sync(handle: int) -> None:
    """Until the data of this file would survive a power cut. Raises OSError."""
    if sys.platform == "darwin":
        with contextlib.suppress(OSError):  # not every volume knows it
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            return
        os.fsync(handle)
    elif sys.platform == "win32":
        os.fsync(handle)
    else:
        os.fdatasync(handle)


def forget(handle: int) -> None:
    """After `sync`: let the page cache go of this file, where that is known, so that reading asks the disk.

    A page that the disk failed to take counts as written from then on, and stays in the cache as it should have been.
    """
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


def allocate(handle: int, size_bytes: int) -> bool:
    """Take the space for the whole file now; False where this system cannot. Raises OSError where there is too little.

    Not os.posix_fallocate: where the file system has no such call, it writes to every block instead, for minutes.
    """
    call = _fallocate()
    if call is None or call(handle, 0, 0, size_bytes) == 0:
        return call is not None
    reason = ctypes.get_errno()
    if reason in FULL or reason == errno.EFBIG:
        raise OSError(reason, os.strerror(reason))
    return False


@cache
def _fallocate() -> Any:
    if sys.platform != "linux":
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "fallocate64", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return function


class Lock:
    """One writer for one download, on this machine. The system lets go of it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def take(self) -> None:
        """Raises DownloadError where somebody else has it, and OSError."""
        handle = open_file(self._path)
        try:
            if sys.platform == "win32":
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if sys.platform != "win32" and not os.path.samestat(os.fstat(handle), os.stat(self._path)):
                raise BlockingIOError  # its last owner has just removed it
        except (BlockingIOError, PermissionError, FileNotFoundError):
            os.close(handle)
            raise DownloadError(
                "Another Nearfar is downloading this file now.",
                safe="Nothing was touched.",
                fix="Wait for it, or stop it there.",
            ) from None
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle

    def give_back(self) -> None:
        """Idempotent."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        if sys.platform != "win32":  # there, a file cannot go while it is open
            with contextlib.suppress(OSError):
                self._path.unlink()
        os.close(handle)
