"""What the library asks of the header of a file that may be anybody's. Must not read it itself, nor keep any."""

from __future__ import annotations

from pathlib import Path

from backends.errors import ModelError, ModelMissing, ModelUnusable
from backends.models.gguf import GgufHeader
from backends.models.gguf_file import open_header
from backends.models.index import HeaderFacts, Stamp

# Architectures that llama.cpp opens but that answer no prompt: they turn text into vectors, or speak.
NOT_FOR_PROMPTS = frozenset(
    {"bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2", "jina-bert-v3", "t5encoder"}
    | {"gemma-embedding", "llama-embed", "wavtokenizer-dec", "whisper"}
)


def header_of(path: Path) -> tuple[GgufHeader, Stamp]:
    """The checked header and the stamp of the file it is in; raises as `gguf_file.open_header`."""
    header, found = open_header(path)
    return header, Stamp.of(found)


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
