"""Finds system libraries that are missing and installs them on Debian when it may. It must not know what uses them.

A library counts as there when the loader finds it, wherever it came from, so nothing is asked of apt when all is well.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from shell import Stop, run, say


@dataclass(frozen=True, slots=True)
class Need:
    """One thing the system must have, and the Debian package that brings it."""

    package: str
    kind: str
    """"library", "program", "module" or "file"."""
    name: str


BUILD = (
    Need("ca-certificates", "file", "/etc/ssl/certs/ca-certificates.crt"),
    Need("g++", "program", "g++"),
    Need("libgomp1", "library", "libgomp.so.1"),
    Need("python3-venv", "module", "ensurepip"),
)
# What PySide6-Essentials' wheel loads for any picture at all, also offscreen.
QT = (
    Need("fonts-dejavu-core", "file", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
    Need("libdbus-1-3", "library", "libdbus-1.so.3"),
    Need("libegl1", "library", "libEGL.so.1"),
    Need("libfontconfig1", "library", "libfontconfig.so.1"),
    Need("libgl1", "library", "libGL.so.1"),
    Need("libglib2.0-0", "library", "libglib-2.0.so.0"),
    Need("libxkbcommon0", "library", "libxkbcommon.so.0"),
)
# What Qt's xcb plugin adds for a window under X11.
X11 = (
    Need("libxcb-cursor0", "library", "libxcb-cursor.so.0"),
    Need("libxcb-icccm4", "library", "libxcb-icccm.so.4"),
    Need("libxcb-keysyms1", "library", "libxcb-keysyms.so.1"),
    Need("libxcb-shape0", "library", "libxcb-shape.so.0"),
    Need("libxkbcommon-x11-0", "library", "libxkbcommon-x11.so.0"),
)
WAYLAND = (
    Need("libwayland-client0", "library", "libwayland-client.so.0"),
    Need("libwayland-cursor0", "library", "libwayland-cursor.so.0"),
)
TESTS = (
    Need("dbus", "program", "dbus-daemon"),
    Need("gnome-keyring", "program", "gnome-keyring-daemon"),
    Need("strace", "program", "strace"),
    Need("xauth", "program", "xauth"),
    Need("xvfb", "program", "Xvfb"),
)


def window() -> tuple[Need, ...]:
    """What a window needs on the display that is there."""
    return QT + X11 + (WAYLAND if os.environ.get("WAYLAND_DISPLAY") else ())


def ensure(needs: Iterable[Need]) -> None:
    """Installs what is missing, when it may. Raises Stop with the line to type when it may not or cannot."""
    if not sys.platform.startswith("linux"):
        return
    lacking = missing(needs)
    if lacking:
        _install(sorted({need.package for need in lacking}), [need.name for need in lacking])


def missing(needs: Iterable[Need]) -> list[Need]:
    """The needs that this system does not meet."""
    return [need for need in needs if not _CHECKS[need.kind](need.name)]


def _install(packages: list[str], names: list[str]) -> None:
    if not shutil.which("apt-get"):
        raise Stop(
            f"This system lacks {', '.join(names)}. Nothing was changed. Install them with your package manager "
            f"(Debian calls the packages {' '.join(packages)}), then run the same command again."
        )
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    prefix = _privilege()
    if prefix is None:
        both = f"apt-get update && {' '.join(install)}"
        line = f"sudo sh -c '{both}'" if shutil.which("sudo") else f"su -c '{both}'"
        raise Stop(
            f"Debian packages are missing, and only root may install them. Type this, then try again:\n\n  {line}\n"
        )
    say(f"Installing Debian packages: {' '.join(packages)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # A broken third-party source must not stop us: what counts is whether the packages can be installed.
    subprocess.run([*prefix, "apt-get", "-q", "update"], env=env, check=False, stdin=subprocess.DEVNULL)
    run([*prefix, *install], env)


def _privilege() -> list[str] | None:
    """How to become root: no prefix as root, sudo where it asks nothing, None otherwise."""
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo") or subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True).returncode:
        return None
    return ["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive"]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


_CHECKS: dict[str, Callable[[str], bool]] = {
    "library": _loads,
    "program": lambda name: shutil.which(name) is not None,
    "module": lambda name: importlib.util.find_spec(name) is not None,
    "file": lambda name: Path(name).exists(),
}
