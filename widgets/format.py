"""Turns figures into short English text. Pure: must not know Qt, widgets or where a figure comes from.

Unknown is said in words ("n/a", "unknown"), never as 0. Groups of decimals are parted by a narrow no-break space.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

from backends.sizes import size_words, three_figures

NA = "n/a"
UNKNOWN = "unknown"
NARROW_SPACE = "\u202f"
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_SMALLEST_USD = Decimal("0.000000001")


def byte_size(size_bytes: int | None) -> str:
    """For example `23.4 GiB`; binary units, three figures."""
    if size_bytes is None:
        return UNKNOWN
    return size_words(size_bytes)


def number(value: float | None) -> str:
    """Three figures below 100, whole numbers above: `3.24`, `42.1`, `410`, `1,240`."""
    return NA if value is None else three_figures(value)


def tok_s(value: float | None) -> str:
    return NA if value is None else f"{number(value)} tok/s"


def duration(ms: float | None) -> str:
    """Milliseconds as `0.4 ms`, `124 ms`, `1.24 s`, `12.4 s` or `2 min 05 s`."""
    if ms is None:
        return NA
    if ms < 9.95:
        return f"{ms:.1f} ms"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 9_995:
        return f"{ms / 1000:.2f} s"
    if ms < 59_950:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    return f"{minutes} min {seconds:02d} s"


def count(value: int | None) -> str:
    return NA if value is None else f"{value:,}"


def usd_at_most(amount: Decimal | None) -> str:
    """As `usd`, rounded up: what cannot be passed must not read as less."""
    return usd(amount, rounding=ROUND_CEILING)


def usd(amount: Decimal | None, *, rounding: str = ROUND_HALF_EVEN) -> str:
    """Up to three significant figures, cents at least: `$12.34`, `$0.50`, `$0.0421`, `$0.000 123`; else `unknown`."""
    if amount is None:
        return UNKNOWN
    if amount == 0:
        return "$0"
    if amount < 0:
        return f"-{usd(-amount)}"
    if amount < _SMALLEST_USD:
        return f"under ${_grouped(_SMALLEST_USD)}"
    if amount >= 1:
        return f"${amount.quantize(Decimal('0.01'), rounding):,}"
    places = max(2, 2 - amount.adjusted())
    return f"${_grouped(amount.quantize(Decimal(1).scaleb(-places), rounding))}"


def ratio(value: float) -> str:
    """For example `3.1 times`."""
    return f"{value:.1f} times" if value < 10 else f"{value:,.0f} times"


def percent(fraction: float) -> str:
    return f"{fraction * 100:.0f} %"


def plural(n: int, one: str, many: str | None = None) -> str:
    """`1 token`, `2 tokens`, `1,000 tokens`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def day(value: date) -> str:
    """`14 January 2027`."""
    return f"{value.day} {_MONTHS[value.month - 1]} {value.year}"


def iso_day(text: str | None) -> str:
    """An ISO date as `14 January 2027`; anything else as it is, and None as unknown."""
    if text is None:
        return UNKNOWN
    try:
        return day(date.fromisoformat(text))
    except ValueError:
        return text


def retirement(text: str) -> str:
    """`retires 14 January 2027`, and `retired …` once that day is over."""
    try:
        over = date.fromisoformat(text) < date.today()  # noqa: DTZ011 - a calendar day, in the person's own calendar
    except ValueError:
        over = False
    return f"{'retired' if over else 'retires'} {iso_day(text)}"


def clock(value: datetime) -> str:
    """`09:12`."""
    return f"{value:%H:%M}"


def moment(value: datetime, now: datetime) -> str:
    """`Today 09:12`, `Yesterday 21:40` or `3 November 2026, 09:12`; both in the same time zone."""
    if value.date() == now.date():
        return f"Today {clock(value)}"
    if value.date() == now.date() - timedelta(days=1):
        return f"Yesterday {clock(value)}"
    return f"{day(value.date())}, {clock(value)}"


def one_line(text: str, limit: int = 200) -> str:
    """The text with its white space folded, cut with an ellipsis after `limit` characters."""
    folded = " ".join(text[: limit * 4].split())
    return folded if len(folded) <= limit else folded[: limit - 1].rstrip() + "…"


def part_of(done_bytes: int, total_bytes: int | None) -> str:
    """`1.23 of 4.58 GiB`, `812 MiB of 4.58 GiB`, or what arrived alone where the whole is not known."""
    done = byte_size(done_bytes)
    if total_bytes is None:
        return done
    total, (figure, unit) = byte_size(total_bytes), done.split(" ")
    return f"{figure if total.endswith(f' {unit}') else done} of {total}"


def rate(bytes_s: float | None) -> str:
    """`38.2 MiB/s`."""
    return NA if bytes_s is None else f"{byte_size(round(bytes_s))}/s"


def time_left(seconds: float | None) -> str:
    """`8 s left`, `1 min 32 s left`, `2 h 05 min left`; empty where it is not known."""
    if seconds is None:
        return ""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s left"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s left"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02d} min left"


def number_range(low: float | None, high: float | None) -> str:
    """`95–130`, one figure where both read the same, `n/a` where one is missing."""
    if low is None or high is None:
        return NA
    first, last = number(low), number(high)
    return first if first == last else f"{first}–{last}"


def short_count(value: int) -> str:
    """Tokens as people name contexts: `256`, `4k`, `128k`; exact where it is no round number of 1,024."""
    return f"{value // 1024}k" if value >= 1024 and value % 1024 == 0 else count(value)


def _grouped(amount: Decimal) -> str:
    whole, _, decimals = f"{amount:f}".partition(".")
    decimals = decimals[:2] + decimals[2:].rstrip("0")
    if len(decimals) <= 4:
        return f"{whole}.{decimals}"
    groups = [decimals[at : at + 3] for at in range(0, len(decimals), 3)]
    return f"{whole}.{NARROW_SPACE.join(groups)}"
