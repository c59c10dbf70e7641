"""Prices against sums done by hand, and what is said where there is none."""

from __future__ import annotations

import asyncio
import importlib.metadata
import socket
from decimal import Decimal

import pytest

from backends.cloud import pricing
from backends.cloud.providers import shipped_endpoints
from backends.records import Usage

MILLION = Decimal(1_000_000)


def test_cached_input_is_priced_apart() -> None:
    cost = pricing.cost("openai", "gpt-4o", Usage(2000, 500, 1024), price_as_of="2026-10-12")
    by_hand = (976 * Decimal("2.5") + 1024 * Decimal("1.25") + 500 * Decimal(10)) / MILLION
    assert cost.usd == by_hand == Decimal("0.00872")
    assert (cost.basis, cost.price_as_of) == ("api_price", "2026-10-12")
    assert cost.formula == "gpt-4o: 976 prompt × $2.5/M + 1024 cached × $1.25/M + 500 completion × $10/M = $0.00872"


def test_reasoning_is_inside_completion() -> None:
    assert pricing.cost("openai", "gpt-6-luna", Usage(100, 50, 0, 40)).usd == (100 * Decimal("0.1") + 25) / MILLION


@pytest.mark.parametrize(("prompt", "input_rate", "output_rate"), [(272_000, "2.5", "15"), (272_001, "5", "22.5")])
def test_a_long_prompt_moves_to_the_higher_rate(prompt: int, input_rate: str, output_rate: str) -> None:
    cost = pricing.cost("openai", "gpt-5.4", Usage(prompt, 100))
    assert cost.usd == (prompt * Decimal(input_rate) + 100 * Decimal(output_rate)) / MILLION
    assert cost.formula is not None
    assert f"× ${input_rate}/M" in cost.formula
    assert f"× ${output_rate}/M" in cost.formula


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "gpt-6.2-sol"), ("openai", "gpt-4of"), ("openai", "demo"), (None, "gpt-4o"), ("nobody", "gpt-4o")],
)
def test_an_unknown_price_is_unknown_and_never_nothing(provider: str | None, model: str) -> None:
    cost = pricing.cost(provider, model, Usage(10, 10))
    assert (cost.usd, cost.basis, cost.formula) == (None, "unknown_price", None)


@pytest.mark.parametrize("usage", [Usage(), Usage(10, None), Usage(None, 10)])
def test_missing_usage_has_no_price(usage: Usage) -> None:
    assert pricing.cost("openai", "gpt-4o", usage).basis == "usage_missing"


def test_more_cached_than_sent_is_taken_as_all() -> None:
    assert pricing.cost("openai", "gpt-4o", Usage(10, 0, 99)).usd == 10 * Decimal("1.25") / MILLION


def test_practice_is_priced_as_gpt_4o_and_says_so() -> None:
    cost = pricing.practice_cost(Usage(33, 100), "2026-10-12")
    assert cost.usd == (33 * Decimal("2.5") + 1000) / MILLION
    assert (cost.basis, cost.price_as_of) == ("practice_at_gpt4o_price", "2026-10-12")


OFFERED = [
    (endpoint.price_provider, model.id)
    for endpoint in shipped_endpoints().values()
    for model in endpoint.models
    if model.offered
]


@pytest.mark.parametrize(("provider", "model"), OFFERED)
def test_every_offered_model_has_a_price(provider: str | None, model: str) -> None:
    assert pricing.cost(provider, model, Usage(1000, 1000)).usd


def test_only_servers_that_people_run_themselves_are_shipped_without_models() -> None:
    """These have no price to hold together with the table."""
    assert {endpoint.provider for endpoint in shipped_endpoints().values() if not endpoint.models} == {
        endpoint.provider for endpoint in shipped_endpoints().values() if endpoint.self_hosted
    }


def test_the_dates_of_the_prices_belong_to_this_table() -> None:
    """A newer table needs `price_as_of` in providers.toml to be looked at again."""
    assert importlib.metadata.version("genai-prices") == "0.2.3"


async def test_loading_prices_contacts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_more: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    await asyncio.gather(*(asyncio.to_thread(pricing.load_prices_now) for _ in range(2)))
    assert pricing.cost("openai", "gpt-4o", Usage(1, 1)).usd
    import genai_prices.data_snapshot as snapshot

    assert snapshot._custom_snapshot is None


def test_practice_is_not_priced_as_if_openai_had_cached_it() -> None:
    """The practice server reuses its own cache from the second question on; OpenAI would have charged in full."""
    usage = Usage(prompt_tokens=33, completion_tokens=100, cached_tokens=32)
    assert pricing.practice_cost(usage, None) == pricing.practice_cost(Usage(33, 100), None)


def test_what_a_provider_writes_into_its_cache_has_its_own_rate() -> None:
    cost = pricing.cost("openai", "gpt-6-luna", Usage(2000, 100, 500, cache_write_tokens=1000))
    by_hand = 500 * Decimal("0.1") + 500 * Decimal("0.01") + 1000 * Decimal("0.125") + 100 * Decimal("0.5")
    assert cost.usd == by_hand / MILLION
    assert cost.formula is not None
    assert "1000 written to cache × $0.125/M" in cost.formula


@pytest.mark.parametrize(
    ("tier", "rate_in", "rate_out"),
    [("priority", "4.25", "17"), ("default", "2.5", "10"), (None, "2.5", "10"), ("on_demand", "2.5", "10")],
)
def test_a_service_tier_has_its_own_price(tier: str | None, rate_in: str, rate_out: str) -> None:
    cost = pricing.cost("openai", "gpt-4o", Usage(1000, 100, service_tier=tier))
    assert cost.usd == (1000 * Decimal(rate_in) + 100 * Decimal(rate_out)) / MILLION


def test_a_tier_without_a_known_price_is_unknown() -> None:
    assert pricing.cost("openai", "gpt-4o", Usage(1000, 100, service_tier="scale")).basis == "unknown_price"


def test_the_source_of_the_price_is_said() -> None:
    cost = pricing.cost("openai", "gpt-4o", Usage(1, 1), price_as_of="2026-10-12")
    assert cost.source == "genai-prices 0.2.3, checked 2026-10-12"
