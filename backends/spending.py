"""Values about money: a price of one's own, what a question may cost, what was spent. Must not know where they are kept
nor how they are shown. All sums are US dollars; unknown is None, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

EVERY_MODEL = "*"


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """What a person says a model costs from a day on, per million tokens. `provider` is openai, custom:lab, ...;
    the model `*` is every model there that has no row of its own. Without a cached price, cached input costs as input.
    """

    provider: str
    model: str
    valid_from: date
    input_usd_per_mtok: Decimal
    output_usd_per_mtok: Decimal
    cached_input_usd_per_mtok: Decimal | None = None

    @property
    def key(self) -> tuple[str, str, date]:
        return self.provider, self.model, self.valid_from


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The highest price that a question may be answered at, per million tokens."""

    prompt_usd_per_mtok: Decimal
    completion_usd_per_mtok: Decimal

    def rates(self) -> dict[str, float]:
        """As OpenRouter's `max_price` takes them."""
        return {"prompt": float(self.prompt_usd_per_mtok), "completion": float(self.completion_usd_per_mtok)}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one question may cost before it is sent. `low_usd` is the likely sum, `high_usd` cannot be passed.

    Both are None where no price is known, `high_usd` also where nothing bounds the answer or its price. `basis` says in
    sentences what both rest on; `unlimited` that only the missing limit on the answer keeps `high_usd` unknown.
    """

    low_usd: Decimal | None
    high_usd: Decimal | None
    basis: str
    unlimited: bool = False


@dataclass(frozen=True, slots=True)
class Spent:
    """What one provider, or all of them, was paid over a time. Runs that are under way or broke off have a range:
    `usd` is what is sure, `at_most_usd` counts the upper bounds. `unpriced` runs had no known price and are in neither.
    """

    usd: Decimal = Decimal(0)
    at_most_usd: Decimal = Decimal(0)
    runs: int = 0
    unpriced: int = 0

    def plus(self, usd: Decimal, at_most_usd: Decimal | None) -> Spent:
        """With one more run."""
        if at_most_usd is None:
            return Spent(self.usd + usd, self.at_most_usd + usd, self.runs + 1, self.unpriced + 1)
        return Spent(self.usd + usd, self.at_most_usd + at_most_usd, self.runs + 1, self.unpriced)

    def minus(self, usd: Decimal, at_most_usd: Decimal | None) -> Spent:
        """Without a run that `plus` counted."""
        if at_most_usd is None:
            return Spent(self.usd - usd, self.at_most_usd - usd, self.runs - 1, self.unpriced - 1)
        return Spent(self.usd - usd, self.at_most_usd - at_most_usd, self.runs - 1, self.unpriced)


@dataclass(frozen=True, slots=True)
class Totals:
    """Everything spent in this session and in this calendar month (local time), whole and by provider.

    `unreadable` lines of this month were left out: more may have been spent than they say.
    """

    session: Spent
    month: Spent
    session_by_provider: tuple[tuple[str, Spent], ...] = ()
    month_by_provider: tuple[tuple[str, Spent], ...] = ()
    unreadable: int = 0
