"""Finds GGUF files below a folder and puts the parts of split models together. Must not open any of them.

Every walk is bounded in depth, number and time, and a link that leads round in circles is followed once. llama.cpp's
tools name the parts of a split model `<stem>-00001-of-00003.gguf`, and open the first to find the others.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

SUFFIX = ".gguf"
MAX_PARTS = 256
SPLIT = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a walk goes. `entries` counts every name that is looked at."""

    depth: int = 6
    entries: int = 50_000


@dataclass(frozen=True, slots=True)
class Group:
    """The files of one model, in order. `first` is what llama.cpp opens, there or not."""

    first: Path
    files: tuple[Path, ...]
    missing: tuple[Path, ...] = ()

    @property
    def stem(self) -> str:
        """The name without the numbers of its parts."""
        return model_stem(self.first.name)


def model_stem(name: str) -> str:
    """A file name without `.gguf` and without the numbers of a part."""
    match = SPLIT.fullmatch(name)
    return match["stem"] if match else name[: -len(SUFFIX)] if name.lower().endswith(SUFFIX) else name


def never() -> bool:
    """For work that nobody cancels."""
    return False


def nobody() -> None:
    """For news that nobody waits for."""


def gguf_files(
    folder: Path,
    *,
    bounds: Bounds | None = None,
    follow: bool = False,
    stop: Callable[[], bool] = never,
    on_cut: Callable[[], None] = nobody,
) -> Iterator[Path]:
    """Names that end in .gguf below `folder`, sorted within each folder; raises OSError where `folder` is unreadable.

    Folders below that cannot be read are passed over, and so is every hidden name. `follow` goes through links to
    folders, each real one once. `on_cut` is called where there were more names than the bounds allow.
    """
    limit = bounds or Bounds()
    left = limit.entries
    seen: set[tuple[int, int]] = set()
    waiting: list[tuple[Path, int]] = [(folder, 0)]
    while waiting:
        place, depth = waiting.pop(0)
        try:
            with os.scandir(place) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
            stat = os.stat(place)
        except OSError as error:
            if place == folder:
                raise
            log.info("a folder was passed over: %s", error.strerror)
            continue
        if follow and (stat.st_dev, stat.st_ino) in seen:
            continue
        seen.add((stat.st_dev, stat.st_ino))
        for entry in entries:
            left -= 1
            if left < 0 or stop():
                on_cut()
                return
            if entry.name.startswith("."):
                continue
            if _is_folder(entry, follow=follow):
                if depth < limit.depth:
                    waiting.append((place / entry.name, depth + 1))
            elif entry.name.lower().endswith(SUFFIX):
                yield place / entry.name


def _is_folder(entry: os.DirEntry[str], *, follow: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:
        return False


def grouped(paths: Iterable[Path]) -> list[Group]:
    """The models these files make up, in the order of their first file."""
    single: list[Group] = []
    split: dict[tuple[Path, str, int], dict[int, Path]] = {}
    for path in paths:
        match = SPLIT.fullmatch(path.name)
        number, count = (int(match["number"]), int(match["count"])) if match else (0, 0)
        if match and 1 <= number <= count <= MAX_PARTS:
            split.setdefault((path.parent, match["stem"], count), {})[number] = path
        else:
            single.append(Group(path, (path,)))
    parts = [_split_group(*where, present) for where, present in split.items()]
    return sorted(single + parts, key=lambda group: str(group.first))


def _split_group(folder: Path, stem: str, count: int, present: dict[int, Path]) -> Group:
    wanted = [present.get(number, folder / part_name(stem, number, count)) for number in range(1, count + 1)]
    return Group(
        wanted[0],
        tuple(present[number] for number in sorted(present)),
        tuple(path for number, path in enumerate(wanted, 1) if number not in present),
    )


def part_name(stem: str, number: int, count: int) -> str:
    return f"{stem}-{number:05}-of-{count:05}{SUFFIX}"


def group_of(path: Path) -> Group:
    """The model that one file belongs to, with the other parts as they lie beside it; looks only at names."""
    match = SPLIT.fullmatch(path.name)
    if match is None:
        return Group(path, (path,))
    count = int(match["count"])
    if not 1 <= int(match["number"]) <= count <= MAX_PARTS:
        return Group(path, (path,))
    names = [path.parent / part_name(match["stem"], number, count) for number in range(1, count + 1)]
    present = {number: name for number, name in enumerate(names, 1) if name == path or os.path.lexists(name)}
    return _split_group(path.parent, match["stem"], count, present)
