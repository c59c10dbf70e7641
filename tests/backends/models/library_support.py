"""Small real GGUF files, a library over a folder, and a catalogue of our own. Must not know any test."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from backends.models.library import Library
from backends.models.records import CatalogueModel, CatalogueQuant, DownloadPlan, Licence, RemoteFile, Shape
from tests.gguf_factory import write_random
from tests.gguf_shapes import split_model

REPO = "maker/Tiny-GGUF"
HOME = "maker--Tiny-GGUF"
LICENCE = Licence("llama3.1", "Llama 3.1 Community License", "https://example.org/licence", "Built with Llama", "")


@cache
def model_bytes(seed: int = 0) -> bytes:
    """A tiny Llama; another seed is another file of the same size."""
    with TemporaryDirectory() as folder:
        return write_random(Path(folder) / "tiny.gguf", seed=seed).read_bytes()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_model(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model_bytes(seed))
    return path


def write_parts(folder: Path, stem: str = "big", count: int = 3) -> list[Path]:
    """A model in parts that belong together."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as aside:
        whole = Path(aside) / f"{stem}.gguf"
        whole.write_bytes(model_bytes())
        return list(split_model(whole, count, folder))


def catalogue(seed: int = 0) -> tuple[CatalogueModel, ...]:
    """One model with two quants; the hash of the first is known."""
    size = len(model_bytes(seed))
    files = (RemoteFile("tiny-Q8_0.gguf", size, sha256(model_bytes(seed))),), (RemoteFile("sub/tiny-Q4_0.gguf", size),)
    quants = tuple(
        CatalogueQuant(f"tiny-1b:{name}", name, REPO, None, file, size, size_exact=True, quality=None)
        for name, file in zip(("Q8_0", "Q4_0"), files, strict=True)
    )
    shape = Shape(2, 64, 128, 2, 1, 32, 512, 2048, tied=True)
    return (CatalogueModel("tiny-1b", "Tiny 1B", 1_000_000, shape, LICENCE, quants),)


def library(tmp_path: Path, **named: object) -> Library:
    given = {"catalogue": catalogue, **named}
    return Library(tmp_path / "models", tmp_path / "data" / "models.json", **given)  # type: ignore[arg-type]


def download(made: Library, seed: int = 0, quant: str = "Q8_0") -> Path:
    """A file as the downloader leaves it, told to the library."""
    path = write_model(made.folder / HOME / f"tiny-{quant}.gguf", seed)
    plan = DownloadPlan(f"tiny-1b:{quant}", "Tiny 1B", quant, REPO, None, (RemoteFile(path.name),), "llama3.1")
    made.add_downloaded(plan, (path,), (sha256(model_bytes(seed)),))
    return path


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    files = (Path(place) / name for place, _folders, names in os.walk(folder) for name in names)
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}
