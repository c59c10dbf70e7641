"""Opens a regular file for reading, or says in a sentence what is there instead. Must not know what is in the file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from backends.errors import ModelMissing, NotAModel


def open_regular(path: Path) -> int:
    """A handle for reading; raises ModelMissing or NotAModel with a sentence, and never waits on a pipe or device."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        handle = os.open(path, flags)
    except OSError as error:
        raise ModelMissing(f"{path.name} cannot be read ({error.strerror}).", safe="No file was changed.") from None
    try:
        is_regular = stat.S_ISREG(os.fstat(handle).st_mode)
    except BaseException:
        os.close(handle)
        raise
    if not is_regular:
        os.close(handle)
        raise NotAModel(f"{path.name} is not a regular file.", safe="No file was changed.")
    return handle
