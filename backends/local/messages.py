"""What the app and its worker say to each other, as values. Must not know how they travel.

App -> worker: Load, Measure, Run, Cancel. Worker -> app: Hello once, Beat twice a second, and for the one request at
work LoadProgress, Remark, PrefillProgress, TextDelta, then LoadDone, MeasureDone, RunDone, RunCancelled or
RequestFailed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from backends.local.facts import LoadOptions, Measurement, WorkerFacts
from backends.records import EngineReport, Message, Number, Sampling, Usage


@dataclass(frozen=True, slots=True)
class Load:
    id: int
    path: str
    name: str
    options: LoadOptions


@dataclass(frozen=True, slots=True)
class Measure:
    """Say what this load would take, and take nothing. What is loaded stays loaded."""

    id: int
    path: str
    options: LoadOptions


@dataclass(frozen=True, slots=True)
class Run:
    """`exact` asks that nothing kept from earlier runs may change a single bit of the arithmetic."""

    id: int
    messages: tuple[Message, ...]
    sampling: Sampling
    exact: bool


@dataclass(frozen=True, slots=True)
class Cancel:
    id: int


@dataclass(frozen=True, slots=True)
class Hello:
    facts: WorkerFacts


@dataclass(frozen=True, slots=True)
class Beat:
    pass


@dataclass(frozen=True, slots=True)
class LoadProgress:
    id: int
    fraction: float


@dataclass(frozen=True, slots=True)
class LoadDone:
    id: int
    report: EngineReport


@dataclass(frozen=True, slots=True)
class MeasureDone:
    id: int
    measurement: Measurement


@dataclass(frozen=True, slots=True)
class Remark:
    id: int
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class PrefillProgress:
    id: int
    at_ns: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class TextDelta:
    id: int
    text: str
    stamps_ns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RunDone:
    id: int
    finish_reason: Literal["stop", "length"]
    usage: Usage
    timings: Mapping[str, Number] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunCancelled:
    id: int
    usage: Usage
    timings: Mapping[str, Number] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """`code` is that of an error class; `fix` is empty where the class's own will do."""

    id: int
    code: str
    what: str
    fix: str = ""


Request = Load | Measure | Run | Cancel
Reply = (
    Hello
    | Beat
    | LoadProgress
    | LoadDone
    | MeasureDone
    | Remark
    | PrefillProgress
    | TextDelta
    | RunDone
    | RunCancelled
    | RequestFailed
)
