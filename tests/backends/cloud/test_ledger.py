"""The spending ledger on a real disk: killed writers, two writers, torn lines, months, and not a word of any prompt."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from backends.cloud.ledger import Ledger
from backends.errors import BudgetReached
from backends.spending import Spent, Totals

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CENT = Decimal("0.01")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "spending.jsonl"


def run(ledger: Ledger, run_id: str, usd: str | None, *, bound: str | None = "0.05", estimated: bool = False) -> None:
    ledger.begin(run_id, "openai", "gpt-4o", None if bound is None else Decimal(bound))
    ledger.end(run_id, None if usd is None else Decimal(usd), estimated=estimated)


def test_exact_sums_replace_upper_bounds(path: Path) -> None:
    ledger = Ledger(path)
    ledger.begin("a", "openai", "gpt-4o", Decimal("0.05"))
    assert ledger.totals().month == Spent(Decimal(0), Decimal("0.05"), 1)
    ledger.end("a", Decimal("0.00872"), estimated=False)
    assert ledger.totals().session == ledger.totals().month == Spent(Decimal("0.00872"), Decimal("0.00872"), 1)


def test_what_broke_off_counts_from_its_estimate_to_its_bound(path: Path) -> None:
    ledger = Ledger(path)
    run(ledger, "broken", "0.01", estimated=True)
    run(ledger, "unreported", None)
    run(ledger, "unpriced", None, bound=None)
    assert Ledger(path).totals().month == Spent(CENT, Decimal("0.10"), 3, 1)


def test_totals_go_by_provider(path: Path) -> None:
    ledger = Ledger(path)
    run(ledger, "a", "0.01")
    ledger.begin("b", "custom:lab", "m", CENT)
    assert dict(ledger.totals().month_by_provider) == {"openai": Spent(CENT, CENT, 1), "custom:lab": Spent(0, CENT, 1)}  # type: ignore[arg-type]


def test_a_line_holds_no_text_and_is_this_users_alone(path: Path) -> None:
    run(Ledger(path), "a", "0.00872")
    begun, ended = (json.loads(line) for line in path.read_text().splitlines())
    assert set(begun) == {"step", "run", "session", "at", "provider", "model", "upper_bound_usd"}
    assert set(ended) == {*begun, "usd", "estimated"}
    assert (ended["usd"], ended["estimated"], ended["upper_bound_usd"]) == ("0.00872", False, "0.00872")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_session_is_one_program_and_a_month_all_of_them(path: Path) -> None:
    run(Ledger(path), "a", "0.01")
    second = Ledger(path)
    run(second, "b", "0.02")
    assert second.totals().session.usd == Decimal("0.02")
    assert second.totals().month.usd == Decimal("0.03")


def test_a_month_is_that_of_the_calendar_and_of_the_runs_beginning(path: Path) -> None:
    clock = [datetime(2026, 10, 31, 12, tzinfo=UTC)]
    ledger = Ledger(path, now=lambda: clock[0])
    ledger.begin("late", "openai", "gpt-4o", CENT)
    clock[0] = NOW
    ledger.end("late", CENT, estimated=False)
    run(ledger, "now", "0.02")
    assert ledger.totals().month.usd == Ledger(path, now=lambda: NOW).totals().month.usd == Decimal("0.02")
    assert ledger.totals().session.usd == Decimal("0.03")


WRITER = """
    import os, signal, sys
    from decimal import Decimal
    from pathlib import Path
    from backends.cloud.ledger import Ledger
    ledger = Ledger(Path(sys.argv[1]))
    ledger.begin("done", "openai", "gpt-4o", Decimal("0.05"))
    ledger.end("done", Decimal("0.01"), estimated=False)
    ledger.begin("killed", "openai", "gpt-4o", Decimal("0.07"))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], stdout=subprocess.PIPE, text=True
    )


def test_a_killed_program_has_spent_its_upper_bound(path: Path) -> None:
    killed = child(WRITER, str(path))
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert Ledger(path).totals().month == Spent(CENT, Decimal("0.08"), 2)


@pytest.mark.parametrize("torn", [b'{"step": "ended", "run": "a", "usd": "0.', b"\0\0\0\0", b"\xff\xfe{}", b"3"])
def test_a_torn_line_costs_itself_alone(path: Path, torn: bytes) -> None:
    first = Ledger(path)
    first.begin("a", "openai", "gpt-4o", CENT)
    with path.open("ab") as file:
        file.write(torn)
    again = Ledger(path)
    run(again, "b", "0.02")
    assert Ledger(path).totals().month == again.totals().month == Spent(Decimal("0.02"), Decimal("0.03"), 2)
    assert first.totals().month == again.totals().month


TWO_WRITERS = """
    import sys, time
    from decimal import Decimal
    from pathlib import Path
    from backends.cloud.ledger import Ledger
    from backends.errors import BudgetReached
    ledger = Ledger(Path(sys.argv[1]))
    refused = 0
    def allowed(totals):
        if totals.month.at_most_usd + Decimal("0.05") > Decimal("1"):
            raise BudgetReached("no")
        time.sleep(0.01)  # long enough for the other to look at the same sums, if it may
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(30):
        try:
            ledger.begin(f"{sys.argv[2]}-{number}", "openai", "gpt-4o", Decimal("0.05"), allowed)
        except BudgetReached:
            refused += 1
    print(refused)
"""


def test_two_programs_never_pass_a_budget_together(path: Path) -> None:
    """60 questions of at most 5 cents under a dollar: exactly 20 go through, and no line is lost or torn."""
    both = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(TWO_WRITERS), str(path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    ]
    for each in both:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in both:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    refused = sum(int(each.communicate(timeout=120)[0]) for each in both)
    assert refused == 40
    assert Ledger(path).totals().month == Spent(Decimal(0), Decimal("1.00"), 20)
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_what_is_not_allowed_is_not_written(path: Path) -> None:
    def refuse(_totals: Totals) -> None:
        raise BudgetReached("no")

    with pytest.raises(BudgetReached):
        Ledger(path).begin("a", "openai", "gpt-4o", CENT, refuse)
    assert path.read_bytes() == b""


def test_asking_for_totals_makes_no_file(path: Path) -> None:
    assert Ledger(path).totals() == Totals(Spent(), Spent())
    assert not path.parent.exists()


def test_a_file_that_was_taken_away_begins_anew(path: Path) -> None:
    ledger = Ledger(path)
    run(ledger, "a", "0.01")
    path.unlink()
    run(ledger, "b", "0.02")
    assert ledger.totals().month.usd == Decimal("0.02")
    assert os.path.getsize(path) > 0
