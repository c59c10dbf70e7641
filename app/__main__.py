"""Chooses a role: window, command line, worker or practice server. Must import nothing heavy before it has chosen."""

from __future__ import annotations

import sys

from backends.core_files import leave_no_core_file
from backends.egress_guard import guard


def prepare() -> None:
    """Before anything of anybody's could open a connection, or crash with a key in its memory."""
    guard()
    leave_no_core_file()


def main() -> int:
    """Entry point of `nearfar` and of the app's own child processes; returns the exit status."""
    prepare()
    arguments = sys.argv[1:]
    if arguments[:1] == ["--worker"]:
        from backends.local.worker import main as worker

        return worker()
    if arguments[:1] == ["--practice"]:
        from backends.cloud.practice_server import main as practice

        return practice()
    if not arguments or arguments[:1] == ["gui"]:
        from app.gui import main as window

        return window(arguments[1:])
    from app.cli import main as command_line

    return command_line(arguments)


if __name__ == "__main__":
    sys.exit(main())
