"""Reads the headers of a model on disk, all its parts included. Must not know who asks or load weights.

Headers are read into memory: a mapped file that another program cuts short would end the process that looks at it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

from backends.errors import ModelMissing, ModelUnusable, NotAModel
from backends.models.gguf import GgufHeader, HeaderIncomplete, join_parts, read_header

FIRST_BYTES = 9 * 2**20  # the header of a Llama 3 takes 7.9 MB
PART_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def read_file(path: Path) -> GgufHeader:
    """The header of one file; raises ModelMissing, NotAModel or ModelUnusable, each with the file's name."""
    size = _size_of(path)
    try:
        with path.open("rb") as file:
            data = file.read(FIRST_BYTES)
            while True:
                try:
                    return read_header(data, name=path.name, file_bytes=size)
                except HeaderIncomplete as more:
                    data += _more(file, more.at_least_bytes, data, path)
    except OSError as error:
        raise ModelMissing(f"{path.name} cannot be read ({error.strerror}).") from None


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
    name = PART_NAME.fullmatch(path.name)
    if name is None or int(name["count"]) != count or int(name["number"]) != header.split.number + 1:
        raise ModelUnusable(
            f"{path.name} is part {header.split.number + 1} of {count} of a model, but is not named so.",
            fix=f"Give the parts their names back: they end in -00001-of-{count:05}.gguf and so on.",
        )
    paths = tuple(path.with_name(f"{name['stem']}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1))
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


def _more(file: BinaryIO, at_least_bytes: int, data: bytes, path: Path) -> bytes:
    """As much again as there is, or what is needed; raises NotAModel where the file has become shorter."""
    more = file.read(max(len(data), at_least_bytes - len(data)))
    if len(data) + len(more) < at_least_bytes:
        raise NotAModel(f"{path.name} became shorter while it was read.")
    return more


def _size_of(path: Path) -> int:
    try:
        if path.is_dir():
            raise NotAModel(f"{path.name} is a folder, not a model file.", fix="Choose the .gguf file inside it.")
        if not path.exists():
            raise ModelMissing(f"There is no file {path}.")
        if not path.is_file():
            raise NotAModel(f"{path.name} is not a regular file.")
        size = path.stat().st_size
    except OSError as error:
        raise ModelMissing(f"{path.name} cannot be read ({error.strerror}).") from None
    if size == 0:
        raise NotAModel(f"{path.name} is empty.")
    return size
