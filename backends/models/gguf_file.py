"""Reads the headers of a model on disk, all its parts included. Must not know who asks or load weights.

Headers are read into memory: a mapped file that another program cuts short would end the process that looks at it.
"""

from __future__ import annotations

import os
import stat
from io import RawIOBase
from pathlib import Path

from backends.errors import ModelMissing, ModelUnusable, NotAModel
from backends.models.folder import SPLIT, part_name
from backends.models.gguf import GgufHeader, HeaderIncomplete, join_parts, read_header
from backends.models.gguf_cursor import MAX_HEADER_BYTES
from backends.models.regular import open_regular

FIRST_BYTES = 9 * 2**20  # the header of a Llama 3 takes 7.9 MB


def read_file(path: Path) -> GgufHeader:
    """The header of one file; raises as `open_header`."""
    return open_header(path)[0]


def open_header(path: Path) -> tuple[GgufHeader, os.stat_result]:
    """The checked header of one file, and exactly which file it was read from.

    Raises ModelMissing, NotAModel or ModelUnusable, each a sentence with the file's name.
    """
    with os.fdopen(_open(path), "rb", buffering=0) as file:
        found = os.fstat(file.fileno())
        if found.st_size == 0:
            raise NotAModel(f"{path.name} is empty.")
        try:
            return _read(file, path, found.st_size), found
        except OSError as error:
            raise ModelMissing(_unreadable(path, error)) from None


def _read(file: RawIOBase, path: Path, size_bytes: int) -> GgufHeader:
    data, wanted = bytearray(), FIRST_BYTES
    while True:
        while len(data) < wanted and (more := file.read(wanted - len(data))):
            data += more
        try:
            return read_header(bytes(data), name=path.name, file_bytes=size_bytes)
        except HeaderIncomplete as incomplete:
            if len(data) < min(wanted, size_bytes):
                raise NotAModel(f"{path.name} became shorter while it was read.") from None
            if len(data) >= size_bytes or wanted >= MAX_HEADER_BYTES:
                raise NotAModel(f"{path.name} is damaged: its header does not end.") from None
            wanted = min(MAX_HEADER_BYTES, max(4 * wanted, incomplete.at_least_bytes))  # each time is from the start


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


def read_model(path: Path) -> GgufHeader:
    """The headers of a model's file or of all its parts, joined; raises as `read_file` does."""
    first = read_file(path)
    if first.split is None or first.split.count < 2:
        return first
    paths = part_paths(path, first)
    return join_parts([first, *(_part(part, path, len(paths)) for part in paths[1:])], name=path.name)


def part_paths(path: Path, header: GgufHeader) -> tuple[Path, ...]:
    """All files of a model by the name of its first; raises ModelUnusable where that is not the first, or renamed."""
    if header.split is None or header.split.count < 2:
        return (path,)
    count = header.split.count
    name = SPLIT.fullmatch(path.name)
    if name is None or path.name != part_name(name["stem"], header.split.number + 1, count):
        raise ModelUnusable(
            f"{path.name} is part {header.split.number + 1} of {count} of a model, but is not named so.",
            fix=f"Give the parts their names back: they end in -00001-of-{count:05}.gguf and so on.",
        )
    paths = tuple(path.with_name(part_name(name["stem"], number, count)) for number in range(1, count + 1))
    if header.split.number != 0:
        raise ModelUnusable(
            f"{path.name} is part {header.split.number + 1} of {count} of a model.",
            fix=f"Choose its first part, {paths[0].name}.",
        )
    return paths


def _part(path: Path, first: Path, count: int) -> GgufHeader:
    try:
        return read_file(path)
    except ModelMissing:
        raise ModelMissing(
            f"{first.name} has {count} parts, and {path.name} is missing or cannot be read.",
            fix="Put all parts into one folder, or download the model again.",
        ) from None
