"""Data files and the few lines that open them. Must never know any other package of ours."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def resource_path(*parts: str) -> Path:
    """Path of a shipped file, for example `resource_path("demo", "nearfar-demo.gguf")`."""
    return Path(str(files(__name__).joinpath(*parts)))
