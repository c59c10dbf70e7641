"""Where the ledger's lines lie: a file for each month, in local time. Must not know what counts against a budget."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal

from backends.files import replace_file

NAMED = re.compile(r"ledger-(\d{4})-(0[1-9]|1[0-2])\.jsonl")
KEPT_SUFFIX = ".old"

Month = tuple[int, int]  # year and month
Step = Literal["begun", "ended"]


@dataclass(frozen=True, slots=True)
class Line:
    """One run as the ledger knows it. `usd` is what is sure; `at_most_usd` None where no price is known."""

    run_id: str
    session: str
    provider: str
    model: str
    usd: Decimal
    at_most_usd: Decimal | None


def month_of(at: datetime) -> Month:
    """Year and month where the person is."""
    local = at.astimezone()
    return local.year, local.month


def file_of(folder: Path, month: Month) -> Path:
    return folder / f"ledger-{month[0]:04}-{month[1]:02}.jsonl"


def current_month(folder: Path, at: datetime) -> Month:
    """The month that counts now: that of the clock or, where the clock was set back, the newest that has lines.

    Raises OSError.
    """
    newest = month_of(at)
    if folder.exists():
        for path in folder.iterdir():
            if found := NAMED.fullmatch(path.name):
                newest = max(newest, (int(found[1]), int(found[2])))
    return newest


def file_now(folder: Path) -> Path:
    """This month's file, whether it is there or not, for those who only name it; never raises."""
    now = datetime.now(UTC)
    try:
        return file_of(folder, current_month(folder, now))
    except OSError:
        return file_of(folder, month_of(now))


def parsed(raw: bytes) -> tuple[Step, datetime, Line]:
    """A line of a file; raises ValueError where it is none."""
    try:
        step = json.loads(raw)
        at, kind = datetime.fromisoformat(step["at"]), step["step"]
        line = _line(step)
    except (ValueError, KeyError, TypeError, InvalidOperation, RecursionError):
        raise ValueError("not a line of the ledger") from None
    if at.tzinfo is None or kind not in ("begun", "ended"):
        raise ValueError("not a step")
    return kind, at, line


def take_over(old: Path, folder: Path, now: datetime) -> None:
    """Share out the one file that earlier versions wrote, each run to the month in which it began; then put it aside.

    After a kill it is done again, and no line is there twice. A line that cannot be read goes where the one before it
    went. Raises OSError.
    """
    began: dict[str, Month] = {}
    shares: dict[Month, list[bytes]] = {}
    month = month_of(now)
    for raw in old.read_bytes().split(b"\n"):
        if not raw.strip():
            continue
        try:
            _step, at, line = parsed(raw)
            month = began.setdefault(line.run_id, month_of(at))
        except ValueError:
            pass
        shares.setdefault(month, []).append(raw)
    for month, lines in shares.items():
        path = file_of(folder, month)
        there = path.read_bytes().split(b"\n") if path.exists() else []
        known = set(there)
        whole = [raw for raw in there if raw] + [raw for raw in lines if raw not in known]
        replace_file(path, b"\n".join(whole) + b"\n")
    old.replace(old.with_name(old.name + KEPT_SUFFIX))


def _line(step: dict[str, Any]) -> Line:
    at_most = step["upper_bound_usd"]
    return Line(
        run_id=str(step["run"]),
        session=str(step["session"]),
        provider=str(step["provider"]),
        model=str(step["model"]),
        usd=_amount(step.get("usd") or "0"),
        at_most_usd=None if at_most is None else _amount(at_most),
    )


def _amount(text: str) -> Decimal:
    amount = Decimal(text)
    if not amount.is_finite() or amount < 0:
        raise ValueError("not a sum of money")
    return amount
