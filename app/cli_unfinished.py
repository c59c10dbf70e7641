"""Downloads that did not end, as `nearfar models list` and `remove` speak of them. Must not fetch or import Qt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.cli_print import one_line
from backends.sizes import size_words

if TYPE_CHECKING:
    from backends.models.manager import Models
    from backends.models.unfinished import Unfinished

NOW = ", being downloaded now"


async def all_unfinished(made: Models) -> tuple[Unfinished, ...]:
    from backends.models.unfinished import unfinished

    return await asyncio.to_thread(unfinished, made.library.folder)


async def named(made: Models, name: str) -> Unfinished | None:
    from backends.models.unfinished import find_unfinished_named

    return find_unfinished_named(await all_unfinished(made), name)


async def kept_bytes(made: Models, ref: str) -> int:
    """What of a download is on the disk."""
    found = await named(made, ref)
    return 0 if found is None else found.received_bytes


async def discard(made: Models, each: Unfinished) -> int:
    """Returns the bytes freed; raises InUse."""
    from backends.models import unfinished

    return await asyncio.to_thread(unfinished.discard, made.library.folder, each)


def as_json(each: Unfinished) -> dict[str, object]:
    """One entry of `unfinished` in `models list --json`."""
    return {
        "ref": each.ref,
        "name": each.plan.name,
        "quant": each.plan.quant or None,
        "received_bytes": each.received_bytes,
        "total_bytes": each.total_bytes,
        "disk_bytes": each.disk_bytes,
        "running": each.running,
    }


def as_text(found: Sequence[Unfinished]) -> str:
    """What there is of each, how to go on, and how to be rid of it."""
    lines = [
        "Not downloaded to the end:",
        *(one_line(f"  {each.ref}: {share_words(each)}{NOW if each.running else ''}") for each in found),
    ]
    if any(not each.running for each in found):
        lines.append("Go on with `nearfar models pull REF`; `nearfar models remove REF` discards what came.")
    return "\n".join(lines)


def share_words(each: Unfinished) -> str:
    """As `1.20 GiB of 4.58 GiB (26 %)`."""
    done = size_words(each.received_bytes)
    if not each.total_bytes:
        return done
    return f"{done} of {size_words(each.total_bytes)} ({each.received_bytes / each.total_bytes:.0%})".replace("%", " %")
