"""What a run says while it works, stamped where it is born. Must not know who listens.

Every run: Started, then any of Loading, Loaded, Sent, Prefill, Delta and Notice, then exactly one of Finished,
Failed and Cancelled. All stamps are `time.monotonic_ns()` (CLOCK_MONOTONIC: one clock for every process of a
machine) and never decrease.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from backends.errors import Problem
from backends.records import EngineReport, RunResult, Target


@dataclass(frozen=True, slots=True)
class Started:
    """The request is accepted; t0 is stamped later, in `Sent`, when the model is loaded."""

    run_id: str
    at_ns: int
    target: Target


@dataclass(frozen=True, slots=True)
class Loading:
    """Model load progress; `fraction` from 0 to 1."""

    run_id: str
    at_ns: int
    fraction: float


@dataclass(frozen=True, slots=True)
class Loaded:
    run_id: str
    at_ns: int
    report: EngineReport


@dataclass(frozen=True, slots=True)
class Sent:
    """t0: the request enters the engine now. Load time lies before it."""

    run_id: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Prefill:
    """Prompt tokens read so far, of `total`; tokens reused from the KV cache count as read."""

    run_id: str
    at_ns: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Delta:
    """New text. `at_ns` is the stamp of its last token or, for a server, of its arrival at the socket.

    `n_tokens` is None where a server does not say; `stamps_ns` has one stamp per token where they are known.
    """

    run_id: str
    at_ns: int
    text: str
    n_tokens: int | None = None
    stamps_ns: tuple[int, ...] = ()
    kind: Literal["text", "reasoning"] = "text"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the person should see while the run goes on; an empty `text` takes the last notice back."""

    run_id: str
    at_ns: int
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The run ended by itself. `result.complete` is False where no finish_reason arrived."""

    run_id: str
    at_ns: int
    result: RunResult


@dataclass(frozen=True, slots=True)
class Failed:
    """The run broke; `result` holds the text and figures up to then."""

    run_id: str
    at_ns: int
    problem: Problem
    result: RunResult


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The person stopped the run; `result` holds the text and figures up to then."""

    run_id: str
    at_ns: int
    result: RunResult


Terminal = Finished | Failed | Cancelled
Event = Started | Loading | Loaded | Sent | Prefill | Delta | Notice | Terminal
Emit = Callable[[Event], None]


def is_terminal(event: Event) -> bool:
    """True for the one event that ends a run."""
    return isinstance(event, Finished | Failed | Cancelled)
