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
import subprocess
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
from shell import ROOT, WINDOWS, Stop, say

NAME = "llama-cpp-python"
CMAKE_FILE = Path(__file__).with_name("llama.cmake")
LISTENED_TO = (
    "CC",
    "CXX",
    "CFLAGS",
    "CXXFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "CUDACXX",
    "CUDAFLAGS",
    "CUDAARCHS",
    "MACOSX_DEPLOYMENT_TARGET",
)
_DROPPED = ("CMAKE_ARGS", "FORCE_CMAKE", "SKBUILD_")


def recipe(choice: gpu.Choice, nvcc: str | None) -> dict[str, Any]:
    """Everything that the wheel's bytes depend on. Two machines with equal recipes may share a wheel."""
    entry = lockfile.package(NAME)
    return {
        "version": entry["version"],
        "sdist_sha256": lockfile.sha256(entry["sdist"]),
        "backend": choice.backend,
        "settings": settings(choice),
        "llama.cmake": CMAKE_FILE.read_text(encoding="utf-8"),
        "system": [platform.system(), platform.machine(), *platform.libc_ver()],
        # ggml is compiled for this very processor; on an older one such a build dies without a word.
        "processor": _processor(),
        "cuda": gpu.cuda_identity(nvcc) if choice.backend == "cuda" else [],
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
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
    return f"{what['version']}-{what['backend']}-{digest}"


def cache_dir() -> Path:
    """Where builds are kept, outside the checkout so that a fresh clone finds them. NEARFAR_BUILD_CACHE moves it."""
    if chosen := os.environ.get("NEARFAR_BUILD_CACHE"):
        return Path(chosen).expanduser().resolve()
    if WINDOWS:
        return Path(os.environ["LOCALAPPDATA"], "nearfar", "build")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "nearfar" / "build"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nearfar" / "build"


def ensure(choice: gpu.Choice, nvcc: str | None) -> Path:
    """The wheel for this machine and choice, built on first use. Raises Stop when it cannot be built."""
    what = recipe(choice, nvcc)
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
    uv = pinned_uv.ensure()
    fresh = home / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    # The build folder stays until the wheel is done, so that a build that was stopped goes on where it was.
    argv: list[str | Path] = [
        uv,
        "build",
        source,
        "--wheel",
        "--no-config",
        "--out-dir",
        fresh,
        "--python",
        sys.executable,
        "-C",
        f"build-dir={home / 'objects'}",
    ]
    for name, value in {**what["settings"], "CMAKE_PROJECT_llama.cpp_INCLUDE": CMAKE_FILE.as_posix()}.items():
        argv += ["-C", f"cmake.define.{name}={value}"]
    argv += ["--build-constraints", _build_tools(uv, home), "--require-hashes"]
    build_log.follow(argv, _environment(), home / "build.log")
    wheel = next(fresh.glob("*.whl"))
    _inspect(wheel)
    (fresh / "recipe.json").write_text(json.dumps(what, indent=2), encoding="utf-8")
    fresh.rename(home / "wheel")
    for rest in ("source", "objects"):
        shutil.rmtree(home / rest, ignore_errors=True)
    return home / "wheel" / wheel.name


def _build_tools(uv: Path, home: Path) -> Path:
    """CMake, Ninja and scikit-build-core as uv.lock pins them, in the form that `uv build` takes."""
    wanted = home / "build-tools.txt"
    argv = [
        uv,
        "export",
        "--quiet",
        "--frozen",
        "--only-group",
        "llama-build",
        "--no-emit-project",
        "--output-file",
        wanted,
    ]
    done = subprocess.run(
        [str(part) for part in argv], cwd=ROOT, env=pinned_uv.environment(), check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise Stop(f"uv.lock does not name the build tools. Restore it, then try again. uv said:\n{done.stderr}")
    return wanted


def _environment() -> dict[str, str]:
    env = {name: value for name, value in pinned_uv.environment().items() if not name.startswith(_DROPPED)}
    if (
        not WINDOWS
    ):  # Ninja would need MSVC's own shell on Windows; Visual Studio's generator finds the compiler by itself
        env["CMAKE_GENERATOR"] = "Ninja"
    return env


def _inspect(wheel: Path) -> None:
    """Refuses a wheel without libllama or with anything outside its own folders."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    strays = {name.split("/")[0] for name in names} - {"llama_cpp"}
    if not any("/lib" in name and "llama." in name for name in names) or any(
        not top.endswith(".dist-info") for top in strays
    ):
        raise Stop(
            f"The build of llama.cpp is not whole: {wheel}. Nothing was installed. Remove that folder, then try again."
        )


def _processor() -> str:
    """What distinguishes this processor's instruction set from another's."""
    if sys.platform.startswith("linux"):
        wanted = ("model name", "flags", "Features", "CPU part")
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
        return hashlib.sha256(
            "\n".join(sorted(line for line in lines if line.startswith(wanted))).encode()
        ).hexdigest()[:16]
    return platform.processor()


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
