"""Asks the system to keep no image of this process when it crashes: it would hold prompts and keys. Knows nothing else.

A tool of the system that takes one all the same cannot be stopped from in here; docs/privacy.md says so.
"""

from __future__ import annotations

import sys

SEM_FAILCRITICALERRORS, SEM_NOGPFAULTERRORBOX, SEM_NOOPENFILEERRORBOX = 0x1, 0x2, 0x8000


def leave_no_core_file() -> None:
    """Of this process and of the children it starts."""
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.kernel32.SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX)
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
