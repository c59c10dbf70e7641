"""What was spent, one line per step, in a file that only grows. Must not hold a word of any prompt or answer.

A run writes `begun` with its upper bound before anything is sent, and `ended` with what it cost. One that never wrote
its end, killed or still under way, counts with its upper bound. Several programs may write at once.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from backends.files import flush_folder
from backends.ids import new_id
from backends.paths import PRIVATE_FILE, ensure_folder
from backends.spending import Spent, Totals

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

log = logging.getLogger(__name__)

LOCK_AT = 2**40  # on Windows a lock keeps others from reading what it covers: far beyond the end there is nothing
LONGEST_NAME = 200

SESSION = (0, 0)
EVERYBODY = ""

Clock = Callable[[], datetime]
Scope = tuple[int, int]  # year and month, or SESSION


@dataclass(frozen=True, slots=True)
class Line:
    """One run as the ledger knows it. `usd` is what is sure; `at_most_usd` None where no price is known."""

    run_id: str
    session: str
    at: datetime
    provider: str
    model: str
    usd: Decimal
    at_most_usd: Decimal | None


class Ledger:
    """One file. Its methods touch the disk and wait for other programs' steps: call them in a thread."""

    def __init__(self, path: Path, *, now: Clock = lambda: datetime.now(UTC)) -> None:
        self.path = path
        self.session = new_id("session")
        self._now = now
        self._lock = threading.Lock()
        self._open: dict[str, Line] = {}  # runs that have begun and not ended; of the others only the sums are kept
        self._sums: dict[tuple[Scope, str], Spent] = {}
        self._read_to = 0

    def begin(
        self,
        run_id: str,
        provider: str,
        model: str,
        at_most_usd: Decimal | None,
        allowed: Callable[[Totals], None] = lambda _totals: None,
    ) -> Totals:
        """Write down a run before it is sent, once `allowed` has raised nothing for what was spent before.

        Nobody else writes between the two. Returns the totals with this run. Raises OSError, and what `allowed` raises.
        """
        with self._opened() as handle:
            self._catch_up(handle)
            allowed(self._totals())
            line = Line(run_id, self.session, self._now(), _name(provider), _name(model), Decimal(0), at_most_usd)
            self._append(handle, "begun", line)
            self._catch_up(handle)
            return self._totals()

    def end(self, run_id: str, usd: Decimal | None, *, estimated: bool) -> None:
        """Write down what a run that had begun cost. Where it is not known, or `estimated`, its upper bound goes on
        counting beside it. Raises OSError."""
        with self._opened() as handle:
            self._catch_up(handle)
            begun = self._open[run_id]
            self._append(handle, "ended", _settled(begun, usd, estimated=estimated), usd_known=usd is not None)
            self._catch_up(handle)

    def totals(self) -> Totals:
        """This session and this calendar month, local time. Raises OSError."""
        if not self.path.exists():
            return Totals(Spent(), Spent())
        with self._opened() as handle:
            self._catch_up(handle)
            return self._totals()

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The file, which no other thread or program may touch meanwhile."""
        with self._lock:
            ensure_folder(self.path.parent)
            is_new = not self.path.exists()
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), PRIVATE_FILE)
            try:
                _lock_file(handle)
                if is_new:
                    flush_folder(self.path.parent)
                yield handle
            finally:
                os.close(handle)  # which lets go of the lock

    def _catch_up(self, handle: int) -> None:
        """Read what was appended since the last time, by whomever. A line that was cut short is left out."""
        size = os.fstat(handle).st_size
        if size < self._read_to:  # somebody began a new file
            self._read_to, self._open, self._sums = 0, {}, {}
        os.lseek(handle, self._read_to, os.SEEK_SET)
        data = b""
        while len(data) < size - self._read_to:
            part = os.read(handle, size - self._read_to - len(data))
            if not part:
                break
            data += part
        whole, newline, _rest = data.rpartition(b"\n")
        for raw in whole.split(b"\n") if newline else ():
            self._take(raw)
        self._read_to += len(whole) + len(newline)

    def _take(self, raw: bytes) -> None:
        if not raw.strip():
            return
        try:
            step = json.loads(raw)
            line = _line(step)
        except (ValueError, KeyError, TypeError, InvalidOperation, RecursionError):
            log.warning("a line of the spending ledger cannot be read and is left out")
            return
        begun = self._open.pop(line.run_id, None)
        if begun is not None:
            line = replace(line, at=begun.at)  # a run belongs to the month in which it began
            self._count(begun, Spent.minus)
        if step["step"] == "begun":
            self._open[line.run_id] = line
        self._count(line, Spent.plus)

    def _count(self, line: Line, how: Callable[[Spent, Decimal, Decimal | None], Spent]) -> None:
        scopes: list[Scope] = [_month(line.at)]
        if line.session == self.session:
            scopes.append(SESSION)
        for scope in scopes:
            for provider in (line.provider, EVERYBODY):
                before = self._sums.get((scope, provider), Spent())
                self._sums[scope, provider] = how(before, line.usd, line.at_most_usd)

    def _append(self, handle: int, step: str, line: Line, *, usd_known: bool = False) -> None:
        """In one write, so that a kill leaves a whole line or an end without a line break, which the next one mends."""
        size = os.fstat(handle).st_size
        mend = b""
        if size:
            os.lseek(handle, size - 1, os.SEEK_SET)
            mend = b"" if os.read(handle, 1) == b"\n" else b"\n"
        at_most = None if line.at_most_usd is None else str(line.at_most_usd)
        fields: dict[str, object] = {
            "step": step,
            "run": line.run_id,
            "session": line.session,
            "at": self._now().isoformat(),
            "provider": line.provider,
            "model": line.model,
        }
        if step == "ended":
            exact = usd_known and line.usd == line.at_most_usd
            fields |= {"usd": str(line.usd) if usd_known else None, "estimated": not exact}
        data = mend + json.dumps(fields | {"upper_bound_usd": at_most}).encode() + b"\n"
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)

    def _totals(self) -> Totals:
        now = _month(self._now())
        by: dict[Scope, list[tuple[str, Spent]]] = {SESSION: [], now: []}
        for (scope, provider), spent in self._sums.items():
            if scope in by and provider != EVERYBODY:
                by[scope].append((provider, spent))
        return Totals(
            session=self._sums.get((SESSION, EVERYBODY), Spent()),
            month=self._sums.get((now, EVERYBODY), Spent()),
            session_by_provider=tuple(by[SESSION]),
            month_by_provider=tuple(by[now]),
        )


def _month(at: datetime) -> tuple[int, int]:
    """Year and month where the person is."""
    local = at.astimezone()
    return local.year, local.month


def _settled(begun: Line, usd: Decimal | None, *, estimated: bool) -> Line:
    if usd is None:
        return begun
    if not estimated:
        return replace(begun, usd=usd, at_most_usd=usd)
    at_most = begun.at_most_usd
    return replace(begun, usd=usd, at_most_usd=None if at_most is None else max(at_most, usd))


def _line(step: dict[str, Any]) -> Line:
    at = datetime.fromisoformat(step["at"])
    if at.tzinfo is None or step["step"] not in ("begun", "ended"):
        raise ValueError("not a step")
    at_most = step["upper_bound_usd"]
    return Line(
        run_id=str(step["run"]),
        session=str(step["session"]),
        at=at,
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


def _name(text: str) -> str:
    return text[:LONGEST_NAME]


def _lock_file(handle: int) -> None:
    """Until the file is closed; waits for whoever has it, whose steps take milliseconds. Raises OSError."""
    if sys.platform == "win32":
        os.lseek(handle, LOCK_AT, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX)
