"""The gate before native code: a model file passes it or is refused with a sentence. Must not load weights or parse."""

from __future__ import annotations

from pathlib import Path

from backends.models.gguf_file import read_model


def check_model_file(path: Path) -> None:
    """Return if llama.cpp may open this file and all its parts; raises ModelMissing, NotAModel or ModelUnusable."""
    read_model(path)
