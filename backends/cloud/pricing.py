"""What a hosted answer cost, from the price table of genai-prices. Must never fetch anything.

    cost = (prompt - cached) * input + cached * cached_input + completion * output

Reasoning tokens are inside completion. Sums are decimal, so that they agree with the bill to the last digit.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from backends.records import Cost, CostBasis, Usage

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation, TieredPrices

PRACTICE_PROVIDER = "openai"
PRACTICE_MODEL = "gpt-4o"


def load_prices_now() -> None:
    """Read the table, once; without it the first `cost` would. It takes about a second: call it off the loop."""
    importlib.import_module("genai_prices.data")


def cost(
    provider_id: str | None,
    model: str,
    usage: Usage,
    *,
    price_as_of: str | None = None,
    basis: CostBasis = "api_price",
) -> Cost:
    """The price of one answer in US dollars, or why there is none. `provider_id` is the table's name; never raises."""
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return Cost(None, "usage_missing")
    if provider_id is None:
        return Cost(None, "unknown_price")
    calculation = _calculate(provider_id, model, usage)
    if calculation is None:
        return Cost(None, "unknown_price")
    return Cost(calculation.total_price, basis, price_as_of, _formula(calculation, usage))


def practice_cost(usage: Usage, price_as_of: str | None) -> Cost:
    """What gpt-4o would have charged for the same counts, nothing cached. Nothing was paid.

    The practice server's cache is its own: OpenAI caches from 1,024 tokens on, so it would not have had these.
    """
    fresh = replace(usage, cached_tokens=None)
    return cost(PRACTICE_PROVIDER, PRACTICE_MODEL, fresh, price_as_of=price_as_of, basis="practice_at_gpt4o_price")


def _calculate(provider_id: str, model: str, usage: Usage) -> PriceCalculation | None:
    import genai_prices

    prompt = usage.prompt_tokens or 0
    counts = genai_prices.Usage(
        input_tokens=prompt,
        cache_read_tokens=min(usage.cached_tokens or 0, prompt),
        output_tokens=usage.completion_tokens,
    )
    try:
        calculation = genai_prices.calc_price(counts, model, provider_id=provider_id)
    except (LookupError, ValueError):
        return None
    price = calculation.model_price
    # A model can stand in the table without rates, and would then seem to be free.
    return None if price.input_mtok is None and price.output_mtok is None else calculation


def _formula(calculation: PriceCalculation, usage: Usage) -> str:
    """The sum with its numbers, for the tooltip. Rates are per million tokens."""
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    cached = min(usage.cached_tokens or 0, prompt)
    price = calculation.model_price
    parts = [_part(prompt - cached, "prompt", price.input_mtok, prompt)]
    if cached:
        parts.append(_part(cached, "cached", price.cache_read_mtok or price.input_mtok, prompt))
    parts.append(_part(completion, "completion", price.output_mtok, prompt))
    return f"{calculation.model.id}: {' + '.join(parts)} = ${calculation.total_price.normalize():f}"


def _part(tokens: int, name: str, rate: Decimal | TieredPrices | None, prompt: int) -> str:
    return f"{tokens} {name} × ${_rate(rate, prompt).normalize():f}/M"


def _rate(rate: Decimal | TieredPrices | None, prompt: int) -> Decimal:
    """Dollars per million tokens; a long prompt moves all its tokens to a higher rate."""
    if rate is None or isinstance(rate, Decimal):
        return rate or Decimal(0)
    passed = [tier.price for tier in rate.tiers if prompt > tier.start]
    return passed[-1] if passed else rate.base
