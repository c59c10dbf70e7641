"""Budgets before a real request: what could pass one is never sent, which the scripted server can tell."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from backends.cloud.budget import Spending
from backends.cloud.engine import CloudEngine
from backends.compare import Comparison, Mode
from backends.egress import Egress
from backends.events import Event
from backends.keys import Secret
from backends.paths import app_paths
from backends.settings import Settings
from backends.spending import OwnPrice, Spent
from tests.backends.cloud.paying import (
    BOUND,
    COUNTS,
    PRICE,
    begin_and_end,
    month,
    paid,
    run,
    warnings,
)
from tests.backends.cloud.support import KEY, end_of, endpoint_at, failed, finished, has_text, request, until
from tests.backends.cloud.test_ledger import held
from tests.fakes.openai_server import Exchange, OpenAIServer, answer, chunk, error, usage


async def test_a_small_budget_is_named_to_its_last_digit() -> None:
    with OpenAIServer() as server:
        async with paid(server, session_budget_usd=0.0005) as (engine, _spending):
            assert "session budget of $0.0005." in failed(await run(engine)).problem.what


async def test_the_exact_cost_is_in_the_result_and_in_the_ledger() -> None:
    with OpenAIServer(answer("Hi", counts=COUNTS)) as server:
        async with paid(server) as (engine, spending):
            cost = finished(await run(engine)).result.cost
    assert (cost.usd, cost.basis, cost.source) == (PRICE, "api_price", "genai-prices 0.2.3, checked 2026-10-12")
    assert month(spending) == Spent(PRICE, PRICE, 1)
    assert spending.ledger.totals().session == Spent(PRICE, PRICE, 1)


@pytest.mark.parametrize("name", ["session", "month"])
async def test_a_question_that_could_pass_a_budget_is_not_sent(name: str) -> None:
    with OpenAIServer(answer("Hi", counts=COUNTS)) as server:
        budget: dict[str, Any] = {f"{name}_budget_usd": 0.01}
        async with paid(server, **budget) as (engine, spending):
            problem = failed(await run(engine)).problem
            assert server.received == []
            assert server.connections == 0
            assert finished(await run(engine, request(max_tokens=500))).result.cost.usd == PRICE
    assert problem.code == "budget_reached"
    assert f"of the {name} budget of $0.01" in problem.what
    assert "could cost up to $0.0107, and $0.0100 is left" in problem.what
    assert "Nothing was sent" in problem.safe
    assert month(spending).runs == 1


async def test_what_was_spent_before_counts_in_its_month() -> None:
    earlier = Spending(app_paths(), Settings).ledger
    earlier.begin("killed", "openai", "gpt-4o", Decimal("0.995"))
    with OpenAIServer() as server:
        async with paid(server, month_budget_usd=1.0) as (engine, _spending):
            problem = failed(await run(engine)).problem
        assert server.received == []
        async with paid(server, session_budget_usd=1.0) as (engine, _spending):
            finished(await run(engine))
    assert "$0.00500 is left of the month budget of $1.00" in problem.what


@pytest.mark.parametrize("mode", ["race", "sequence"])
async def test_lanes_reserve_before_any_is_sent(mode: Mode) -> None:
    """Each could cost 1.07 cents: of three, a budget of 2.5 cents lets two go at once, and in sequence all."""
    events: list[Event] = []
    with OpenAIServer(answer(*"abcd", pause_s=0.1, counts=usage(20, 4))) as server:
        async with paid(server, session_budget_usd=0.025) as (engine, _spending):
            requests = [replace(request(), run_id=f"run-{number}") for number in range(3)]
            await Comparison(requests, lambda _target: engine, events.append, mode).run()
        assert len(server.received) == (2 if mode == "race" else 3)
    codes = [event.problem.code for event in events if hasattr(event, "problem")]
    assert codes == (["budget_reached"] if mode == "race" else [])


async def test_a_model_without_a_price_is_refused_under_a_budget_only() -> None:
    with OpenAIServer(answer("Hi", counts=COUNTS)) as server:
        async with paid(server, month_budget_usd=5.0) as (engine, spending):
            problem = failed(await run(engine, request("house"))).problem
            assert server.received == []
            today = spending.prices._today()
            spending.prices.book.add(OwnPrice("openai", "*", today, Decimal(1), Decimal(2)))
            cost = finished(await run(engine, request("house"))).result.cost
        async with paid(server) as (engine, spending):
            spending.prices.book.remove(("openai", "*", today))
            assert finished(await run(engine, request("house"))).result.cost.basis == "unknown_price"
    assert "No price is known for house" in problem.what
    assert "Give it a price" in problem.fix
    assert cost.usd == (2000 * Decimal(1) + 500 * Decimal(2)) / 1_000_000
    assert month(spending) == Spent(cost.usd, cost.usd, 2, unpriced=1)


async def test_without_a_limit_a_budget_needs_a_known_context() -> None:
    with OpenAIServer(answer("Hi", counts=COUNTS)) as server:
        async with paid(server, month_budget_usd=5.0) as (engine, spending):
            spending.prices.book.add(OwnPrice("openai", "house", spending.prices._today(), Decimal(1), Decimal(2)))
            unbounded = failed(await run(engine, request("house", max_tokens=None))).problem
            assert server.received == []
            finished(await run(engine, request("gpt-4o", max_tokens=None)))
        async with paid(server, month_budget_usd=1.0) as (engine, spending):
            too_much = failed(await run(engine, request("gpt-4o", max_tokens=None))).problem
    assert "Set a longest answer" in unbounded.fix
    assert "could cost up to $1.29" in too_much.what


async def test_a_server_that_takes_no_limit_is_not_asked_without_one() -> None:
    refusing = [
        error(400, param=name, code="unsupported_parameter") for name in ("max_completion_tokens", "max_tokens")
    ]
    with OpenAIServer(*refusing, answer("Hi", counts=COUNTS)) as server:
        async with paid(server, month_budget_usd=5.0) as (engine, spending):
            for _ in range(2):
                assert failed(await run(engine)).problem.code == "budget_reached"
        assert len(server.received) == 2, "once with each name of the limit, and never again"
    assert month(spending) == Spent(Decimal(0), Decimal(0), 2)
    with OpenAIServer(*refusing, answer("Hi", counts=COUNTS)) as server:
        async with paid(server) as (engine, spending):
            finished(await run(engine))


async def test_from_80_percent_on_the_person_is_told() -> None:
    with OpenAIServer(answer("Hi", counts=COUNTS)) as server:
        async with paid(server, session_budget_usd=0.03) as (engine, _spending):
            said = [warnings(await run(engine)) for _ in range(3)]
    assert said[:2] == [[], []]
    (words,) = said[2]
    assert "94 % of the session budget of $0.03" in words


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (error(401), "key_refused"),
        (error(500), "server_failed"),
        (error(429, code="insufficient_quota"), "quota_used_up"),
    ],
)
async def test_what_a_server_turns_down_costs_nothing(script: Any, code: str) -> None:
    with OpenAIServer(script) as server:
        async with paid(server) as (engine, spending):
            end = failed(await run(engine))
    assert end.problem.code == code
    assert (end.result.cost.usd, end.result.cost.basis) == (Decimal(0), "not_charged")
    assert month(spending) == Spent(Decimal(0), Decimal(0), 1)


async def test_what_never_reached_a_server_costs_nothing() -> None:
    with OpenAIServer() as server:
        base_url = server.base_url
    engine = CloudEngine(
        endpoint_at(base_url), egress=Egress(), key=lambda: Secret(KEY), spending=Spending(app_paths(), Settings)
    )
    assert failed(await run(engine)).problem.code == "unreachable"
    await engine.close()
    assert Spending(app_paths(), Settings).ledger.totals().month == Spent(Decimal(0), Decimal(0), 1)


async def test_what_a_gateway_gave_up_on_may_have_cost_its_bound() -> None:
    with OpenAIServer(error(504)) as server:
        async with paid(server) as (engine, spending):
            cost = failed(await run(engine)).result.cost
    assert (cost.usd, cost.basis) == (None, "usage_missing")
    assert month(spending).usd == 0
    assert month(spending).at_most_usd > Decimal("0.01")


@pytest.mark.parametrize(("second", "sure"), [(answer("Hi", counts=COUNTS), PRICE), (error(401), Decimal(0))])
async def test_two_requests_that_may_be_billed_count_twice(second: Any, sure: Decimal) -> None:
    with OpenAIServer(error(504), second) as server:
        async with paid(server) as (engine, spending):
            cost = end_of(await run(engine)).result.cost
    assert cost.basis == ("api_price" if sure else "usage_missing")
    assert month(spending) == Spent(sure, BOUND + sure, 2)


async def test_under_a_budget_what_may_be_billed_is_not_asked_twice() -> None:
    for budgets, requests in (({"month_budget_usd": 5.0}, 1), ({}, 2)):
        with OpenAIServer(error(504), answer("Hi", counts=COUNTS)) as server:
            async with paid(server, **budgets) as (engine, _spending):  # type: ignore[arg-type]  # settings by name
                await run(engine)
            assert len(server.received) == requests


async def begin_and_wait(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.event(chunk({"role": "assistant", "content": "Once upon a time, "}))
    await exchange.until_gone()


async def test_a_stopped_answer_is_an_estimate_and_its_bound_counts() -> None:
    with OpenAIServer(begin_and_wait) as server:
        async with paid(server) as (engine, spending):
            events: list[Event] = []
            task = asyncio.create_task(engine.run(request(), events.append))
            await until(lambda: has_text(events))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    cost = end_of(events).result.cost
    assert cost.basis == "estimated"
    assert cost.usd == ((5 + 4) * Decimal("2.5") + 4 * Decimal(10)) / 1_000_000
    assert cost.formula == "gpt-4o: about 9 prompt × $2.5/M + 4 completion × $10/M = $0.0000625"
    spent = month(spending)
    assert spent.usd == cost.usd
    assert spent.at_most_usd == BOUND


async def test_a_broken_answer_is_an_estimate_too() -> None:
    with OpenAIServer(begin_and_end) as server:
        async with paid(server) as (engine, _spending):
            result = finished(await run(engine)).result
    assert (result.complete, result.cost.basis) == (False, "estimated")


async def test_a_stop_before_sending_leaves_nothing_reserved() -> None:
    with OpenAIServer(begin_and_wait) as server:
        async with paid(server) as (engine, spending):
            await engine.warm_up()
            held = asyncio.Event()
            begin = spending.ledger.begin

            def slow(*arguments: Any) -> Any:
                asyncio.run_coroutine_threadsafe(_set(held), loop).result()
                return begin(*arguments)

            loop = asyncio.get_running_loop()
            spending.ledger.begin = slow  # type: ignore[method-assign,assignment]
            task = asyncio.create_task(engine.run(request(), lambda _event: None))
            await held.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert server.received == []
    assert month(spending) == Spent(Decimal(0), Decimal(0), 1)


async def _set(event: asyncio.Event) -> None:
    event.set()


async def test_a_ledger_that_cannot_be_written_stops_a_budget_and_nothing_else() -> None:
    app_paths().data.mkdir(parents=True)
    app_paths().ledger_folder.write_text("in its place")
    with OpenAIServer(answer("Hi", counts=COUNTS)) as server:
        async with paid(server, month_budget_usd=5.0) as (engine, _spending):
            assert "cannot be written" in failed(await run(engine)).problem.what
            assert server.received == []
        async with paid(server) as (engine, _spending):
            assert finished(await run(engine)).result.cost.usd == PRICE


async def test_no_word_of_a_question_or_answer_is_in_the_ledger() -> None:
    with OpenAIServer(answer("canary-answer", counts=COUNTS)) as server:
        async with paid(server) as (engine, _spending):
            finished(await run(engine, request(text="canary-question")))
    (file,) = app_paths().ledger_folder.glob("*.jsonl")
    lines = file.read_text()
    assert "canary" not in lines
    assert KEY not in lines
    assert [json.loads(line)["step"] for line in lines.splitlines()] == ["begun", "ended"]


async def test_the_tier_that_served_is_the_one_that_is_priced() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.say("Hi")
        await exchange.finish(usage=usage(1000, 100), service_tier="priority")

    with OpenAIServer(script) as server:
        async with paid(server) as (engine, _spending):
            result = finished(await run(engine)).result
    assert result.usage.service_tier == "priority"
    assert result.cost.usd == (1000 * Decimal("4.25") + 100 * 17) / 1_000_000
    assert result.cost.formula is not None
    assert result.cost.formula.startswith("gpt-4o (priority): ")


async def test_what_cannot_be_read_is_said_once_where_a_budget_rests_on_it() -> None:
    with OpenAIServer(answer("Hi", counts=COUNTS)) as server:
        async with paid(server) as (engine, _spending):
            await run(engine)
            (file,) = app_paths().ledger_folder.glob("*.jsonl")
            file.write_bytes(file.read_bytes() + b"torn\n")
            assert warnings(await run(engine)) == []
        async with paid(server, month_budget_usd=5.0) as (engine, _spending):
            (words,) = warnings(await run(engine))
            assert warnings(await run(engine)) == []
    assert "A line of the list of what was spent this month" in words
    assert "more may have been spent" in words


async def test_a_stop_does_not_wait_for_another_program() -> None:
    with OpenAIServer() as server, held(app_paths().ledger_folder):
        async with paid(server, month_budget_usd=5.0) as (engine, _spending):
            await engine.warm_up()
            events: list[Event] = []
            task = asyncio.create_task(engine.run(request(), events.append))
            await until(lambda: events)
            await asyncio.sleep(0.1)
            task.cancel()
            done, _pending = await asyncio.wait({task}, timeout=1)
            assert done
            with pytest.raises(asyncio.CancelledError):
                await task
            problem = failed(await run(engine)).problem
        assert server.received == []
    assert problem.code == "budget_reached"
    assert "locked" in problem.what
