"""What history gives back, as values. Must not know SQLite."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from backends.errors import Problem
from backends.records import Prompt, RunResult, Sampling

Mode = Literal["sequence", "race"]
Vote = Literal["up", "down", ""]
RunStatus = Literal["streaming", "finished", "incomplete", "failed", "cancelled", "interrupted"]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as it was kept. `text` is what arrived, whatever became of the run.

    `result` is None while the run streams and where the program ended before the run did; `problem` says why it failed.
    `vote` is what the person thinks of the answer, empty where they did not say.
    """

    run_id: str
    position: int
    target: str
    status: RunStatus
    started_at: datetime
    text: str
    reasoning: str
    result: RunResult | None
    problem: Problem | None
    vote: Vote = ""


@dataclass(frozen=True, slots=True)
class ComparisonRecord:
    """One comparison, whole. A lane that was retried has several runs at one position, oldest first."""

    id: str
    started_at: datetime
    prompt: Prompt
    sampling: Sampling
    mode: Mode
    runs: tuple[RunRecord, ...]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run's line in a list; times in milliseconds, cost in US dollars, None where unknown."""

    run_id: str
    position: int
    target: str
    status: RunStatus
    ttft_ms: float | None
    decode_tok_s: float | None
    e2e_ms: float | None
    cost_usd: Decimal | None
    vote: Vote = ""


@dataclass(frozen=True, slots=True)
class ComparisonSummary:
    """A comparison's line in a list; `prompt_start` is cut, `started_at` is UTC by the wall clock."""

    id: str
    started_at: datetime
    prompt_start: str
    mode: Mode
    runs: tuple[RunSummary, ...]
