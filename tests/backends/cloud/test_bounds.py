"""What an upper bound rests on: tiers, whoever answers behind a broker, and counts that are not the last."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from backends.cloud.budget import Spending
from backends.errors import BudgetReached
from backends.paths import app_paths
from backends.settings import Settings
from backends.spending import OwnPrice, Spent
from tests.backends.cloud.paying import (
    BOUND,
    BOUND_AT_PRIORITY,
    COUNTS,
    PRICE,
    begin_and_end,
    month,
    paid,
    run,
)
from tests.backends.cloud.support import endpoint_at, failed, finished, request
from tests.fakes.openai_server import Exchange, OpenAIServer, answer, chunk, error, usage


async def test_the_usual_tier_is_asked_for_whatever_the_project_has_chosen() -> None:
    with OpenAIServer(answer("Hi", counts=COUNTS)) as server:
        async with paid(server) as (engine, _spending):
            result = finished(await run(engine)).result
        assert server.received[0].json["service_tier"] == "default"
    assert result.settings["service_tier"] == "default"
    with OpenAIServer(answer("Hi", counts=COUNTS)) as server:
        async with paid(server, provider="groq") as (engine, _spending):
            result = finished(await run(engine)).result
        assert "service_tier" not in server.received[0].json
    assert "service_tier" not in result.settings


REFUSES_TIERS = error(400, param="service_tier", code="unsupported_parameter", message="Unsupported parameter")


async def test_where_no_tier_can_be_asked_for_the_dearest_is_the_bound() -> None:
    with OpenAIServer(REFUSES_TIERS, begin_and_end) as server:
        async with paid(server, session_budget_usd=0.5) as (engine, spending):
            result = finished(await run(engine)).result
            found = spending.prices.estimate(engine.endpoint, "gpt-4o", request().prompt, request().sampling)
        assert "service_tier" not in server.received[1].json
    assert result.settings["service_tier"] is None
    assert found.high_usd == BOUND_AT_PRIORITY
    assert "the dearest is taken" in found.basis
    assert month(spending).at_most_usd == BOUND_AT_PRIORITY, "the first was turned down, the second broke off"


async def test_a_dearer_tier_that_could_pass_a_budget_is_not_sent() -> None:
    with OpenAIServer(REFUSES_TIERS, answer("Hi", counts=COUNTS)) as server:
        async with paid(server, session_budget_usd=0.0115) as (engine, spending):
            for _ in range(2):
                assert failed(await run(engine)).problem.code == "budget_reached"
        assert len(server.received) == 1
    assert month(spending) == Spent(Decimal(0), Decimal(0), 1)


@pytest.mark.parametrize(("counted", "usd"), [(1, Decimal("0.0000625")), (1000, Decimal("0.010045"))])
async def test_counts_that_come_with_each_chunk_are_no_exact_cost(counted: int, usd: Decimal) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        first = chunk({"role": "assistant", "content": "Once upon a time, "})
        await exchange.event({**first, "usage": usage(18, counted)})
        await exchange.end()

    with OpenAIServer(script) as server:
        async with paid(server) as (engine, spending):
            result = finished(await run(engine)).result
    assert (result.complete, result.cost.basis, result.cost.usd) == (False, "estimated", usd)
    assert month(spending) == Spent(usd, BOUND, 1)


LLAMA = "meta-llama/llama-3.1-8b-instruct"  # $0.05 in, $0.08 out
ROUTED_BOUND = (Decimal(21 + 16 + 128) * Decimal("0.05") + 1024 * Decimal("0.08")) / 1_000_000


def routed(**more: object) -> Any:
    return answer("Hi", counts={**COUNTS, **more})


@pytest.mark.parametrize(
    ("more", "usd", "source"),
    [
        ({"cost": 0.0123}, "0.0123", "OpenRouter's own figure"),
        ({"cost": 0, "is_byok": False}, "0", "OpenRouter's own figure"),
        (
            {"cost": 0.001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.02}},
            "0.021",
            "OpenRouter's own figure",
        ),
        ({"cost": 0.001, "is_byok": True, "cost_details": {}}, "0.0001144", "genai-prices 0.2.3, checked 2026-11-10"),
        ({"cost": "0.5"}, "0.0001144", "genai-prices 0.2.3, checked 2026-11-10"),
        ({"cost": True}, "0.0001144", "genai-prices 0.2.3, checked 2026-11-10"),
        ({"cost": -1}, "0.0001144", "genai-prices 0.2.3, checked 2026-11-10"),
    ],
)
async def test_what_openrouter_says_it_charged_is_the_cost(more: dict[str, object], usd: str, source: str) -> None:
    with OpenAIServer(routed(**more)) as server:
        async with paid(server, provider="openrouter") as (engine, spending):
            cost = finished(await run(engine, request(LLAMA, provider="openrouter"))).result.cost
    assert (cost.usd, cost.basis, cost.source) == (Decimal(usd), "api_price", source)
    assert month(spending) == Spent(Decimal(usd), Decimal(usd), 1)


async def test_a_cost_in_the_usage_of_any_other_server_is_not_read() -> None:
    with OpenAIServer(routed(cost=0.0123)) as server:
        async with paid(server) as (engine, _spending):
            assert finished(await run(engine)).result.cost.usd == PRICE


async def test_openrouter_is_told_the_highest_price_that_the_bound_rests_on() -> None:
    with OpenAIServer(routed(cost=0.00001)) as server:
        async with paid(server, provider="openrouter", session_budget_usd=1.0) as (engine, spending):
            asked = request(LLAMA, provider="openrouter")
            result = finished(await run(engine, asked)).result
            found = spending.prices.estimate(engine.endpoint, LLAMA, asked.prompt, asked.sampling)
            unknown = failed(await run(engine, request("nobody/knows", provider="openrouter"))).problem
        assert server.received[0].json["provider"] == {"max_price": {"prompt": 0.05, "completion": 0.08}}
        assert len(server.received) == 1
    assert result.settings["max_price_usd_per_mtok"] == {"prompt": 0.05, "completion": 0.08}
    assert found.high_usd == ROUTED_BOUND
    assert "OpenRouter's price depends on who answers; the request forbids a dearer one" in found.basis
    assert "No price is known" in unknown.what


async def test_where_no_highest_price_is_taken_there_is_no_bound() -> None:
    refusal = error(400, message="Unrecognized key: provider.max_price")
    asked = request(LLAMA, provider="openrouter")
    with OpenAIServer(refusal, routed(cost=0.00001)) as server:
        async with paid(server, provider="openrouter", session_budget_usd=1.0) as (engine, spending):
            problem = failed(await run(engine, asked)).problem
            found = spending.prices.estimate(engine.endpoint, LLAMA, asked.prompt, asked.sampling)
        assert len(server.received) == 1
    assert problem.code == "budget_reached"
    assert "depends on who answers" in problem.what
    assert found.low_usd is not None
    assert found.high_usd is None
    assert "takes no highest price" in found.basis


async def test_the_word_provider_alone_drops_no_highest_price() -> None:
    refusal = error(400, message="This provider does not support top_k")
    with OpenAIServer(refusal, routed(cost=0.00001)) as server:
        async with paid(server, provider="openrouter", session_budget_usd=1.0) as (engine, _spending):
            finished(await run(engine, request(LLAMA, provider="openrouter")))
        assert "provider" in server.received[1].json
        assert "top_k" not in server.received[1].json


async def test_where_nobody_answers_at_that_price_the_person_is_told_so() -> None:
    with OpenAIServer(error(404, message="No endpoints found within your max price for this model.")) as server:
        async with paid(server, provider="openrouter") as (engine, _spending):
            problem = failed(await run(engine, request(LLAMA, provider="openrouter"))).problem
    assert "at the price that is known" in problem.what
    assert "Update the prices" in problem.fix


async def test_a_server_that_people_run_here_costs_no_money_and_no_budget_refuses_it() -> None:
    asked = request("house", provider="vllm", max_tokens=None)
    with OpenAIServer(answer("Hi", counts=COUNTS), begin_and_end) as server:
        async with paid(server, provider="vllm", session_budget_usd=0.0, month_budget_usd=0.0) as (engine, _spending):
            whole, broken = [finished(await run(engine, asked)).result.cost for _ in range(2)]
    assert (whole.usd, whole.basis) == (broken.usd, broken.basis) == (None, "not_measured")
    assert not app_paths().ledger_folder.exists()


async def test_with_a_price_of_ones_own_a_server_here_is_priced_and_counted() -> None:
    asked = request("house", provider="vllm")
    with OpenAIServer(answer("Hi", counts=COUNTS)) as server:
        async with paid(server, provider="vllm", month_budget_usd=0.01) as (engine, spending):
            spending.prices.book.add(OwnPrice("vllm", "*", spending.prices._today(), Decimal(1), Decimal(2)))
            cost = finished(await run(engine, asked)).result.cost
            problem = failed(await run(engine, request("house", provider="vllm", max_tokens=5000))).problem
        assert len(server.received) == 1
    assert (cost.usd, cost.basis) == ((2000 + 2 * Decimal(500)) / 1_000_000, "api_price")
    assert problem.code == "budget_reached"
    assert month(spending) == Spent(Decimal("0.003"), Decimal("0.003"), 1)


async def test_elsewhere_the_same_kind_of_server_needs_a_price() -> None:
    spending = Spending(app_paths(), lambda: Settings(month_budget_usd=5.0))
    with pytest.raises(BudgetReached, match="No price is known for house"):
        await spending.open_purse(endpoint_at("http://192.0.2.1:8000/v1", "vllm"), "house", request("house"))
