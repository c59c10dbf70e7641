"""Reads the header of a file that may be anybody's, for the library. Must not map files into memory, nor keep any.

A mapped file that another program cuts short ends the process that reads it. Headers are read into memory instead.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from backends.errors import ModelError, ModelMissing, ModelUnusable, NotAModel
from backends.models.gguf import GgufHeader, HeaderIncomplete, read_header
from backends.models.gguf_cursor import MAX_HEADER_BYTES
from backends.models.index import HeaderFacts, Stamp
from backends.models.verify import open_regular

FIRST_BYTES = 9 * 2**20  # a Llama 3 header takes 7.9 MB
# Architectures that llama.cpp opens but that answer no prompt: they turn text into vectors, or speak.
NOT_FOR_PROMPTS = frozenset(
    {"bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2", "jina-bert-v3", "t5encoder"}
    | {"gemma-embedding", "llama-embed", "wavtokenizer-dec", "whisper"}
)


def header_of(path: Path) -> tuple[GgufHeader, Stamp]:
    """The checked header and the stamp of the file it is in.

    Raises ModelMissing, NotAModel or ModelUnusable, each a sentence with the file's name.
    """
    with os.fdopen(_open(path), "rb", buffering=0) as file:
        stamp = Stamp.of(os.fstat(file.fileno()))
        if stamp.size_bytes == 0:
            raise NotAModel(f"{path.name} is empty.")
        wanted = FIRST_BYTES
        while True:
            try:
                file.seek(0)
                data = file.read(wanted)
                return read_header(data, name=path.name, file_bytes=stamp.size_bytes), stamp
            except HeaderIncomplete as more:
                if len(data) >= stamp.size_bytes or wanted >= MAX_HEADER_BYTES:
                    raise NotAModel(f"{path.name} is damaged: its header does not end.") from None
                wanted = min(MAX_HEADER_BYTES, max(4 * wanted, more.at_least_bytes))  # each time is from the start
            except OSError as error:
                raise ModelMissing(f"{path.name} cannot be read ({error.strerror}).") from None


def _open(path: Path) -> int:
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            raise NotAModel(f"{path.name} is a folder, not a model file.", fix="Choose the .gguf file inside it.")
    except OSError as error:
        what = f"There is no file {path}." if isinstance(error, FileNotFoundError) else _unreadable(path, error)
        raise ModelMissing(what) from None
    return open_regular(path)


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path.name} cannot be read ({error.strerror})."


def check_usable(path: Path) -> tuple[GgufHeader, Stamp]:
    """As `header_of`, and raises ModelUnusable for a model that answers no prompt."""
    header, stamp = header_of(path)
    if header.architecture in NOT_FOR_PROMPTS:
        raise ModelUnusable(
            f"{path.name} turns text into vectors ({header.architecture}); it cannot answer a prompt.",
            fix="Choose a chat model.",
        )
    return header, stamp


def facts_of(path: Path) -> tuple[HeaderFacts, bool]:
    """What a list shows, and whether that holds as long as the file does not change. Never raises."""
    try:
        header, _stamp = check_usable(path)
    except ModelError as error:
        return HeaderFacts(problem=error.problem.what), not isinstance(error, ModelMissing)
    return HeaderFacts(header.quant, header.architecture), True
