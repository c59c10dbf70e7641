"""The spending ledger on a real disk: killed writers, two writers, torn lines, months, and not a word of any prompt."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from backends.cloud.ledger import Ledger
from backends.cloud.ledger_files import file_of, month_of
from backends.errors import BudgetReached
from backends.spending import Spent, Totals

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CENT = Decimal("0.01")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "spending"


def now_file(folder: Path) -> Path:
    return file_of(folder, month_of(datetime.now(UTC)))


def run(ledger: Ledger, run_id: str, usd: str | None, *, bound: str | None = "0.05", estimated: bool = False) -> None:
    ledger.begin(run_id, "openai", "gpt-4o", None if bound is None else Decimal(bound))
    ledger.end(run_id, None if usd is None else Decimal(usd), estimated=estimated)


def test_exact_sums_replace_upper_bounds(folder: Path) -> None:
    ledger = Ledger(folder)
    ledger.begin("a", "openai", "gpt-4o", Decimal("0.05"))
    assert ledger.totals().month == Spent(Decimal(0), Decimal("0.05"), 1)
    ledger.end("a", Decimal("0.00872"), estimated=False)
    assert ledger.totals().session == ledger.totals().month == Spent(Decimal("0.00872"), Decimal("0.00872"), 1)


def test_what_broke_off_counts_from_its_estimate_to_its_bound(folder: Path) -> None:
    ledger = Ledger(folder)
    run(ledger, "broken", "0.01", estimated=True)
    run(ledger, "unreported", None)
    run(ledger, "unpriced", None, bound=None)
    assert Ledger(folder).totals().month == Spent(CENT, Decimal("0.10"), 3, 1)


def test_totals_go_by_provider(folder: Path) -> None:
    ledger = Ledger(folder)
    run(ledger, "a", "0.01")
    ledger.begin("b", "custom:lab", "m", CENT)
    assert dict(ledger.totals().month_by_provider) == {"openai": Spent(CENT, CENT, 1), "custom:lab": Spent(0, CENT, 1)}  # type: ignore[arg-type]


def test_a_line_holds_no_text_and_is_this_users_alone(folder: Path) -> None:
    run(Ledger(folder), "a", "0.00872")
    begun, ended = (json.loads(line) for line in now_file(folder).read_text().splitlines())
    assert set(begun) == {"step", "run", "session", "at", "provider", "model", "upper_bound_usd"}
    assert set(ended) == {*begun, "usd", "estimated"}
    assert (ended["usd"], ended["estimated"], ended["upper_bound_usd"]) == ("0.00872", False, "0.00872")
    assert stat.S_IMODE(now_file(folder).stat().st_mode) == 0o600


def test_a_session_is_one_program_and_a_month_all_of_them(folder: Path) -> None:
    run(Ledger(folder), "a", "0.01")
    second = Ledger(folder)
    run(second, "b", "0.02")
    assert second.totals().session.usd == Decimal("0.02")
    assert second.totals().month.usd == Decimal("0.03")


def test_a_month_is_that_of_the_calendar_and_of_the_runs_beginning(folder: Path) -> None:
    clock = [datetime(2026, 10, 31, 12, tzinfo=UTC)]
    ledger = Ledger(folder, now=lambda: clock[0])
    ledger.begin("late", "openai", "gpt-4o", CENT)
    clock[0] = NOW
    ledger.end("late", CENT, estimated=False)
    run(ledger, "now", "0.02")
    assert ledger.totals().month.usd == Ledger(folder, now=lambda: NOW).totals().month.usd == Decimal("0.02")
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


def test_a_killed_program_has_spent_its_upper_bound(folder: Path) -> None:
    killed = child(WRITER, str(folder))
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert Ledger(folder).totals().month == Spent(CENT, Decimal("0.08"), 2)


@pytest.mark.parametrize("torn", [b'{"step": "ended", "run": "a", "usd": "0.', b"\0\0\0\0", b"\xff\xfe{}", b"3"])
def test_a_torn_line_costs_itself_alone(folder: Path, torn: bytes) -> None:
    first = Ledger(folder)
    first.begin("a", "openai", "gpt-4o", CENT)
    with now_file(folder).open("ab") as file:
        file.write(torn)
    again = Ledger(folder)
    run(again, "b", "0.02")
    assert Ledger(folder).totals().month == again.totals().month == Spent(Decimal("0.02"), Decimal("0.03"), 2)
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


def test_two_programs_never_pass_a_budget_together(folder: Path) -> None:
    """60 questions of at most 5 cents under a dollar: exactly 20 go through, and no line is lost or torn."""
    both = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(TWO_WRITERS), str(folder), name],
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
    assert Ledger(folder).totals().month == Spent(Decimal(0), Decimal("1.00"), 20)
    assert all(json.loads(line) for line in now_file(folder).read_text().splitlines())


def test_what_is_not_allowed_is_not_written(folder: Path) -> None:
    def refuse(_totals: Totals) -> None:
        raise BudgetReached("no")

    with pytest.raises(BudgetReached):
        Ledger(folder).begin("a", "openai", "gpt-4o", CENT, refuse)
    assert not now_file(folder).exists()


def test_asking_for_totals_makes_no_file(folder: Path) -> None:
    assert Ledger(folder).totals() == Totals(Spent(), Spent())
    assert not folder.parent.exists()


def test_a_file_that_was_taken_away_costs_the_session_nothing(folder: Path) -> None:
    ledger = Ledger(folder)
    run(ledger, "a", "0.01")
    now_file(folder).unlink()
    run(ledger, "b", "0.02")
    assert ledger.totals().month.usd == Decimal("0.02")
    assert ledger.totals().session == Spent(Decimal("0.03"), Decimal("0.03"), 2)
    assert dict(ledger.totals().session_by_provider)["openai"].runs == 2
    assert now_file(folder).stat().st_size > 0


def test_a_run_whose_file_was_taken_away_can_end(folder: Path) -> None:
    ledger = Ledger(folder)
    ledger.begin("a", "openai", "gpt-4o", Decimal("0.05"))
    now_file(folder).unlink()
    ledger.end("a", CENT, estimated=False)
    assert ledger.totals().session == ledger.totals().month == Spent(CENT, CENT, 1)


def test_each_month_is_a_file_and_only_this_one_is_read(folder: Path) -> None:
    clock = [datetime(2026, 10, 20, 12, tzinfo=UTC)]
    ledger = Ledger(folder, now=lambda: clock[0])
    run(ledger, "a", "0.01")
    clock[0] = NOW
    run(ledger, "b", "0.02")
    assert sorted(each.name for each in folder.glob("*.jsonl")) == ["ledger-2026-10.jsonl", "ledger-2026-11.jsonl"]
    file_of(folder, (2026, 10)).write_bytes(b"no ledger\n" * 3)
    assert ledger.totals().unreadable == Ledger(folder, now=lambda: NOW).totals().unreadable == 0


def test_a_clock_that_was_set_back_frees_no_money(folder: Path) -> None:
    run(Ledger(folder, now=lambda: NOW), "a", "0.01")
    back = datetime(2026, 10, 20, 12, tzinfo=UTC)
    ledger = Ledger(folder, now=lambda: back)
    assert ledger.totals().month.usd == CENT
    run(ledger, "b", "0.02")
    assert ledger.totals().month.usd == Ledger(folder, now=lambda: NOW).totals().month.usd == Decimal("0.03")


def test_lines_that_cannot_be_read_are_counted(folder: Path) -> None:
    ledger = Ledger(folder)
    run(ledger, "a", "0.01")
    with now_file(folder).open("ab") as file:
        file.write(b"torn\n{}\n")
    assert ledger.totals().unreadable == Ledger(folder).totals().unreadable == 2


OLD = """
    {"step": "begun", "run": "a", "session": "s", "at": "2026-10-31T12:00:00+00:00", "provider": "openai", "model": "m", "upper_bound_usd": "0.05"}
    {"step": "begun", "run": "b", "session": "s", "at": "2026-11-02T12:00:00+00:00", "provider": "openai", "model": "m", "upper_bound_usd": "0.07"}
    torn
    {"step": "ended", "run": "a", "session": "s", "at": "2026-11-02T12:00:01+00:00", "provider": "openai", "model": "m", "usd": "0.01", "estimated": false, "upper_bound_usd": "0.01"}
