"""Prints models, repos and progress for `nearfar models`, for people or as JSON. Must not read disks or ask anybody."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.cli_print import one_line
from backends.models.download_names import valid_text
from backends.models.records import DownloadPlan, DownloadProgress, InstalledModel, Licence
from backends.sizes import size_words

if TYPE_CHECKING:
    from backends.models.hub_listing import RepoListing

OWNERS = {
    "lm_studio": "LM Studio",
    "jan": "Jan",
    "gpt4all": "GPT4All",
    "hugging_face": "the Hugging Face cache",
    "ollama": "Ollama",
}
CHECKS = {
    "verified": "verified",
    "unverified": "not verified",
    "changed": "CHANGED since it was verified",
    "missing": "INCOMPLETE",
}
LONGEST_REF = 48  # in a table of 100 columns; a longer one has a line of its own, so that it can still be copied
REDRAW_S = 0.2
_WIPE_LINE = "\r\x1b[K"


def model_as_json(model: InstalledModel) -> dict[str, object]:
    """One entry of `models list --json`."""
    return {
        "ref": model.ref,
        "name": model.name,
        "quant": model.quant,
        "size_bytes": model.size_bytes,
        "check": model.check,
        "origin": model.origin,
        "in_place": model.in_place,
        "path": str(model.path),
        "files": [str(path) for path in model.files],
        "missing_parts": list(model.missing_parts),
        "sha256": list(model.sha256),
        "model": model.model_id,
        "licence": model.licence_tag,
        "last_used_at": None if model.last_used_at is None else model.last_used_at.isoformat(),
        "note": model.note or None,
    }


def models_as_text(models: Sequence[InstalledModel]) -> str:
    """A table for a terminal, and the total."""
    refs = [one_line(model.ref) for model in models]
    width = max((len(ref) for ref in refs if len(ref) <= LONGEST_REF), default=0)
    lines = []
    for model, ref in zip(models, refs, strict=True):
        if len(ref) > LONGEST_REF:
            lines.append(ref)
            ref = ""
        size = size_words(model.size_bytes)
        lines.append(f"{ref:{width}}  {size:>10}  {model.quant or '?':7}  {one_line(', '.join(_notes(model)))}")
    own = sum(model.size_bytes for model in models if not model.in_place)
    count = "1 model" if len(models) == 1 else f"{len(models)} models"
    lines.append(f"{count}; {size_words(own)} in the models folder. Use one as --target local:REF")
    return "\n".join(lines)


def _notes(model: InstalledModel) -> list[str]:
    notes = [CHECKS[model.check]]
    if model.origin in OWNERS:
        notes.append(f"kept by {OWNERS[model.origin]}")
    elif model.in_place:
        notes.append(f"used where it lies: {valid_text(str(model.path))}")
    if model.missing_parts:
        notes.append(f"missing: {', '.join(map(valid_text, model.missing_parts[:3]))}")
    if model.last_used_at is not None:
        notes.append(f"used {model.last_used_at.astimezone():%Y-%m-%d}")
    if model.note:
        notes.append(model.note)
    return notes


def listing_as_json(listing: RepoListing) -> dict[str, object]:
    """`models add --json`."""
    return {
        "repo": listing.repo,
        "revision": listing.revision,
        "gated": listing.gated,
        "licence": listing.licence_tag,
        "models": [
            {
                "ref": model.ref,
                "name": model.name,
                "quant": model.quant,
                "size_bytes": model.size_bytes,
                "missing_parts": model.missing,
                "files": [
                    {"path": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256} for file in model.files
                ],
            }
            for model in listing.models
        ],
        "left_out": list(listing.left_out),
    }


def listing_as_text(listing: RepoListing) -> str:
    """What can be pulled from a repo."""
    head = f"{listing.repo}, licence {listing.licence_tag or 'not stated'}"
    lines = [one_line(head + (", asks for a token" if listing.gated else ""))]
    for model in listing.models:
        size = "size unknown" if model.size_bytes is None else size_words(model.size_bytes)
        lacks = f"  lacks {model.missing} parts" if model.missing else ""
        lines.append(one_line(f"  {size:>12}  {model.quant or '?':8}  {model.ref}{lacks}"))
    if not listing.models:
        lines.append("  It has no GGUF files.")
    if listing.left_out:
        lines.append(one_line(f"  Left out, for their names are not safe: {', '.join(listing.left_out[:5])}"))
    return "\n".join(lines)


def licence_as_text(plan: DownloadPlan, licence: Licence) -> str:
    """What a person reads before they accept."""
    lines = [f"{plan.name} {plan.quant}".strip() + f" comes under: {licence.name}", f"  {licence.url}"]
    if licence.credit:
        lines.append(f"  Where you pass it on or build on it, show “{licence.credit}”.")
    return "\n".join(one_line(line) for line in lines)


def progress_as_json(event: str, progress: DownloadProgress) -> dict[str, object]:
    """A line of `models pull --json`."""
    return {
        "event": event,
        "ref": progress.ref,
        "received_bytes": progress.received_bytes,
        "total_bytes": progress.total_bytes,
        "rate_bytes_s": progress.rate_bytes_s,
        "left_s": progress.left_s,
    }


class ProgressLine:
    """One line on standard error that is written over; nothing where that is no terminal."""

    def __init__(self, name: str, *, shown: bool = True) -> None:
        self._name = one_line(name)
        self._shown = shown and sys.stderr is not None and sys.stderr.isatty()
        self._drawn = False
        self._drawn_at = 0.0

    def bytes(self, done: int, total: int) -> None:
        """From any thread."""
        now = time.monotonic()
        if now - self._drawn_at >= REDRAW_S:
            self._drawn_at = now
            self._draw(f"{self._name}  {done / max(total, 1):4.0%} of {size_words(total)}")

    def download(self, progress: DownloadProgress) -> None:
        parts = [self._name, size_words(progress.received_bytes)]
        if progress.total_bytes is not None:
            parts[1] += f" of {size_words(progress.total_bytes)}"
        if progress.rate_bytes_s is not None:
            parts.append(f"{size_words(round(progress.rate_bytes_s))}/s")
        if progress.left_s is not None:
            parts.append(f"{time_words(progress.left_s)} left")
        self._draw("  ".join(parts))

    def wipe(self) -> None:
        """Before anything else is printed; idempotent."""
        if self._drawn:
            self._drawn = False
            self._write(_WIPE_LINE)

    def _draw(self, text: str) -> None:
        if self._shown:
            self._drawn = True
            self._write(f"{_WIPE_LINE}{text[:100]}")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            print(text, end="", file=sys.stderr, flush=True)


def time_words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
