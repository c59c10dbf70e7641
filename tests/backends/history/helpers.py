"""Comparisons to write down, and a look into the file behind the app's back. Must not share code with the reader."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from backends.history.recorder import HistoryRecorder
from backends.history.store import History
from backends.records import Prompt, RunRequest, Sampling, Target, Usage
from backends.tally import Tally

ANSWER = "Time to first token is the wait before the answer begins."


def request(run_id: str, question: str = "What is TTFT?", target: str = "openai:gpt-4o") -> RunRequest:
    provider, _, model = target.partition(":")
    prompt = Prompt.ask(question, "Be brief.")
    return RunRequest(run_id, Target(provider, model), prompt, Sampling(seed=7, stop=("END",)))


def play(recorder: HistoryRecorder, asked: RunRequest, answer: str = ANSWER, end: str | None = "stop") -> None:
    """One run's events, made by the same books that engines use; without an `end` it goes on streaming."""
    tally = Tally(asked, recorder.record, settings={"seed": 7, "stop": ("END",)})
    tally.started()
    tally.sent()
    for word in answer.split(" "):
        tally.text_arrived(word + " ", n_tokens=1)
    if end is not None:
        tally.usage = Usage(prompt_tokens=9, completion_tokens=len(answer.split(" ")))
        tally.finished(end)


async def keep(history: History, comparison_id: str, question: str = "What is TTFT?", answer: str = ANSWER) -> None:
    """One finished comparison of two lanes."""
    asked = [request(f"{comparison_id}-a", question, "local:demo"), request(f"{comparison_id}-b", question)]
    history.recorder.begin(comparison_id, asked, "sequence")
    for each in asked:
        play(history.recorder, each, answer)
    await history.list()  # what was recorded is written before a reader reads


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[History]:
    history = History(path, **options)
    try:
        yield history
    finally:
        await history.close()


def raw(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def look(path: Path, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement, values).fetchall()


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def is_sound(path: Path) -> bool:
    return look(path, "PRAGMA integrity_check") == [("ok",)] and look(path, "PRAGMA foreign_key_check") == []
