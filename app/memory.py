"""Gives back to the system what opening the window took and freed again. Must not know what took it.

The C library keeps freed memory for itself: of what imports and first looks at the machine used, 12 MB stayed resident.
"""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Takes some milliseconds, without Python's lock; does nothing where the C library knows no such thing."""
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl has not
    if trim is not None:
        trim(0)