"""  # noqa: E501


@pytest.mark.parametrize("killed_between", [False, True])
def test_the_one_file_of_earlier_versions_is_shared_out_once(folder: Path, killed_between: bool) -> None:
    old = folder.with_name("spending.jsonl")
    old.parent.mkdir()
    old.write_text(textwrap.dedent(OLD))
    ledger = Ledger(folder, old_file=old, now=lambda: NOW)
    assert ledger.totals() == Totals(
        Spent(), Spent(Decimal(0), Decimal("0.07"), 1), (), (("openai", Spent(Decimal(0), Decimal("0.07"), 1)),), 1
    )
    if killed_between:
        old.with_name("spending.jsonl.old").rename(old)
    run(ledger, "c", "0.02")
    again = Ledger(folder, old_file=old, now=lambda: NOW).totals()
    assert again.month == ledger.totals().month == Spent(Decimal("0.02"), Decimal("0.09"), 2)
    october = Ledger(folder, now=lambda: datetime(2026, 10, 1, tzinfo=UTC))
    file_of(folder, (2026, 11)).unlink()
    assert october.totals().month == Spent(CENT, CENT, 1)
    assert not old.exists()


HOLDER = """
    import sys
    from pathlib import Path
    from backends.file_lock import alone
    with alone(Path(sys.argv[1]) / "ledger"):
        print("held", flush=True)
        sys.stdin.readline()
"""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Another program is inside the ledger, and stays."""
    argv = [sys.executable, "-c", textwrap.dedent(HOLDER), str(folder)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        try:
            yield
        finally:
            child.stdin.close()


def test_nobody_waits_for_ever_for_another_program(folder: Path) -> None:
    ledger = Ledger(folder)
    with held(folder):
        with pytest.raises(TimeoutError):
            ledger.begin("a", "openai", "gpt-4o", CENT)
        stop = threading.Event()
        stop.set()
        with pytest.raises(InterruptedError):
            ledger.begin("a", "openai", "gpt-4o", CENT, stop=stop)
    run(ledger, "a", "0.01")
    assert ledger.totals().month.runs == 1
