"""Writes the rows of comparisons and runs. Must not know when to write, nor which thread it is in."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from backends.errors import Problem
from backends.history.codec import TEXT_FIELDS, result_as_json, to_text
from backends.history.records import Mode, RunStatus, Vote
from backends.history.sessions import is_alive
from backends.records import Message, RunRequest, RunResult

Kind = Literal["text", "reasoning"]


@dataclass(frozen=True, slots=True)
class NewComparison:
    """A comparison that begins; prompt and sampling are those of its first request."""

    id: str
    request: RunRequest
    mode: Mode
    started_at: str

    def apply(self, connection: sqlite3.Connection) -> None:
        prompt = self.request.prompt
        connection.execute(
            "INSERT OR IGNORE INTO comparisons (id, started_at, mode, sampling, prompt, system, messages)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                self.id,
                self.started_at,
                self.mode,
                to_text(self.request.sampling),
                storable(prompt.text),
                None if prompt.system is None else storable(prompt.system),
                to_text([Message(each.role, storable(each.text)) for each in prompt.messages]),
            ),
        )


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that is about to be sent."""

    comparison_id: str
    request: RunRequest
    position: int
    started_at: str
    session: str

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT OR IGNORE INTO runs (id, comparison_key, position, target, status, started_at, session)"
            " SELECT ?, key, ?, ?, 'streaming', ?, ? FROM comparisons WHERE id = ?",
            (
                self.request.run_id,
                self.position,
                storable(str(self.request.target)),
                self.started_at,
                self.session,
                self.comparison_id,
            ),
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that arrived since the last write; `parts` grows until it is written."""

    run_id: str
    kind: Kind
    parts: list[str] = field(default_factory=list)

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO pieces (run_key, kind, text) SELECT key, ?, ? FROM runs WHERE id = ?",
            (self.kind, storable("".join(self.parts)), self.run_id),
        )


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The one terminal event of a run."""

    run_id: str
    status: RunStatus
    result: RunResult
    problem: Problem | None = None

    def apply(self, connection: sqlite3.Connection) -> None:
        found = connection.execute("SELECT key FROM runs WHERE id = ?", (self.run_id,)).fetchone()
        if found is None:  # deleted while it ran
            return
        key = int(found[0])
        arrived, thought = pieces_of(connection, key)
        figures = {name: value for name, value in result_as_json(self.result).items() if name not in TEXT_FIELDS}
        connection.execute(
            "UPDATE runs SET status = ?, result = ?, problem = ?, text = ?, reasoning = ? WHERE key = ?",
            (
                self.status,
                to_text(figures),
                None if self.problem is None else to_text(self.problem),
                # A run that ended by a defect of ours may have lost its books; text that arrived is never lost.
                max(storable(self.result.text), arrived, key=len),
                max(storable(self.result.reasoning_text), thought, key=len),
                key,
            ),
        )
        connection.execute("DELETE FROM pieces WHERE run_key = ?", (key,))


@dataclass(frozen=True, slots=True)
class RunVote:
    """What the person thinks of an answer now; of a run that is not kept, nothing is."""

    run_id: str
    vote: Vote

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE runs SET vote = ? WHERE id = ?", (self.vote, self.run_id))


Change = NewComparison | NewRun | Piece | RunEnd | RunVote


def apply_all(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    for change in changes:
        change.apply(connection)


def storable(text: str) -> str:
    """The text as UTF-8 can hold it: half a surrogate pair, which a server can send, becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def pieces_of(connection: sqlite3.Connection, run_key: int) -> tuple[str, str]:
    """Text and reasoning of a run that are not yet part of its row."""
    parts: dict[str, list[str]] = {"text": [], "reasoning": []}
    for kind, text in connection.execute("SELECT kind, text FROM pieces WHERE run_key = ? ORDER BY key", (run_key,)):
        parts.setdefault(kind, []).append(text)
    return "".join(parts["text"]), "".join(parts["reasoning"])


def close_dead_runs(connection: sqlite3.Connection) -> None:
    """Runs whose program is gone become `interrupted`, with the text that arrived."""
    unfinished = connection.execute(
        "SELECT key, session, status FROM runs WHERE status = 'streaming' OR key IN (SELECT run_key FROM pieces)"
    ).fetchall()
    for key, session, status in unfinished:
        if is_alive(session):
            continue
        text, reasoning = pieces_of(connection, key)
        connection.execute(
            "UPDATE runs SET status = ?, text = text || ?, reasoning = reasoning || ? WHERE key = ?",
            ("interrupted" if status == "streaming" else status, text, reasoning, key),
        )
        connection.execute("DELETE FROM pieces WHERE run_key = ?", (key,))
