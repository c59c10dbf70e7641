"""What was spent, one line per step, in files that only grow. Must not hold a word of any prompt or answer.

A run writes `begun` with its upper bound before anything is sent, and `ended` with what it cost. One that never wrote
its end, killed or still under way, counts with its upper bound, in the month in which it began. Several programs may
write at once. What this session spent is kept in memory, whatever becomes of the files.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from backends.cloud.ledger_files import Line, Month, Step, current_month, file_of, parsed, take_over
from backends.file_lock import alone
from backends.files import flush_folder
from backends.ids import new_id
from backends.paths import PRIVATE_FILE
from backends.spending import Spent, Totals

log = logging.getLogger(__name__)

LOCKED_AS = "ledger"
PATIENCE_S = 2.0  # other programs' steps take milliseconds
LONGEST_NAME = 200

Clock = Callable[[], datetime]
Sums = dict[str, Spent]  # by provider


@dataclass(slots=True)
class _Read:
    """What one month's file says so far. `running` have begun and not ended; of the others only the sums are kept."""

    month: Month
    to: int = 0
    running: dict[str, Line] = field(default_factory=dict)
    sums: Sums = field(default_factory=dict)
    unreadable: int = 0


class Ledger:
    """One folder. Its methods touch the disk and wait for other programs' steps: call them in a thread.

    `old_file` is the one that earlier versions wrote.
    """

    def __init__(self, folder: Path, *, old_file: Path | None = None, now: Clock = lambda: datetime.now(UTC)) -> None:
        self.folder = folder
        self.session = new_id("session")
        self._old_file = old_file
        self._now = now
        self._lock = threading.Lock()
        self._mine: dict[str, tuple[Month, Line]] = {}  # runs of this program that have begun and not ended
        self._session: Sums = {}
        self._read: _Read | None = None

    def begin(
        self,
        run_id: str,
        provider: str,
        model: str,
        at_most_usd: Decimal | None,
        allowed: Callable[[Totals], None] = lambda _totals: None,
        stop: threading.Event | None = None,
    ) -> Totals:
        """Write down a run before it is sent, once `allowed` has raised nothing for what was spent before.

        Nobody else writes between the two. Returns the totals with this run. Raises what `allowed` raises and OSError;
        TimeoutError where another program holds the ledger for 2 seconds, InterruptedError where `stop` is set first.
        """
        with self._opened(stop) as read:
            allowed(self._totals(read))
            line = Line(run_id, self.session, _name(provider), _name(model), Decimal(0), at_most_usd)
            self._append(read.month, "begun", line)
            self._mine[run_id] = read.month, line
            _count(self._session, line, Spent.plus)
            self._catch_up(read)
            return self._totals(read)

    def end(self, run_id: str, usd: Decimal | None, *, estimated: bool) -> None:
        """Write down what a run that had begun cost. Where it is not known, or `estimated`, its upper bound goes on
        counting beside it. Raises OSError, and KeyError where it had not begun, or has ended."""
        with self._opened():
            month, begun = self._mine[run_id]
            ended = _settled(begun, usd, estimated=estimated)
            self._append(month, "ended", ended, usd_known=usd is not None)
            del self._mine[run_id]
            _count(self._session, begun, Spent.minus)
            _count(self._session, ended, Spent.plus)

    def totals(self) -> Totals:
        """This session and this calendar month, local time. Raises OSError."""
        if not self.folder.exists() and not self._has_old():
            return _as_totals(self._session, None)
        with self._opened() as read:
            return self._totals(read)

    @contextmanager
    def _opened(self, stop: threading.Event | None = None) -> Iterator[_Read]:
        """This month's lines, which no other thread or program may add to meanwhile."""
        with alone(self.folder / LOCKED_AS, patience_s=PATIENCE_S, stop=stop), self._lock:
            if self._old_file is not None and self._has_old():
                take_over(self._old_file, self.folder, self._now())
            month = current_month(self.folder, self._now())
            # Never back: the newest file may be gone, and with it what says that the clock was set back.
            if self._read is None or self._read.month < month:
                self._read = _Read(month)
            self._catch_up(self._read)
            yield self._read

    def _has_old(self) -> bool:
        return self._old_file is not None and self._old_file.exists()

    def _catch_up(self, read: _Read) -> None:
        """Read what was appended since the last time, by whomever. A line that was cut short is left out."""
        path = file_of(self.folder, read.month)
        size = path.stat().st_size if path.exists() else 0
        if size < read.to:  # somebody began a new file
            read.to, read.running, read.sums, read.unreadable = 0, {}, {}, 0
        if size == read.to:
            return
        with path.open("rb") as file:
            file.seek(read.to)
            whole, newline, _rest = file.read(size - read.to).rpartition(b"\n")
        for raw in whole.split(b"\n") if newline else ():
            _take(read, raw)
        read.to += len(whole) + len(newline)

    def _append(self, month: Month, step: Step, line: Line, *, usd_known: bool = False) -> None:
        """In one write, so that a kill leaves a whole line or an end without a line break, which the next one mends."""
        path = file_of(self.folder, month)
        is_new = not path.exists()
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), PRIVATE_FILE)
        try:
            data = _mend(handle) + self._as_bytes(step, line, usd_known=usd_known)
            while data:
                data = data[os.write(handle, data) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        if is_new:
            flush_folder(self.folder)

    def _as_bytes(self, step: Step, line: Line, *, usd_known: bool) -> bytes:
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
        return json.dumps(fields | {"upper_bound_usd": at_most}).encode() + b"\n"

    def _totals(self, read: _Read) -> Totals:
        return _as_totals(self._session, read)


def _take(read: _Read, raw: bytes) -> None:
    if not raw.strip():
        return
    try:
        step, _at, line = parsed(raw)
    except ValueError:
        log.warning("a line of the spending ledger cannot be read and is left out")
        read.unreadable += 1
        return
    begun = read.running.pop(line.run_id, None)
    if begun is not None:
        _count(read.sums, begun, Spent.minus)
    if step == "begun":
        read.running[line.run_id] = line
    _count(read.sums, line, Spent.plus)


def _count(sums: Sums, line: Line, how: Callable[[Spent, Decimal, Decimal | None], Spent]) -> None:
    sums[line.provider] = how(sums.get(line.provider, Spent()), line.usd, line.at_most_usd)


def _as_totals(session: Sums, read: _Read | None) -> Totals:
    month = read.sums if read is not None else {}
    return Totals(
        session=_together(session),
        month=_together(month),
        session_by_provider=tuple(session.items()),
        month_by_provider=tuple(month.items()),
        unreadable=read.unreadable if read is not None else 0,
    )


def _together(sums: Sums) -> Spent:
    whole = Spent()
    for each in sums.values():
        whole = Spent(
            whole.usd + each.usd,
            whole.at_most_usd + each.at_most_usd,
            whole.runs + each.runs,
            whole.unpriced + each.unpriced,
        )
    return whole


def _settled(begun: Line, usd: Decimal | None, *, estimated: bool) -> Line:
    if usd is None:
        return begun
    if not estimated:
        return replace(begun, usd=usd, at_most_usd=usd)
    at_most = begun.at_most_usd
    return replace(begun, usd=usd, at_most_usd=None if at_most is None else max(at_most, usd))


def _mend(handle: int) -> bytes:
    """A line break where the last line has none."""
    size = os.fstat(handle).st_size
    if not size:
        return b""
    os.lseek(handle, size - 1, os.SEEK_SET)
    return b"" if os.read(handle, 1) == b"\n" else b"\n"


def _name(text: str) -> str:
    return text[:LONGEST_NAME]
