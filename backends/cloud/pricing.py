"""What a hosted answer cost, by the person's own price or the table of genai-prices. Must never fetch anything.

    cost = (prompt - cached) * input + cached * cached_input + completion * output

Reasoning tokens are inside completion. Sums are decimal, so that they agree with the bill to the last digit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from backends.cloud.price_table import PriceTable
from backends.records import Cost, CostBasis, Usage
from backends.spending import OwnPrice

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, PriceCalculation, TieredPrices

PRACTICE_PROVIDER = "openai"
PRACTICE_MODEL = "gpt-4o"
OF_PACKAGE = PriceTable()
MILLION = Decimal(1_000_000)
USUAL_TIERS = frozenset({"auto", "default", "standard", "on_demand"})


@dataclass(frozen=True, slots=True)
class Quote:
    """A sum in US dollars with its formula, whose price it is, and the ISO date of that price."""

    usd: Decimal
    formula: str
    source: str
    as_of: str | None

    def cost(self, basis: CostBasis) -> Cost:
        return Cost(self.usd, basis, self.as_of, self.formula, self.source)


def load_prices_now() -> None:
    """Read the package's table, once; without it the first `cost` would. It takes about a second: call it off the
    loop."""
    OF_PACKAGE.load()


def cost(
    provider_id: str | None,
    model: str,
    usage: Usage,
    *,
    price_as_of: str | None = None,
    basis: CostBasis = "api_price",
    table: PriceTable = OF_PACKAGE,
) -> Cost:
    """The price of one answer in US dollars, or why there is none. `provider_id` is the table's name; never raises."""
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return Cost(None, "usage_missing")
    found = quote(provider_id, model, usage, price_as_of=price_as_of, table=table)
    return Cost(None, "unknown_price") if found is None else found.cost(basis)


def practice_cost(usage: Usage, price_as_of: str | None) -> Cost:
    """What gpt-4o would have charged for the same counts, nothing cached. Nothing was paid.

    The practice server's cache is its own: OpenAI caches from 1,024 tokens on, so it would not have had these.
    """
    fresh = replace(usage, cached_tokens=None)
    return cost(PRACTICE_PROVIDER, PRACTICE_MODEL, fresh, price_as_of=price_as_of, basis="practice_at_gpt4o_price")


def quote(
    provider_id: str | None,
    model: str,
    usage: Usage,
    *,
    price_as_of: str | None = None,
    table: PriceTable = OF_PACKAGE,
) -> Quote | None:
    """What these counts cost by the table, None where it has no price for them. Missing counts are 0; never raises."""
    calculation = None if provider_id is None else _calculate(table, provider_id, model, usage)
    if calculation is None:
        return None
    formula = _formula(calculation, usage)
    return Quote(calculation.total_price, formula, table.source(price_as_of), table.day_of(price_as_of))


def own_quote(price: OwnPrice, model: str, usage: Usage) -> Quote:
    """What these counts cost by the person's own price. Missing counts are 0."""
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    cached = min(usage.cached_tokens or 0, prompt)
    cached_rate = price.cached_input_usd_per_mtok
    parts = [(prompt - cached, "prompt", price.input_usd_per_mtok)]
    if cached:
        parts.append((cached, "cached", price.input_usd_per_mtok if cached_rate is None else cached_rate))
    parts.append((completion, "completion", price.output_usd_per_mtok))
    usd = sum((tokens * rate for tokens, _name, rate in parts), Decimal(0)) / MILLION
    day = price.valid_from.isoformat()
    return Quote(usd, _sum_in_words(model, parts, usd), f"your price of {day}", day)


def context_window(provider_id: str | None, model: str, table: PriceTable = OF_PACKAGE) -> int | None:
    """The most tokens that prompt and answer may have together, as the table says; None where it does not."""
    if provider_id is None:
        return None
    try:
        found: ModelInfo = table.load().find_provider_model(model, None, provider_id, None)[1]
    except LookupError:
        return None
    return found.context_window


def tiers(provider_id: str | None, model: str, table: PriceTable = OF_PACKAGE) -> tuple[str, ...]:
    """The service tiers that the table has prices of, by the provider's names; empty where there are none."""
    if provider_id is None:
        return ()
    try:
        found: ModelInfo = table.load().find_provider_model(model, None, provider_id, None)[1]
    except LookupError:
        return ()
    named = (variant.when.get("service_tier") for variant in found.price_variants or ())
    return tuple(sorted({str(name) for name in named if name is not None} - USUAL_TIERS))


def _calculate(table: PriceTable, provider_id: str, model: str, usage: Usage) -> PriceCalculation | None:
    import genai_prices

    prompt = usage.prompt_tokens or 0
    cached = min(usage.cached_tokens or 0, prompt)
    counts = genai_prices.Usage(
        input_tokens=prompt,
        cache_read_tokens=cached,
        cache_write_tokens=min(usage.cache_write_tokens or 0, prompt - cached),
        output_tokens=usage.completion_tokens or 0,
    )
    tier = usage.service_tier if usage.service_tier not in USUAL_TIERS else None
    context = None if tier is None else {"service_tier": tier}
    try:
        calculation = table.load().calc(counts, model, provider_id, None, None, context)
    except (LookupError, ValueError):
        return None
    if tier is not None and not _has_tier(calculation.model, tier):
        return None
    price = calculation.model_price
    # A model can stand in the table without rates, and would then seem to be free.
    return None if price.input_mtok is None and price.output_mtok is None else calculation


def _has_tier(model: ModelInfo, tier: str) -> bool:
    """False where the model has prices by tier and this is none of them; where it has none, tiers cost the same."""
    named = {variant.when.get("service_tier") for variant in model.price_variants or ()} - {None}
    return not named or tier in named


def _formula(calculation: PriceCalculation, usage: Usage) -> str:
    """The sum with its numbers, for the tooltip. Rates are per million tokens."""
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    cached = min(usage.cached_tokens or 0, prompt)
    price = calculation.model_price
    has_writes = price.cache_write_mtok is not None
    written = min(usage.cache_write_tokens or 0, prompt - cached) if has_writes else 0
    parts = [(prompt - cached - written, "prompt", _rate(price.input_mtok, prompt))]
    if cached:
        read = price.input_mtok if price.cache_read_mtok is None else price.cache_read_mtok
        parts.append((cached, "cached", _rate(read, prompt)))
    if written:
        parts.append((written, "written to cache", _rate(price.cache_write_mtok, prompt)))
    parts.append((completion, "completion", _rate(price.output_mtok, prompt)))
    tier = usage.service_tier
    name = calculation.model.id if tier is None or tier in USUAL_TIERS else f"{calculation.model.id} ({tier})"
    return _sum_in_words(name, parts, calculation.total_price)


def _sum_in_words(name: str, parts: list[tuple[int, str, Decimal]], usd: Decimal) -> str:
    shown = " + ".join(f"{tokens} {what} × ${_plain(rate)}/M" for tokens, what, rate in parts)
    return f"{name}: {shown} = ${_plain(usd)}"


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _rate(rate: Decimal | TieredPrices | None, prompt: int) -> Decimal:
    """Dollars per million tokens; a long prompt moves all its tokens to a higher rate."""
    if rate is None or isinstance(rate, Decimal):
        return rate or Decimal(0)
    passed = [tier.price for tier in rate.tiers if prompt > tier.start]
    return passed[-1] if passed else rate.base
