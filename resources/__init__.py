"""Data files and the few lines that open them. Must never know any other package of ours."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent  # importlib.resources would take 5 ms of the start


def resource_path(*parts: str) -> Path:
    """Path of a shipped file, for example `resource_path("demo", "nearfar-demo.gguf")`."""
    return _HERE.joinpath(*parts)
