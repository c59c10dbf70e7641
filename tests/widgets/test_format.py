from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from widgets import format as fmt

N = fmt.NARROW_SPACE


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.00 KiB"), (6 * 2**20, "6.00 MiB"), (25_125_558_681, "23.4 GiB")],
)
def test_byte_size(size: int, text: str) -> None:
    assert fmt.byte_size(size) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0.04, "0.0 ms"), (3.24, "3.2 ms"), (40.2, "40 ms"), (999.4, "999 ms"), (999.6, "1.00 s"), (1740, "1.74 s"),
        (12_400, "12.4 s"), (59_960, "1 min 00 s"), (125_000, "2 min 05 s"),
    ],
)  # fmt: skip
def test_duration(ms: float, text: str) -> None:
    assert fmt.duration(ms) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0"), ("12.345", "$12.34"), ("1234.5", "$1,234.50"), ("0.5", "$0.50"), ("0.042", "$0.042"),
        ("0.0421", "$0.0421"), ("0.0022050", "$0.0022"), ("0.000123", f"$0.000{N}123"),
        ("0.0000012", f"$0.000{N}001{N}2"), ("1E-12", f"under $0.000{N}000{N}001"), ("-0.5", "-$0.50"),
    ],
)  # fmt: skip
def test_usd(amount: str, text: str) -> None:
    assert fmt.usd(Decimal(amount)) == text


@given(st.decimals(min_value=Decimal("1e-9"), max_value=Decimal("1e6"), allow_nan=False))
def test_usd_is_never_shown_as_nothing_and_stays_within_half_a_per_cent(amount: Decimal) -> None:
    shown = Decimal(fmt.usd(amount).removeprefix("under ").removeprefix("$").replace(N, "").replace(",", ""))
    assert shown > 0
    assert abs(shown - amount) <= amount * Decimal("0.005") + Decimal("1e-18")


def test_unknown_is_said_and_never_zero() -> None:
    said = [fmt.byte_size(None), fmt.number(None), fmt.tok_s(None), fmt.duration(None), fmt.count(None), fmt.usd(None)]
    assert said == ["unknown", "n/a", "n/a", "n/a", "n/a", "unknown"]
    assert fmt.iso_day(None) == "unknown"


@given(st.floats(min_value=0.01, max_value=1e7))
def test_a_rate_keeps_its_size(value: float) -> None:
    assert float(fmt.number(value).replace(",", "")) == pytest.approx(value, rel=0.006, abs=0.005)


def test_rates_keep_three_figures() -> None:
    assert [fmt.number(x) for x in (3.241, 9.996, 42.13, 99.96, 410.4, 1240.0)] == [
        "3.24", "10.0", "42.1", "100", "410", "1,240",
    ]  # fmt: skip


def test_days_and_moments() -> None:
    now = datetime(2026, 11, 23, 9, 41, tzinfo=UTC)
    assert fmt.day(date(2027, 1, 14)) == "14 January 2027"
    assert fmt.iso_day("2027-01-14") == "14 January 2027"
    assert fmt.iso_day("next year") == "next year"
    assert fmt.moment(now.replace(hour=9, minute=5), now) == "Today 09:05"
    assert fmt.moment(now.replace(day=22, hour=21), now) == "Yesterday 21:41"
    assert fmt.moment(now.replace(day=3), now) == "3 November 2026, 09:41"


def test_words() -> None:
    assert fmt.plural(1, "token") == "1 token"
    assert fmt.plural(1000, "token") == "1,000 tokens"
    assert fmt.plural(2, "reply", "replies") == "2 replies"
    assert fmt.ratio(3.12) == "3.1 times"
    assert fmt.ratio(31.2) == "31 times"
    assert fmt.percent(0.42) == "42 %"


def test_one_line_folds_and_cuts() -> None:
    assert fmt.one_line("a\n\n b\tc") == "a b c"
    assert fmt.one_line("word " * 100, 20) == "word word word word…"
    assert len(fmt.one_line("x" * 10_000, 200)) == 200
