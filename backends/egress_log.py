"""Keeps what `backends/egress` wrote down beyond this run of the app, and reads it back. Must not know what was sent.

One JSON line for each beginning, opening and end of a connection, so that a killed app loses the byte counts of what
was open and nothing else. Hosts, purposes and sizes: never a path, a prompt or a key.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backends.egress import Contact, Entry, Outcome
from backends.paths import PRIVATE_FILE, ensure_folder

log = logging.getLogger(__name__)

MAX_BYTES = 512 * 1024  # of each of two files: some 4,000 connections
KEPT_CHARS = 253  # of a host name (RFC 1035)


class _Line(BaseModel):
    """A line of the file, which a person may have edited and a power cut may have torn."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str = Field(min_length=1, max_length=64)
    purpose: str = Field(max_length=100)
    host: str = Field(max_length=KEPT_CHARS)
    port: int = Field(ge=0, le=65535)
    via: str = Field(default="", max_length=KEPT_CHARS + 6)
    on_this_machine: bool
    at: datetime
    outcome: Literal["connecting", "open", "closed", "failed", "refused", "cut"]
    requests: int = Field(default=0, ge=0)
    bytes_sent: int = Field(default=0, ge=0)
    bytes_received: int = Field(default=0, ge=0)


class ContactLog:
    """Appends to `path`, from a thread of its own. `keep` is asked for each line: False writes nothing."""

    def __init__(self, path: Path, *, keep: Callable[[], bool]) -> None:
        self.path = path
        self._keep = keep
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="contacts")
        self._failed = False

    def heard(self, entry: Entry) -> None:
        """As a listener of `Egress`, on any thread; returns at once and never raises."""
        if not self._keep():
            return
        contact = entry.as_contact()
        try:
            self._writer.submit(self._write, contact)
        except RuntimeError:  # closed: the app is ending
            log.info("a connection ended after the log was closed")

    def close(self) -> None:
        """Finish writing; idempotent."""
        self._writer.shutdown(wait=True)

    def _write(self, contact: Contact) -> None:
        fields = asdict(contact) | {"at": contact.at.isoformat(), "host": contact.host[:KEPT_CHARS]}
        line = json.dumps(fields, ensure_ascii=True) + "\n"
        try:
            ensure_folder(self.path.parent)
            if _size(self.path) + len(line) > MAX_BYTES:
                os.replace(self.path, older(self.path))
            # One write with O_APPEND: lines of two programs never mix.
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_FILE)
            try:
                os.write(handle, line.encode("ascii"))
            finally:
                os.close(handle)
        except OSError as error:
            if not self._failed:
                self._failed = True
                log.warning("the log of connections cannot be written: %s", error.strerror)


def older(path: Path) -> Path:
    """Where the lines before the last turn of the file are."""
    return path.with_name(path.name + ".1")


def forget(path: Path) -> None:
    """Delete what was kept. Raises OSError."""
    for each in (path, older(path)):
        each.unlink(missing_ok=True)


def read_contacts(path: Path, limit: int) -> tuple[Contact, ...]:
    """The last connections, oldest first; damaged lines are left out. Never raises."""
    found: dict[str, Contact] = {}
    for file in (older(path), path):
        try:
            lines = file.read_bytes()[-MAX_BYTES:].splitlines()
        except OSError:
            continue
        for line in lines:
            try:
                fields = _Line.model_validate_json(line)
            except ValidationError:
                continue
            found.pop(fields.id, None)
            found[fields.id] = _contact(fields)
    return tuple(sorted(found.values(), key=lambda contact: contact.at)[-limit:])


def _contact(line: _Line) -> Contact:
    outcome: Outcome = line.outcome
    at = line.at if line.at.tzinfo is not None else line.at.astimezone()
    return Contact(
        purpose=line.purpose,
        host=line.host,
        port=line.port,
        on_this_machine=line.on_this_machine,
        at=at,
        outcome=outcome,
        requests=line.requests,
        bytes_sent=line.bytes_sent,
        bytes_received=line.bytes_received,
        id=line.id,
        via=line.via,
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
