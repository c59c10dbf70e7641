"""Sets Nearfar up from a bare machine and does the everyday jobs: run, test, lint and the rest of `make help`.

The Makefile calls this file; where there is no make it is called by itself. It needs Python 3.11 or later and nothing
else, and must not import anything but the standard library and its neighbours: when it starts nothing is installed yet.
"""

from __future__ import annotations

import argparse
import atexit
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - this line is for the Python that a person happens to have
    sys.exit("Nearfar needs Python 3.11 or later. Install it, then run: make PYTHON=python3.11 run")

import debian
import environment
import gpu
import llama_wheel
import pinned_uv
from shell import ROOT, WINDOWS, Stop, bin_dir, program, run, say

CODE = ("app", "widgets", "backends", "resources", "tests", "benchmarks")
LEFTOVERS = (
    ".venv",
    ".cache",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
    ".import_linter_cache",
    "dist",
    "build",
)


def set_up(backend: str, needs: Sequence[debian.Need] = ()) -> Path:
    """Everything that the app needs to run; nothing happens where all is there. Returns the environment's Python."""
    debian.ensure([*debian.BUILD, *needs])
    wheel = _wheel(backend)
    return environment.bring(environment.MAIN, wheel)


def _wheel(backend: str) -> Path:
    facts = gpu.look()
    choice = gpu.choose(backend, facts)
    say(choice.reason)
    return llama_wheel.ensure(choice, facts)


def has_display() -> bool:
    """Whether a window has somewhere to open. Qt's offscreen platform is a choice that the caller has made."""
    if not sys.platform.startswith("linux"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


def do_setup(args: argparse.Namespace) -> None:
    set_up(args.gpu, [*debian.window(), *debian.TESTS])
    say(f"Ready. The programs are in {bin_dir(environment.MAIN).relative_to(ROOT)}; CONTRIBUTING.md says what next.")


def do_run(args: argparse.Namespace) -> None:
    window = not args.rest
    python = set_up(args.gpu, debian.window() if window and has_display() else ())
    if window and not has_display():
        raise Stop(no_display())
    argv = [str(python), "-m", "app", *args.rest]
    if not WINDOWS:
        os.execv(argv[0], argv)  # the app takes our place, so that Ctrl-C and the exit status are its own
    sys.exit(subprocess.run(argv, check=False).returncode)


def no_display() -> str:
    """What a person without a screen can do."""
    nearfar = program(environment.MAIN, "nearfar").relative_to(ROOT)
    return (
        "Everything is set up, but there is no display to open a window on (DISPLAY and WAYLAND_DISPLAY are not set).\n"
        "Run make from a terminal on the desktop, or connect with ssh -X. Or stay here and use the command line:\n\n"
        f'  {nearfar} run "What does tok/s mean?" --target local:demo --target practice\n'
    )


def do_test(args: argparse.Namespace) -> None:
    python = set_up(args.gpu, [*debian.window(), *debian.TESTS])
    lint()
    bare = environment.bring(environment.WITHOUT_QT, _wheel(args.gpu), environment.QT)
    run(
        [
            bare,
            "-c",
            "import importlib.util as u, sys; sys.exit(any(map(u.find_spec, ('PySide6', 'shiboken6', 'pytestqt'))))",
        ]
    )
    # Side by side: most tests wait for processes and servers, so one part alone leaves half of two cores idle.
    without_qt = aside([bare, "-m", "pytest", "tests/backends", "tests/resources"])
    say("Tests of the window, the app and the contracts; those of backends and resources run beside them")
    with_qt = passes([python, "-m", "pytest", "tests", "--ignore=tests/backends", "--ignore=tests/resources"])
    say("Tests of backends and resources, where Qt is not installed")
    if not (without_qt() and with_qt):
        raise Stop("Some tests failed; what they said stands above.")


def passes(argv: Sequence[str | Path]) -> bool:
    """Runs one part of the tests in the open, and lets the next part run whatever comes of it."""
    return subprocess.run(argv, cwd=ROOT, check=False).returncode == 0


def aside(argv: Sequence[str | Path]) -> Callable[[], bool]:
    """Starts one part of the tests; what is returned waits for it, prints what it said, and tells whether it passed."""
    said = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
    child = subprocess.Popen(argv, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    atexit.register(child.kill)

    def end() -> bool:
        child.wait()
        said.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(said.read())
        sys.stdout.flush()
        said.close()
        return child.returncode == 0

    return end


def do_lint(args: argparse.Namespace) -> None:
    set_up(args.gpu)
    lint()


def lint() -> None:
    """Style, format, types and the import contracts; stops at the first that is not clean."""
    say("Checking style, types and imports")
    run([program(environment.MAIN, "ruff"), "check", "--quiet"])
    run([program(environment.MAIN, "ruff"), "format", "--check", "--quiet"])
    run([program(environment.MAIN, "mypy"), *CODE, "packaging/bootstrap"])
    run([program(environment.MAIN, "lint-imports")])


def do_fix(args: argparse.Namespace) -> None:
    set_up(args.gpu)
    run([program(environment.MAIN, "ruff"), "check", "--fix"])
    run([program(environment.MAIN, "ruff"), "format"])


def do_screenshots(args: argparse.Namespace) -> None:
    python = set_up(args.gpu, [*debian.window(), *debian.TESTS])
    screen = (
        [] if platform.system() != "Linux" else ["xvfb-run", "--auto-servernum", "--server-args=-screen 0 1600x1200x24"]
    )
    run([*screen, python, "packaging/screenshots.py", *args.rest])


def do_benchmark(args: argparse.Namespace) -> None:
    run([set_up(args.gpu), "benchmarks/decode.py", *args.rest])


def do_lock(args: argparse.Namespace) -> None:
    debian.ensure(debian.BUILD)
    run([pinned_uv.ensure(), "lock", *args.rest], pinned_uv.environment())


def do_clean(_: argparse.Namespace) -> None:
    for name in LEFTOVERS:
        shutil.rmtree(ROOT / name, ignore_errors=True)
    say(f"Removed {', '.join(LEFTOVERS)}. Builds of llama.cpp stay in {llama_wheel.cache_dir()}")


JOBS = {
    "run": do_run,
    "setup": do_setup,
    "test": do_test,
    "lint": do_lint,
    "fix": do_fix,
    "screenshots": do_screenshots,
    "benchmark": do_benchmark,
    "lock": do_lock,
    "clean": do_clean,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make.py", description="Sets Nearfar up and does its everyday jobs.")
    parser.add_argument(
        "--gpu", choices=gpu.BACKENDS, default=os.environ.get("GPU", "auto"), help="what llama.cpp is built for"
    )
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="passed on to the program that the job starts")
    args = parser.parse_args()
    try:
        JOBS[args.job](args)
    except Stop as stop:
        sys.exit(str(stop))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
