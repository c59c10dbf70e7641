"""Prepares the worker's process: private output, no core file, death with its parent. Must not know the protocol."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

from backends import egress_guard
from backends.core_files import leave_no_core_file

STDIN, STDOUT, STDERR = 0, 1, 2
PR_SET_PDEATHSIG = 1
FOLDER_PREFIX = "nearfar-worker-"


def take_stdout() -> int:
    """A private descriptor for the protocol; descriptor 1 then leads to stderr, so a native printf cannot break it."""
    private = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(private, os.O_BINARY)
        msvcrt.setmode(STDIN, os.O_BINARY)
    return private


def leave_no_folder() -> None:
    """Remove the empty folder that was made for this process, and stay in it: nobody can put a library there.

    The worker does it, first of all, so that nothing is left when the app was killed during the start.
    Windows keeps a folder that is in use; there the app removes it in the end.
    """
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            place = os.getcwd()
            if os.path.basename(place).startswith(FOLDER_PREFIX):
                os.rmdir(place)


def guard() -> None:
    """Leave no core file or error box with a prompt in it, ignore the terminal's Ctrl-C, and die with the parent.

    Open no connection: the worker has no door to the network.
    """
    egress_guard.guard()
    os.environ["GGML_NO_BACKTRACE"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leave_no_core_file()
    if sys.platform == "linux":
        # Kills this process even while it is stopped; end of input covers every other case and system.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
