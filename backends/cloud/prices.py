"""Prices of servers and their models: the person's own first, then the table. Must not know what was spent."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import replace
from datetime import date

from backends.cloud import pricing
from backends.cloud.estimate import Asked, broken_cost, estimate, most_tokens
from backends.cloud.price_book import PriceBook
from backends.cloud.price_table import PriceTable
from backends.cloud.pricing import Quote
from backends.cloud.providers import Endpoint
from backends.cloud.request import Refusals
from backends.paths import Paths
from backends.records import Cost, Prompt, Sampling, Usage
from backends.spending import Ceiling, Estimate

MILLION = 1_000_000
Refused = MutableMapping[str, Refusals]


def local_day() -> date:
    """Today where the person is: their prices begin by their own calendar."""
    return date.today()  # noqa: DTZ011  a calendar day


class Prices:
    """Safe to read from any thread. `load` first, off the loop; without it the first question waits for the table."""

    def __init__(self, paths: Paths, today: Callable[[], date] = local_day) -> None:
        self.book = PriceBook(paths.prices_file)
        self.table = PriceTable(paths.price_table_file)
        self._today = today
        self._refused: dict[str, Refused] = {}

    def load(self) -> None:
        """Read the table, about a second the first time. The book is read when the program starts."""
        self.table.load()

    def refused_at(self, base_url: str) -> Refused:
        """The parameters, by model, that the server there refused in this session. Whoever asks it notes them here: a
        bound may rest on one of them."""
        return self._refused.setdefault(base_url, {})

    def quote(self, endpoint: Endpoint, model: str, usage: Usage) -> Quote | None:
        """What these counts cost today, None where no price is known. Missing counts are 0; never raises."""
        own = self.book.find(endpoint.key_name, model, self._today())
        if own is not None:
            return pricing.own_quote(own, model, usage)
        as_of = endpoint.price_as_of
        return pricing.quote(endpoint.price_provider, model, usage, price_as_of=as_of, table=self.table)

    def cost(self, endpoint: Endpoint, model: str, usage: Usage) -> Cost:
        """What an answer cost, or why that is not known; never raises."""
        if usage.prompt_tokens is None or usage.completion_tokens is None:
            return Cost(None, "usage_missing")
        found = self.quote(endpoint, model, usage)
        return Cost(None, "unknown_price") if found is None else found.cost("api_price")

    def broken_cost(self, endpoint: Endpoint, model: str, prompt: Prompt, text: str) -> Cost:
        """At least about what an answer cost that broke off after `text`; never raises."""
        return broken_cost(prompt, text, lambda usage: self.quote(endpoint, model, usage))

    def ceiling(self, endpoint: Endpoint, model: str, prompt: Prompt) -> Ceiling | None:
        """The price that the upper bound of `estimate` rests on, for a server that has to be told; else None."""
        most = most_tokens(prompt)
        asked = self.quote(endpoint, model, Usage(most, 0)) if endpoint.price_ceiling else None
        answered = self.quote(endpoint, model, Usage(most, MILLION)) if asked is not None else None
        if asked is None or answered is None:
            return None
        return Ceiling(asked.usd * MILLION / most, answered.usd - asked.usd)

    def estimate(self, endpoint: Endpoint, model: str, prompt: Prompt, sampling: Sampling) -> Estimate:
        """What a question may cost before it is sent; never raises."""
        own = self.book.find(endpoint.key_name, model, self._today())
        window = pricing.context_window(endpoint.price_provider, model, self.table)
        refused = {each.name for each in self.refused_at(endpoint.base_url).get(model, frozenset())}
        any_tier = own is None and endpoint.service_tier is not None and "service_tier" in refused
        tiers = pricing.tiers(endpoint.price_provider, model, self.table) if any_tier else ()
        asked = Asked(
            model,
            reasons=not endpoint.takes_sampling(model),
            context_window=window,
            tiers=tiers,
            broker=endpoint.label if endpoint.price_ceiling else "",
            held=not (endpoint.price_ceiling and "provider" in refused),
        )
        found = estimate(asked, prompt, sampling, lambda usage: self.quote(endpoint, model, usage))
        free = own is not None and own.input_usd_per_mtok == own.output_usd_per_mtok == 0
        # What costs nothing has an upper bound however long it gets.
        return replace(found, high_usd=found.low_usd) if free and found.high_usd is None else found
