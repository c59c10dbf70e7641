"""Reads comparisons and runs back as values. Must not write, and must not fail on a damaged cell."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, cast, get_args

from backends.history import codec
from backends.history.records import ComparisonRecord, ComparisonSummary, Mode, RunRecord, RunStatus, RunSummary, Vote
from backends.history.rows import pieces_of
from backends.history.sessions import is_alive

PROMPT_START_CHARS = 300
MAX_WORDS = 16
UNKNOWN_TIME = datetime.fromtimestamp(0, UTC)

SUMMARY = f"SELECT key, id, started_at, mode, substr(prompt, 1, {PROMPT_START_CHARS}) FROM comparisons"  # noqa: S608 - ours
WORD_OR_PHRASE = re.compile(r'"([^"]+)"|(\S+)')
# The index splits at spaces and punctuation. Scripts that put none between words, and signs alone, need a plain look.
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)


def recent(connection: sqlite3.Connection, limit: int, before: str | None) -> tuple[ComparisonSummary, ...]:
    """The newest comparisons, newest first; with `before`, those older than that one."""
    older = "WHERE ?1 IS NULL OR key < (SELECT key FROM comparisons WHERE id = ?1)"
    rows = connection.execute(f"{SUMMARY} {older} ORDER BY key DESC LIMIT ?2", (before, limit))
    return _summaries(connection, rows.fetchall())


def ids(connection: sqlite3.Connection, beginning: str) -> tuple[str, ...]:
    """The newest ten names that begin so."""
    found = connection.execute(
        "SELECT id FROM comparisons WHERE substr(id, 1, length(?1)) = ?1 ORDER BY key DESC LIMIT 10", (beginning,)
    )
    return tuple(str(row[0]) for row in found)


def search(connection: sqlite3.Connection, text: str, limit: int, *, fts5: bool) -> tuple[ComparisonSummary, ...]:
    """Comparisons that hold every word, or the beginning of one, in prompt or answers; "..." is a phrase."""
    words = [phrase or word for phrase, word in WORD_OR_PHRASE.findall(text.replace("\0", " "))][:MAX_WORDS]
    if not words:
        return ()
    conditions, values = [], []
    for word in words:
        condition, value = _holds(word, fts5=fts5)
        conditions.append(condition)
        values += [value] * condition.count("?")
    rows = connection.execute(f"{SUMMARY} WHERE {' AND '.join(conditions)} ORDER BY key DESC LIMIT ?", (*values, limit))
    return _summaries(connection, rows.fetchall())


def _holds(word: str, *, fts5: bool) -> tuple[str, str]:
    if fts5 and not UNSPACED.search(word) and any(letter.isalnum() for letter in word):
        quoted = word.replace('"', '""')
        return (
            "(key IN (SELECT rowid FROM comparisons_fts WHERE comparisons_fts MATCH ?) OR key IN (SELECT comparison_key"
            " FROM runs WHERE key IN (SELECT rowid FROM runs_fts WHERE runs_fts MATCH ?)))",
            f'"{quoted}"*',
        )
    pattern = "%" + re.sub(r"([\\%_])", r"\\\1", word) + "%"
    return (
        "(prompt LIKE ? ESCAPE '\\' OR system LIKE ? ESCAPE '\\' OR key IN"
        " (SELECT comparison_key FROM runs WHERE text LIKE ? ESCAPE '\\'))",
        pattern,
    )


def whole(connection: sqlite3.Connection, comparison_id: str) -> ComparisonRecord | None:
    """One comparison with every run, or None."""
    row = connection.execute(
        "SELECT key, id, started_at, mode, sampling, prompt, system, messages FROM comparisons WHERE id = ?",
        (comparison_id,),
    ).fetchone()
    if row is None:
        return None
    key, id_, started_at, mode, sampling, prompt, system, messages = row
    return ComparisonRecord(
        id=id_,
        started_at=_time(started_at),
        prompt=codec.prompt_from_json(codec.from_text(messages), str(prompt), system),
        sampling=codec.sampling_from_json(codec.from_text(sampling)),
        mode=_mode(mode),
        runs=_runs(connection, key),
    )


def _runs(connection: sqlite3.Connection, comparison_key: int) -> tuple[RunRecord, ...]:
    rows = connection.execute(
        "SELECT key, id, position, target, status, session, started_at, result, problem, text, reasoning, vote"
        " FROM runs WHERE comparison_key = ? ORDER BY position, key",
        (comparison_key,),
    )
    return tuple(_run(connection, row) for row in rows.fetchall())


def _run(connection: sqlite3.Connection, row: Sequence[Any]) -> RunRecord:
    key, id_, position, target, status, session, started_at, result, problem, text, reasoning, vote = row
    more_text, more_reasoning = pieces_of(connection, key)
    text, reasoning = f"{text}{more_text}", f"{reasoning}{more_reasoning}"
    stored = codec.from_text(result)
    if isinstance(stored, dict):
        stored = {**stored, "text": text, "reasoning_text": reasoning}
    return RunRecord(
        run_id=str(id_),
        position=position if isinstance(position, int) else 0,
        target=str(target),
        status=_status(status, session),
        started_at=_time(started_at),
        text=text,
        reasoning=reasoning,
        result=codec.result_from_json(stored) if isinstance(stored, dict) else None,
        problem=codec.problem_from_json(codec.from_text(problem)),
        vote=_vote(vote),
    )


def _summaries(connection: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> tuple[ComparisonSummary, ...]:
    return tuple(
        ComparisonSummary(str(id_), _time(started_at), str(prompt), _mode(mode), _run_summaries(connection, key))
        for key, id_, started_at, mode, prompt in rows
    )


def _run_summaries(connection: sqlite3.Connection, comparison_key: int) -> tuple[RunSummary, ...]:
    rows = connection.execute(
        "SELECT id, position, target, status, session, result, vote FROM runs"
        " WHERE comparison_key = ? ORDER BY position, key",
        (comparison_key,),
    )
    return tuple(_run_summary(row) for row in rows.fetchall())


def _run_summary(row: Sequence[Any]) -> RunSummary:
    id_, position, target, status, session, result, vote = row
    found = codec.from_text(result)
    figures: dict[str, Any] = found if isinstance(found, dict) else {}
    cost = figures.get("cost")
    return RunSummary(
        run_id=str(id_),
        position=position if isinstance(position, int) else 0,
        target=str(target),
        status=_status(status, session),
        ttft_ms=_number(figures.get("ttft_ms")),
        decode_tok_s=_number(figures.get("decode_tok_s")),
        e2e_ms=_number(figures.get("e2e_ms")),
        # A line has no room to say that a sum is only an estimate, so there it is unknown.
        cost_usd=_money(cost.get("usd")) if isinstance(cost, dict) and cost.get("basis") != "estimated" else None,
        vote=_vote(vote),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _money(value: Any) -> Decimal | None:
    try:
        return None if value is None else Decimal(str(value))
    except InvalidOperation:
        return None


def _time(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC)
    except (ValueError, OverflowError):
        return UNKNOWN_TIME


def _mode(value: Any) -> Mode:
    return cast("Mode", value) if value in get_args(Mode) else "sequence"


def _vote(value: Any) -> Vote:
    return cast("Vote", value) if value in get_args(Vote) else ""


def _status(value: Any, session: Any) -> RunStatus:
    """As stored, but a run that nobody can be writing any more is interrupted, and so is one of an unknown kind."""
    if value not in get_args(RunStatus) or (value == "streaming" and not is_alive(str(session))):
        return "interrupted"
    return cast("RunStatus", value)
