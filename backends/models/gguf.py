"""Reads the header of a GGUF: what model it is, its tensors, may native code open it. Must not load weights.

The one parser for files on disk and for the beginning of a file elsewhere. The limits are those that keep llama.cpp's
loader out of trouble: one flipped bit can abort the process. Only a hash can find a weight that changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from backends.errors import ModelError, ModelUnusable, NotAModel
from backends.models.gguf_cursor import STRING, Cursor, Damaged, HeaderIncomplete
from backends.models.gguf_entries import MAX_ENTRIES, TOKENS, Entries, read_entries
from backends.models.gguf_rules import (
    ARCHITECTURE,
    LLAMA,
    SPLIT_COUNT,
    SPLIT_NUMBER,
    SPLIT_TENSORS,
    alignment_of,
    check_entries,
    shape_of,
)
from backends.models.gguf_tensors import MAX_TENSORS, read_tensors
from backends.models.gguf_types import Tensor, aligned
from backends.models.quant_rules import QUANT_BY_NUMBER
from backends.models.records import Shape

__all__ = ["GgufHeader", "HeaderIncomplete", "Split", "join_parts", "read_header"]

MAGIC = b"GGUF"
VERSIONS = (2, 3)
WEB_PAGE_OPENINGS = (b"<!doctype html", b"<html", b"<head", b"<?xml")
OPENING_BYTES = 512
# Quants that no Llama of the catalogue has, by the number that stands for them in a file.
OTHER_QUANTS = {36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4", 39: "NVFP4", 40: "Q1_0", 41: "Q2_0"}
TEMPLATE = "tokenizer.chat_template"


@dataclass(frozen=True, slots=True)
class Split:
    """Which part of a model a file is, counted from 0; `n_tensors` are those of all parts."""

    number: int
    count: int
    n_tensors: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """One file, or all parts of a model joined. None where the header does not say.

    `header_bytes` is where the tensors' data begins, `file_bytes` where it ends: a complete file is as long or longer.
    `warnings` are sentences about a model that may be opened but is not what Nearfar promises.
    """

    architecture: str | None
    name: str | None
    quant: str | None
    shape: Shape | None
    n_tokens: int | None
    tokeniser: str | None
    chat_template_bytes: int | None
    split: Split | None
    tensors: tuple[Tensor, ...]
    alignment: int
    header_bytes: int
    file_bytes: int
    warnings: tuple[str, ...] = ()

    @property
    def is_llama(self) -> bool:
        """The architecture that Nearfar promises to run and to foretell; others are left to llama.cpp."""
        return self.architecture == LLAMA


def read_header(data: bytes, *, name: str, file_bytes: int | None = None) -> GgufHeader:
    """The header at the start of `data`, of a file of `file_bytes` that people know as `name`.

    Raises HeaderIncomplete where `data` ends within the header, NotAModel where it is damaged or no GGUF, ModelUnusable
    where llama.cpp would refuse it. With `file_bytes`, a file that is too short for its tensors is NotAModel too.
    """
    _check_opening(data, name)
    try:
        header = _read(Cursor(data, file_bytes, at=len(MAGIC)))
        if file_bytes is not None and file_bytes < header.file_bytes:
            missing = header.file_bytes - file_bytes
            raise Damaged(f"it ends {missing:,} bytes too early, so the download or copy was cut short")
    except Damaged as damage:
        raise NotAModel(f"{name} is damaged: {damage}.") from None
    except ModelError as error:
        raise type(error)(f"{name} cannot be used. {error.problem.what}", fix=error.problem.fix) from None
    return header


def join_parts(parts: Sequence[GgufHeader], *, name: str) -> GgufHeader:
    """One header for all parts of a model, in order; raises NotAModel where they do not belong together."""
    first = parts[0]
    tensors = tuple(tensor for part in parts for tensor in part.tensors)
    split = first.split
    if len(parts) == 1 and (split is None or split.count < 2):
        return first
    fits = split is not None and split.count == len(parts) and split.n_tensors == len(tensors)
    numbered = all(part.split is not None and part.split.number == number for number, part in enumerate(parts))
    if not fits or not numbered or len({tensor.name for tensor in tensors}) != len(tensors):
        raise NotAModel(f"The parts of {name} do not belong together.", fix="Download all of its parts again.")
    return replace(
        first,
        tensors=tensors,
        shape=None if first.shape is None else replace(first.shape, tied=_tied(tensors)),
        header_bytes=sum(part.header_bytes for part in parts),
        file_bytes=sum(part.file_bytes for part in parts),
    )


def _check_opening(data: bytes, name: str) -> None:
    opening = data[:OPENING_BYTES]
    if opening[: len(MAGIC)] == MAGIC:
        return
    if opening.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(WEB_PAGE_OPENINGS):
        raise NotAModel(
            f"{name} is a web page, not a model: a sign-in or error page was saved in its place.",
            fix="Sign in to the network or the site, then download the file again.",
        )
    raise NotAModel(f"{name} is not a GGUF model file.")


def _read(cursor: Cursor) -> GgufHeader:
    _check_version(cursor.u32())
    n_tensors, n_entries = cursor.u64(), cursor.u64()
    if n_tensors > MAX_TENSORS or n_entries > MAX_ENTRIES:
        raise Damaged(f"its header claims {n_tensors:,} tensors and {n_entries:,} entries")
    entries = read_entries(cursor, n_entries)
    check_entries(entries)
    split = _split(entries)
    if n_tensors == 0 and (split is None or split.count < 2):  # the first part of a model may hold the entries alone
        raise Damaged(f"its header claims {n_tensors:,} tensors and {n_entries:,} entries")
    alignment = alignment_of(entries)
    tensors = read_tensors(cursor, n_tensors, alignment)
    header_bytes = aligned(cursor.at, alignment)
    return _header(entries, split, tensors, alignment, header_bytes)


def _check_version(version: int) -> None:
    if version in VERSIONS:
        return
    if version & 0xFFFF == 0 and version >> 24 in VERSIONS:
        raise ModelUnusable(
            "It was made for a computer with the other byte order.", fix="Download the model from another source."
        )
    raise ModelUnusable(
        f"This file is GGUF version {version}; this app reads versions 2 and 3.",
        fix="Download the model again from a newer source.",
    )


def _header(
    entries: Entries, split: Split | None, tensors: tuple[Tensor, ...], alignment: int, header_bytes: int
) -> GgufHeader:
    number = entries.integer("general.file_type")
    tokens = entries.arrays.get(TOKENS)
    last = tensors[-1] if tensors else None
    data_bytes = last.offset_bytes + last.size_bytes if last else 0
    architecture = entries.text(ARCHITECTURE)
    return GgufHeader(
        architecture=architecture,
        name=entries.text("general.name"),
        quant=None if number is None else QUANT_BY_NUMBER.get(number) or OTHER_QUANTS.get(number),
        shape=shape_of(entries, tied=_tied(tensors)),
        n_tokens=tokens.count if tokens is not None and tokens.kind == STRING else None,
        tokeniser=entries.text("tokenizer.ggml.pre") or entries.text("tokenizer.ggml.model"),
        chat_template_bytes=entries.text_bytes.get(TEMPLATE),
        split=split,
        tensors=tensors,
        alignment=alignment,
        header_bytes=header_bytes,
        file_bytes=header_bytes + data_bytes,
        warnings=_warnings(architecture, split),
    )


def _split(entries: Entries) -> Split | None:
    count = entries.integer(SPLIT_COUNT)
    number, n_tensors = entries.integer(SPLIT_NUMBER), entries.integer(SPLIT_TENSORS)
    return None if count is None or number is None or n_tensors is None else Split(number, count, n_tensors)


def _tied(tensors: Sequence[Tensor]) -> bool:
    return all(tensor.name != "output.weight" for tensor in tensors)


def _warnings(architecture: str | None, split: Split | None) -> tuple[str, ...]:
    if architecture == LLAMA or (architecture is None and split is not None and split.number > 0):
        return ()
    kind = f"a model of the kind “{architecture[:40]}”" if architecture else "a model that does not say its kind"
    return (f"This is {kind}. Nearfar is made for Llama; whether llama.cpp runs it shows when it is loaded.",)
