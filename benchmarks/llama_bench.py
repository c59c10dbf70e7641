"""llama.cpp's own llama-bench, from the very sources that llama-cpp-python ships. Must not know our own engine.

    .venv/bin/python benchmarks/llama_bench.py        builds it once, 2 to 6 minutes, and prints where it is

Other benchmarks call `ensure`, which takes a path that was given (--llama-bench) or builds it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "packaging" / "bootstrap"))

import build_log
import llama_wheel
import lockfile
import pinned_uv
import sdist
from shapes import FOLDER
from shell import ROOT

SETTINGS = {
    "CMAKE_BUILD_TYPE": "Release",
    "BUILD_SHARED_LIBS": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_SERVER": "OFF",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_CURL": "OFF",
    "LLAMA_OPENSSL": "OFF",
}


def add_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--llama-bench", type=Path, help="a llama-bench to measure against; else one is built")


def ensure(given: Path | None) -> Path:
    """The program's path; raises SystemExit where the given one is not there, shell.Stop where it cannot be built."""
    if given is not None:
        if not given.is_file():
            raise SystemExit(f"there is no {given}")
        return given
    entry = lockfile.package(llama_wheel.NAME)
    home = FOLDER / f"llama-bench-{entry['version']}-{llama_wheel.processor()}"
    program = home / "build" / "bin" / "llama-bench"
    if not program.exists():
        home.mkdir(parents=True, exist_ok=True)
        source = sdist.unpacked(entry, llama_wheel.cache_dir() / "sdists", home / "source") / "vendor" / "llama.cpp"
        print(f"building llama-bench in {home} ...", file=sys.stderr)
        _build(source, home)
    return program


def _build(source: Path, home: Path) -> None:
    include = f"-include {llama_wheel.AMX_FILE}" if sys.platform == "linux" else ""
    defines = {**SETTINGS, "CMAKE_C_FLAGS": include, "CMAKE_CXX_FLAGS": include}
    # CMake and Ninja are those of uv.lock, in an environment of their own.
    env = {**pinned_uv.environment(), "UV_PROJECT_ENVIRONMENT": str(home / "tools")}
    tools: list[str | Path] = [pinned_uv.ensure(), "run", "--project", ROOT, "--frozen"]
    tools += ["--only-group", "llama-build", "--", "cmake"]
    settings = [f"-D{name}={value}" for name, value in defines.items()]
    configure: list[str | Path] = ["-S", source, "-B", home / "build", "-G", "Ninja", *settings]
    build: list[str | Path] = ["--build", home / "build", "--target", "llama-bench"]
    for arguments in (configure, build):
        build_log.follow([*tools, *arguments], env, home / "build.log")


def tok_s(
    program: Path,
    model: Path,
    *,
    threads: int,
    n_prompt: int = 0,
    n_gen: int = 0,
    depth: int = 0,
    n_batch: int = 512,
) -> float:
    """Tokens per second of one repetition after its own warm-up, flash attention on, f16 KV cache."""
    argv: list[Any] = [program, "-m", model, "-t", threads, "-p", n_prompt, "-n", n_gen, "-d", depth]
    argv += ["-b", n_batch, "-ub", n_batch, "-fa", 1, "-r", 1, "-o", "json"]
    done = subprocess.run([str(part) for part in argv], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"llama-bench ended with {done.returncode}:\n{done.stderr[-2000:]}")
    (only,) = json.loads(done.stdout)
    return float(only["avg_ts"])


if __name__ == "__main__":
    print(ensure(None))
