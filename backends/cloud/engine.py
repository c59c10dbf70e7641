"""Asks a model behind the OpenAI protocol and streams its answer. Must not know where keys are kept, nor any screen.

The SDK and the price table are imported off the loop when the first question is asked: together they take seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

from backends.cloud import pricing
from backends.cloud.budget import Purse, Spending
from backends.cloud.offers import retires_on
from backends.cloud.patience import Patience
from backends.cloud.providers import CloudModel, Endpoint, model_of
from backends.egress import Egress
from backends.errors import CloudError, KeyMissing, KeyRefused, NearfarError
from backends.events import Emit
from backends.keys import Secret
from backends.records import Cost, RunRequest, Usage
from backends.tally import Tally

if TYPE_CHECKING:
    from backends.cloud.attempt import Setting

log = logging.getLogger(__name__)

PURPOSE = "ask a model"
HTTPS_PORT = 443

CostOf = Callable[[str, Usage], Cost]


class CloudEngine:
    """One server. `key` is asked for at each run; `cost_of` prices a model's usage, by the table if not given.

    With `spending`, its prices hold, every run is in its ledger, and what could pass a budget is not sent.
    `offered` is what its provider has today, and `retires` the last day of a model, by the shipped table if not given;
    both for the words about a model that is gone. `refused` is told of a key that the server did not accept, with the
    very key that was sent.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        egress: Egress,
        key: Callable[[], Secret | None],
        cost_of: CostOf | None = None,
        spending: Spending | None = None,
        offered: Callable[[], Sequence[CloudModel]] = tuple,
        retires: Callable[[str], date | None] | None = None,
        refused: Callable[[Secret], None] = lambda _key: None,
        patience: Patience | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._offered = offered
        self._retires = retires or partial(retires_on, endpoint, None)
        self._refused = refused
        self._egress = egress
        self._key = key
        self._spending = spending
        self._cost_of = cost_of or self._price
        self._patience = patience or Patience()
        self._setting: Setting | None = None
        self._preparing = asyncio.Lock()

    def tally(self, request: RunRequest, emit: Emit) -> Tally:
        """Books for one run, with this server's prices."""
        model = model_of(request.target)
        settings = asdict(request.sampling)
        tally = Tally(request, emit, cost_of=lambda usage: self._cost_of(model, usage), settings=settings)
        tally.model = model
        if self._spending is not None:
            prices, prompt = self._spending.prices, request.prompt
            tally.broken_cost_of = lambda text: self._own(prices.broken_cost(self.endpoint, model, prompt, text))
        return tally

    async def run(self, request: RunRequest, emit: Emit) -> None:
        """See `Engine.run`."""
        tally = self.tally(request, emit)
        tally.started()
        await self.run_into(tally, request)

    async def run_into(self, tally: Tally, request: RunRequest) -> None:
        """`run`, into books where the run has started."""
        try:
            await self._answer(tally, request)
        except asyncio.CancelledError:
            tally.cancelled()
            raise
        except NearfarError as error:
            log.info("%s: %s", self.endpoint.provider, error.problem.code)
            tally.failed(error)
        except Exception as error:  # noqa: BLE001  an engine promises one terminal event, whatever happens
            log.error("%s: unexpected %s", self.endpoint.provider, type(error).__name__)  # its text may hold the prompt
            tally.failed(CloudError(f"Asking {self.endpoint.label} failed unexpectedly ({type(error).__name__})."))

    async def warm_up(self) -> None:
        """Import and read what the first question would wait for; contacts nobody. Raises NetworkNotAllowed."""
        async with self._preparing:
            if self._setting is None:
                self._setting = await asyncio.to_thread(self._prepare)

    async def close(self) -> None:
        setting, self._setting = self._setting, None
        if setting is not None:
            await setting.client.close()

    async def _answer(self, tally: Tally, request: RunRequest) -> None:
        endpoint = self.endpoint
        self._egress.check(PURPOSE, endpoint.base_url)
        if endpoint.sent_on_to is not None:
            self._egress.check_host(PURPOSE, endpoint.sent_on_to, HTTPS_PORT)
        key = self._key()
        if key is None and endpoint.needs_key:
            raise KeyMissing(f"{endpoint.label} needs an API key.")
        if self._setting is None:
            tally.notice("preparing", "Loading the cloud client…")
            await self.warm_up()
            tally.notice("preparing", "")
        assert self._setting is not None
        if self._spending is None:
            await self._attempt(self._setting, tally, request, key)
        else:
            await self._attempt_within(self._spending, self._setting, tally, request, key)

    async def _attempt_within(
        self, spending: Spending, setting: Setting, tally: Tally, request: RunRequest, key: Secret | None
    ) -> None:
        """The one way to a provider that is paid: the ledger knows of it before and after. Raises BudgetReached."""
        purse = await spending.open_purse(self.endpoint, model_of(request.target), request)
        try:
            for words in purse.warnings:
                tally.notice("budget", words)
            await self._attempt(setting, tally, request, key, purse)
        except asyncio.CancelledError:
            tally.cancelled()
            raise
        except NearfarError as error:
            tally.failed(error)
        finally:
            cost = tally.result.cost if tally.result is not None else Cost(None, "usage_missing")
            await purse.settle(cost, may_be_charged=tally.may_be_charged)

    async def _attempt(
        self, setting: Setting, tally: Tally, request: RunRequest, key: Secret | None, purse: Purse | None = None
    ) -> None:
        from backends.cloud.attempt import Attempt  # in memory since warm_up

        model = model_of(request.target)
        prices = self._spending.prices if self._spending is not None else None
        ceiling = None if prices is None else prices.ceiling(self.endpoint, model, request.prompt)
        try:
            await Attempt(setting, tally, request, model, key, purse, ceiling).answer()
        except KeyRefused:
            if key is not None:
                self._refused(key)  # before anybody hears of it, so that Retry asks for another
            raise

    def _prepare(self) -> Setting:
        """Runs in a thread: these imports take seconds."""
        from backends.cloud import sdk
        from backends.cloud.attempt import Setting
        from backends.cloud.guard import bound_response

        if self._spending is not None:
            self._spending.prices.load()
        else:
            pricing.load_prices_now()
        sdk.rehearse()
        http = self._egress.http_client(PURPOSE, self.endpoint.base_url)
        http.event_hooks = {"request": [], "response": [bound_response]}
        client = sdk.make_client(self.endpoint.base_url, http, sdk.timeout_of(self._patience))
        refused = {} if self._spending is None else self._spending.prices.refused_at(self.endpoint.base_url)
        return Setting(client, self.endpoint, self._patience, refused, self._offered, self._retires)

    def _price(self, model: str, usage: Usage) -> Cost:
        endpoint = self.endpoint
        if self._spending is not None:
            cost = self._spending.prices.cost(endpoint, model, usage)
        else:
            cost = pricing.cost(endpoint.price_provider, model, usage, price_as_of=endpoint.price_as_of)
        return self._own(cost)

    def _own(self, cost: Cost) -> Cost:
        """What a server took that people run themselves on this machine is not measured."""
        is_own = cost.basis == "unknown_price" and self.endpoint.charges_nobody
        return Cost(None, "not_measured") if is_own else cost
