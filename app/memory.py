"""Settles memory once the window is filled: what was freed goes back, what stays is not looked at again.

Must not know what took it. The C library keeps freed memory for itself: of what imports and first looks at the machine
used, 12 MB stayed resident. And Python's collector looked at all that stays for 22 to 38 ms in the middle of an answer.
"""

from __future__ import annotations

import ctypes
import gc
import sys


def freeze() -> None:
    """What is there now is never looked at again by the collector. On the GUI thread: garbage may hold widgets."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Takes some milliseconds, without Python's lock; does nothing where the C library knows no such thing."""
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl has not
    if trim is not None:
        trim(0)
