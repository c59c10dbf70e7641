"""Keeps what was learned in one JSON file of this machine's own. Must not know how it is used, and never raises.

What it holds are sizes, speeds and names of models and devices; no prompt, no answer and no time of day. Without it
nothing is lost but corrections, so a file that cannot be read or written is only logged.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import pydantic_core
from pydantic import TypeAdapter, ValidationError

from backends.errors import Problem
from backends.file_lock import alone_if_possible
from backends.files import replace_file
from backends.fit.learned import MAX_SEEN, Learned
from backends.fit.records import FitSeen
from backends.paths import Paths

log = logging.getLogger(__name__)

FILE_NAME = "learned.json"
MAX_FILE_BYTES = 1_000_000
MAX_NAME_CHARS = 500
MAX_BYTES = 2**50
MAX_TOK_S = 1e6


class LearnedFile:
    """The file. Any number of programs may add to one: each change is added to what it holds at that moment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._unwritten: tuple[FitSeen, ...] = ()

    @classmethod
    def of(cls, paths: Paths) -> LearnedFile:
        return cls(paths.data / FILE_NAME)

    def load(self) -> Learned:
        """What the file holds; nothing where it is missing or beyond repair. Damaged entries are left out."""
        with self._lock:
            return self._read().plus(*self._unwritten)

    def add(self, *seen: FitSeen) -> Learned:
        """Remember more, on disk. Where that cannot be written it holds until the program ends."""
        with self._lock, alone_if_possible(self.path):
            self._unwritten = (*self._unwritten, *(each for each in seen if _is_sane(each)))[-MAX_SEEN:]
            learned = self._read().plus(*self._unwritten)
            content = json.dumps({"seen": [asdict(each) for each in learned.seen]}) + "\n"
            try:
                replace_file(self.path, content.encode("utf-8", "replace"))
                self._unwritten = ()
            except OSError as error:
                log.warning("what was learned could not be written: %s", error.strerror)
            return learned

    def forget(self) -> Problem | None:
        """Delete all of it. Returns what kept the file from being deleted, if anything did."""
        with self._lock, alone_if_possible(self.path):
            self._unwritten = ()
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:
                what = f"What was learned could not be deleted: {error.strerror}."
                return Problem("learned", what, "Nothing else was changed.", f"Delete the file {self.path} yourself.")
            return None

    def _read(self) -> Learned:
        try:
            with self.path.open("rb") as file:
                raw = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return Learned()
        except OSError as error:
            log.warning("what was learned could not be read: %s", error.strerror)
            return Learned()
        return Learned(each for value in _entries(raw) if (each := _entry(value)) is not None)


def _entries(raw: bytes) -> list[Any]:
    if len(raw) > MAX_FILE_BYTES:
        log.warning("the file of what was learned is far too large and is not read")
        return []
    try:
        stored = pydantic_core.from_json(raw, allow_partial=True)
    except ValueError:
        log.warning("the file of what was learned is damaged and is not read")
        return []
    entries = stored.get("seen") if isinstance(stored, dict) else None
    return entries if isinstance(entries, list) else []


@cache
def _adapter() -> TypeAdapter[FitSeen]:
    return TypeAdapter(FitSeen)


_FIELDS = frozenset(each.name for each in fields(FitSeen))


def _entry(value: Any) -> FitSeen | None:
    if not isinstance(value, dict):
        return None
    try:
        each = _adapter().validate_python({name: value[name] for name in value.keys() & _FIELDS})
    except ValidationError:
        return None
    return each if _is_sane(each) else None


def _is_sane(each: FitSeen) -> bool:
    sizes = (each.predicted_bytes, each.real_bytes or 0, abs(each.corrected_bytes))
    rates = [rate for rate in (each.predicted_tok_s, each.real_tok_s, each.speed_factor) if rate is not None]
    return (
        all(0 <= size <= MAX_BYTES for size in sizes)
        and all(math.isfinite(rate) and 0 < rate <= MAX_TOK_S for rate in rates)
        and all(len(name) <= MAX_NAME_CHARS for name in (each.ref, each.quant or "", *each.devices))
        and bool(each.devices)
    )
