"""Stands before every question that costs money: what could pass a budget is not sent. Must not know protocols or keys.

allowed where   spent (broken answers with their upper bound) + upper bounds of runs under way + this one <= budget
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from backends.cloud.estimate import cents_down, cents_up
from backends.cloud.ledger import Ledger
from backends.cloud.price_table import TableInfo
from backends.cloud.price_update import Progress, consent, update_prices
from backends.cloud.prices import Prices, local_day
from backends.cloud.providers import Endpoint
from backends.egress import Egress
from backends.errors import BudgetReached
from backends.paths import Paths
from backends.records import Cost, RunRequest
from backends.settings import Settings
from backends.spending import Estimate, Spent, Totals

log = logging.getLogger(__name__)

WARN_FROM = Decimal("0.8")


@dataclass(frozen=True, slots=True)
class Budget:
    """One limit in US dollars: `name` as in a sentence, `of` picks what counts against it."""

    name: str
    usd: Decimal
    of: Callable[[Totals], Spent]

    @property
    def words(self) -> str:
        """`$5.00`: cents at least, and every digit there is."""
        exponent = self.usd.normalize().as_tuple().exponent
        return f"${self.usd:.{max(2, -int(exponent))}f}"


@dataclass(frozen=True, slots=True)
class Reservation:
    """A run that may be sent. `warnings` are sentences for the person; `written` False where no budget is set and the
    ledger could not be written."""

    run_id: str
    warnings: tuple[str, ...]
    written: bool
    limited: bool


class Spending:
    """Prices, ledger and budgets together. Its coroutines run on the engine loop and touch the disk in threads."""

    def __init__(self, paths: Paths, settings: Callable[[], Settings]) -> None:
        self.prices = Prices(paths)
        self.ledger = Ledger(paths.ledger_folder, old_file=paths.old_ledger_file)
        self._settings = settings
        self._unreadable_told = 0

    def budgets(self) -> tuple[Budget, ...]:
        """Those that are set now."""
        chosen = self._settings()
        set_now = (
            ("session", chosen.session_budget_usd, lambda totals: totals.session),
            ("month", chosen.month_budget_usd, lambda totals: totals.month),
        )
        return tuple(Budget(name, Decimal(str(usd)), of) for name, usd, of in set_now if usd is not None)

    async def update_prices(self, egress: Egress, progress: Progress, stop: threading.Event) -> TableInfo | None:
        """The person clicked: fetch new prices, see `price_update.update_prices`. Raises also NetworkNotAllowed under
        local only; None where they stopped it."""
        consent(egress, local_only=lambda: self._settings().local_only is True)
        return await update_prices(self.prices.table, egress, local_day(), progress, stop)

    async def open_purse(self, endpoint: Endpoint, model: str, request: RunRequest) -> Purse:
        """`reserve`, for a question that may take more than one request."""
        return Purse(self, endpoint, model, request, await self.reserve(endpoint, model, request))

    async def reserve(self, endpoint: Endpoint, model: str, request: RunRequest) -> Reservation:
        """Before a question is sent: count its upper bound as spent. Raises BudgetReached where it could pass a budget,
        and CancelledError, after either of which nothing is reserved."""
        stop = threading.Event()
        work = asyncio.ensure_future(asyncio.to_thread(self._reserve, endpoint, model, request, stop))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()  # it may wait for another program
            await asyncio.wait({work})
            if work.exception() is None:
                await self._end(work.result(), Decimal(0), estimated=False)
            raise

    async def settle(self, reservation: Reservation, cost: Cost, *, may_be_charged: bool) -> None:
        """After a run, whatever became of it: count what it cost in place of its upper bound. Never raises."""
        if not may_be_charged:
            await self._end(reservation, Decimal(0), estimated=False)
        else:
            await self._end(reservation, cost.usd, estimated=cost.basis != "api_price")

    def _reserve(self, endpoint: Endpoint, model: str, request: RunRequest, stop: threading.Event) -> Reservation:
        budgets = self.budgets()
        found = self.prices.estimate(endpoint, model, request.prompt, request.sampling)
        at_most = found.high_usd
        if found.low_usd is None and endpoint.charges_nobody:
            return Reservation(request.run_id, (), written=False, limited=False)
        if budgets and at_most is None:
            raise _unbounded(budgets[0], model, found)

        def check(totals: Totals) -> None:
            for budget in budgets:
                assert at_most is not None, "refused above"
                _check(budget, budget.of(totals), at_most, model)

        try:
            after = self.ledger.begin(request.run_id, endpoint.key_name, model, at_most, check, stop)
        except OSError as error:
            if budgets:
                raise _unwritten(self.ledger, error) from error
            log.warning("the spending ledger cannot be written: %s", error.strerror)
            return Reservation(request.run_id, (), written=False, limited=False)
        warnings = [words for budget in budgets if (words := _warning(budget, budget.of(after)))]
        if budgets and after.unreadable > self._unreadable_told:
            self._unreadable_told = after.unreadable
            warnings.append(_left_out(self.ledger, after.unreadable))
        return Reservation(request.run_id, tuple(warnings), written=True, limited=bool(budgets))

    async def _end(self, reservation: Reservation, usd: Decimal | None, *, estimated: bool) -> None:
        if not reservation.written:
            return
        work = asyncio.ensure_future(
            asyncio.to_thread(self.ledger.end, reservation.run_id, usd, estimated=estimated),
        )
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait({work})
            raise
        except (OSError, KeyError) as error:  # its upper bound goes on counting, which no budget is hurt by
            log.warning("the spending ledger could not be written: %s", type(error).__name__)


class Purse:
    """What is set aside for one question. A further request that it does not cover is set aside apart, before it is
    sent, and what was set aside for the one before goes on counting where that may have been billed."""

    def __init__(
        self, spending: Spending, endpoint: Endpoint, model: str, request: RunRequest, reserved: Reservation
    ) -> None:
        self._spending = spending
        self._endpoint = endpoint
        self._model = model
        self._request = request
        self._reserved = reserved
        self._requests = 1
        self.warnings = reserved.warnings
        self.limited = reserved.limited

    async def renew(self, *, may_be_charged: bool) -> None:
        """Before another request; `may_be_charged` is of the one before. Raises as `Spending.reserve` does."""
        await self.settle(Cost(None, "usage_missing"), may_be_charged=may_be_charged)
        self._requests += 1
        again = replace(self._request, run_id=f"{self._request.run_id}/{self._requests}")
        self._reserved = await self._spending.reserve(self._endpoint, self._model, again)

    async def settle(self, cost: Cost, *, may_be_charged: bool) -> None:
        """As `Spending.settle`, once: nothing more is set aside then."""
        reserved, self._reserved = self._reserved, replace(self._reserved, written=False)
        await self._spending.settle(reserved, cost, may_be_charged=may_be_charged)


def _check(budget: Budget, spent: Spent, at_most: Decimal, model: str) -> None:
    left = budget.usd - spent.at_most_usd
    if at_most > left:
        raise BudgetReached(
            f"A question to {model} could cost up to ${cents_up(at_most)}, and ${cents_down(left)} is left of the "
            f"{budget.name} budget of {budget.words}."
        )


def _unbounded(budget: Budget, model: str, found: Estimate) -> BudgetReached:
    if found.unlimited:
        return BudgetReached(
            f"Without a limit on the answer, nobody can say what {model} would cost, and there is a {budget.name} "
            f"budget of {budget.words}.",
            fix="Set a longest answer (Max tokens), or remove the budget in Settings.",
        )
    if found.low_usd is not None:
        return BudgetReached(
            f"What {model} costs depends on who answers, and the server takes no highest price, so the {budget.name} "
            f"budget of {budget.words} cannot be kept.",
            fix="Choose another model, or remove the budget in Settings.",
        )
    return BudgetReached(
        f"No price is known for {model}, so the {budget.name} budget of {budget.words} cannot be kept.",
        fix="Give it a price in Settings (0 where it costs nothing), or remove the budget.",
    )


def _unwritten(ledger: Ledger, error: OSError) -> BudgetReached:
    if isinstance(error, TimeoutError):
        return BudgetReached(
            f"Another program keeps the list of what was spent in {ledger.folder} locked, so no budget can be kept.",
            fix="Ask again in a moment, or close other Nearfars.",
        )
    return BudgetReached(
        f"The list of what was spent, in {ledger.folder}, cannot be written ({error.strerror}), so no budget can be "
        "kept.",
        fix="Check that the folder can be written and the disk is not full, or remove the budget in Settings.",
    )


def _left_out(ledger: Ledger, lines: int) -> str:
    which = "A line" if lines == 1 else f"{lines:,} lines"
    return (
        f"{which} of the list of what was spent this month, in {ledger.folder}, cannot be read: more may have been "
        "spent than counts against your budget."
    )


def _warning(budget: Budget, spent: Spent) -> str:
    if spent.at_most_usd < budget.usd * WARN_FROM:
        return ""
    share = f"{spent.at_most_usd / budget.usd:.0%}" if budget.usd else "100%"
    left = cents_down(budget.usd - spent.at_most_usd)
    return (
        f"With this question, up to {share.replace('%', ' %')} of the {budget.name} budget of {budget.words} is "
        f"spent; ${left} is left."
    )
