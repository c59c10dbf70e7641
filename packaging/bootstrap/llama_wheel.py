"""Builds the llama-cpp-python of uv.lock once for this machine and keeps the wheel. It must not know who installs it.

The build is slim: no vision library, no helper library for llama.cpp's own programs, one copy of each library. All
settings are passed as config settings and are part of the wheel's key, as is what the compiler reads from the
surroundings. A bare CMAKE_ARGS is dropped, because uv's cache does not see it and would hand out a stale wheel.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import build_log
import gpu
import lockfile
import pinned_uv
import sdist
from shell import WINDOWS, Stop, say, succeeds

NAME = "llama-cpp-python"
CMAKE_FILE = Path(__file__).with_name("llama.cmake")
AMX_FILE = Path(__file__).with_name("amx.h")
LISTENED_TO = (
    "CC",
    "CXX",
    "CFLAGS",
    "CXXFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "CUDACXX",
    "CUDAFLAGS",
    "MACOSX_DEPLOYMENT_TARGET",
)
_DROPPED = ("CMAKE_ARGS", "FORCE_CMAKE", "SKBUILD_")


def recipe(choice: gpu.Choice, facts: gpu.Facts) -> dict[str, Any]:
    """Everything that the wheel's bytes depend on. Two machines with equal recipes may share a wheel."""
    entry = lockfile.package(NAME)
    return {
        "version": entry["version"],
        "sdist_sha256": lockfile.sha256(entry["sdist"]),
        "backend": choice.backend,
        "settings": settings(choice),
        "llama.cmake": CMAKE_FILE.read_text(encoding="utf-8"),
        "amx.h": AMX_FILE.read_text(encoding="utf-8"),
        "system": [platform.system(), platform.machine(), *platform.libc_ver()],
        # ggml is compiled for this very processor; on an older one such a build dies without a word.
        "processor": processor(),
        "toolchain": gpu.toolchain(choice.backend, facts),
        "environment": {name: os.environ[name] for name in LISTENED_TO if os.environ.get(name)},
    }


def settings(choice: gpu.Choice) -> dict[str, str]:
    """The CMake settings, but for the one that holds a path."""
    return {
        "LLAVA_BUILD": "OFF",
        "CMAKE_INSTALL_BINDIR": "llama_cpp/lib",
        "CMAKE_INSTALL_LIBDIR": "llama_cpp/lib",
        "CMAKE_INSTALL_INCLUDEDIR": "llama_cpp/include",
        # A wheel holds no links: with versioned names each library would be packed three times.
        "CMAKE_PLATFORM_NO_VERSIONED_SONAME": "ON",
        **dict(choice.defines),
    }


def key(what: dict[str, Any]) -> str:
    """A folder name for a recipe: readable, and different for every difference."""
    return f"{what['version']}-{what['backend']}-{_short_digest(json.dumps(what, sort_keys=True))}"


def cache_dir() -> Path:
    """Where builds are kept, outside the checkout so that a fresh clone finds them. NEARFAR_BUILD_CACHE moves it."""
    if chosen := os.environ.get("NEARFAR_BUILD_CACHE"):
        return Path(chosen).expanduser().resolve()
    if WINDOWS:
        return Path(os.environ["LOCALAPPDATA"], "nearfar", "build")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "nearfar" / "build"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nearfar" / "build"


def ensure(choice: gpu.Choice, facts: gpu.Facts) -> Path:
    """The wheel for this machine and choice, built on first use. Raises Stop when it cannot be built."""
    what = recipe(choice, facts)
    home = cache_dir() / NAME / key(what)
    if wheel := _kept(home):
        return wheel
    home.mkdir(parents=True, exist_ok=True)
    with _alone(home):
        if wheel := _kept(home):  # another run built it while this one waited
            return wheel
        return _build(home, choice, what)


def _kept(home: Path) -> Path | None:
    return next(home.glob("wheel/*.whl"), None)


def _build(home: Path, choice: gpu.Choice, what: dict[str, Any]) -> Path:
    source = sdist.unpacked(lockfile.package(NAME), cache_dir() / "sdists", home / "source")
    say(f"Building llama.cpp for {choice.backend}. This takes some minutes, once; the result is kept in {home}")
    fresh = home / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    # A build that is interrupted leaves these folders, so that the next run goes on from there.
    leftovers = [home / "source", home / "objects", fresh]
    try:
        build_log.follow(_command(home, source, fresh, what["settings"]), _environment(), home / "build.log")
        wheel = next(fresh.glob("*.whl"))
        _inspect(wheel)
    except Stop as stop:
        _remove(leftovers)
        other = "" if choice.backend == "cpu" else " GPU=cpu builds for the CPU instead."
        raise Stop(f"{stop}\n\nllama.cpp was not built for {choice.backend}; nothing was installed.{other}") from stop
    (fresh / "recipe.json").write_text(json.dumps(what, indent=2), encoding="utf-8")
    kept = fresh.rename(home / "wheel") / wheel.name
    _remove(leftovers)
    return kept


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _command(home: Path, source: Path, target: Path, settings: dict[str, str]) -> list[str | Path]:
    """How uv is asked to build the wheel; tools come from uv.lock, and no other configuration is read."""
    uv = pinned_uv.ensure()
    argv: list[str | Path] = [uv, "build", source, "--wheel", "--no-config", "--out-dir", target]
    argv += ["--python", sys.executable, "--build-constraints", _build_tools(uv, home), "--require-hashes"]
    argv += ["-C", f"build-dir={home / 'objects'}"]
    for name, value in {**settings, "CMAKE_PROJECT_llama.cpp_INCLUDE": CMAKE_FILE.as_posix()}.items():
        argv += ["-C", f"cmake.define.{name}={value}"]
    return argv


def _build_tools(uv: Path, home: Path) -> Path:
    """CMake, Ninja and scikit-build-core as uv.lock pins them, in the form that `uv build` takes."""
    wanted = home / "build-tools.txt"
    argv: list[str | Path] = [uv, "export", "--quiet", "--frozen", "--only-group", "llama-build", "--no-emit-project"]
    if not succeeds([*argv, "--output-file", wanted], pinned_uv.environment()):
        raise Stop("uv.lock does not name the build tools. Restore it (git checkout uv.lock), then try again.")
    return wanted


def _environment() -> dict[str, str]:
    env = {name: value for name, value in pinned_uv.environment().items() if not name.startswith(_DROPPED)}
    # On Windows Ninja would need MSVC's own shell; Visual Studio's generator finds the compiler by itself.
    return env if WINDOWS else {**env, "CMAKE_GENERATOR": "Ninja"}


def _inspect(wheel: Path) -> None:
    """Refuses a wheel without libllama or with anything outside its own folders."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    strays = {top for top in (name.split("/")[0] for name in names) if not top.endswith(".dist-info")} - {"llama_cpp"}
    if strays or not any(name.startswith("llama_cpp/lib/") and "llama." in name for name in names):
        raise Stop(f"The wheel is not what was asked for: strays {sorted(strays)}, {len(names)} files.")


def processor() -> str:
    """What distinguishes this processor's instruction set from another's."""
    if not sys.platform.startswith("linux"):
        return platform.processor()
    told = ("model name", "flags", "Features", "CPU part")
    first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    return _short_digest("\n".join(sorted(line for line in first.splitlines() if line.startswith(told))))


def _short_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Holds the build to itself: two checkouts may ask for the same wheel at once. The system frees it if we die."""
    if WINDOWS:
        yield
        return
    import fcntl

    with (home / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another run is building llama.cpp; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
