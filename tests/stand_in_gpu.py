"""Builds the stand-in GPU for llama.cpp and starts real workers that see some of it. Must not be known to the app.

The app has no way to load a foreign backend into a worker, and gets none for its tests: this file itself is what the
child process runs. It registers the cards and then hands over to the worker's own `main`.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("stand_in_gpu.c")
COMPILER = shutil.which("cc") or shutil.which("gcc")
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU; bytes are free and total. A `hollow` one takes no memory and computes nothing."""

    name: str = "NVIDIA Stand-in"
    free_bytes: int = 24 * GIB
    total_bytes: int = 24 * GIB
    pci_id: str = ""
    hollow: bool = False
    integrated: bool = False


def compiled(folder: Path) -> Path:
    """The backend as a library, linked with the very ggml that llama-cpp-python brings."""
    spec = importlib.util.find_spec("llama_cpp")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package = Path(next(iter(spec.submodule_search_locations)))
    library = folder / "libstand_in_gpu.so"
    command = [str(COMPILER), "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{package / 'include'}"]
    linked = [f"-L{package / 'lib'}", "-lggml", "-lggml-base", f"-Wl,-rpath,{package / 'lib'}"]
    subprocess.run([*command, "-o", str(library), str(SOURCE), *linked], check=True, timeout=120)
    return library


def worker_with(library: Path, cards: Sequence[Card]) -> list[str]:
    """The command of a worker that sees these cards, in this order: CUDA0, CUDA1..."""
    return [sys.executable, "-P", str(Path(__file__)), str(library), json.dumps([asdict(card) for card in cards])]


def register(library: Path, cards: Sequence[Card]) -> None:
    """Make llama.cpp in this process see the cards, behind its own backends."""
    from backends.local.native import Native

    Native()
    native = ctypes.CDLL(str(library))
    native.stand_in_add.argtypes = [
        *(ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_bool, ctypes.c_bool)
    ]
    for card in cards:
        native.stand_in_add(
            card.name.encode(), card.pci_id.encode(), card.free_bytes, card.total_bytes, card.hollow, card.integrated
        )
    native.stand_in_register()


def main() -> int:
    from backends.local import worker

    register(Path(sys.argv[1]), [Card(**card) for card in json.loads(sys.argv[2])])
    return worker.main()


if __name__ == "__main__":
    sys.exit(main())
