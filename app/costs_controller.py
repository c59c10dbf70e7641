"""The Costs section of the Settings page: what was spent, prices, their update. Must not paint nor do sums."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject, Slot

from app.engine_thread import EngineThread
from app.work import Work
from backends.cloud.price_table import TableInfo
from backends.cloud.providers import shipped_endpoints
from backends.errors import NearfarError, Problem
from backends.spending import OwnPrice, Spent, Totals
from backends.workbench import Workbench
from widgets.main_window import MainWindow
from widgets.settings_page import SettingsPage
from widgets.values import CostsView, PriceTableLine, SpentLine

PAGE = "settings"
UNREAD = Problem("ledger", "The list of what was spent could not be read.", "Nothing was lost.", "Look at the log.")


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read from disk."""

    totals: Totals
    table: TableInfo | None


class CostsController(QObject):
    """`changed` is called when prices are others now, or a host was contacted for them."""

    def __init__(
        self,
        page: SettingsPage,
        window: MainWindow,
        engine: EngineThread,
        bench: Workbench,
        *,
        changed: Callable[[], None],
    ) -> None:
        super().__init__(page)
        self._page = page
        self._window = window
        self._engine = engine
        self._bench = bench
        self._changed = changed
        page.costs.price_added.connect(self._add)
        page.costs.price_removed.connect(self._remove)
        page.costs.update_requested.connect(self._update)
        window.page_chosen.connect(self._page_chosen)

    @Slot(str)
    def _page_chosen(self, key: str) -> None:
        if key == PAGE:
            self.refresh()

    def runs_changed(self) -> None:
        """A run began or ended: show it where the page is open."""
        if self._window.current_page() == PAGE:
            self.refresh()

    def refresh(self) -> None:
        """Read and show everything, off the GUI thread."""
        self._engine.ask(asyncio.to_thread(_read, self._bench), self._show, self._failed)

    def _show(self, read: _Read) -> None:
        providers = _priced_providers(self._bench)
        labels = dict(providers)
        session, month = dict(read.totals.session_by_provider), dict(read.totals.month_by_provider)
        names = dict.fromkeys([*month, *session])
        lines = [SpentLine(labels.get(n, n), session.get(n, Spent()), month.get(n, Spent())) for n in names]
        table = read.table
        self._page.costs.show_costs(
            CostsView(
                total=SpentLine("All providers", read.totals.session, read.totals.month),
                by_provider=tuple(sorted(lines, key=lambda line: line.label)),
                own_prices=self._bench.spending.prices.book.rows,
                providers=providers,
                table=None if table is None else PriceTableLine(table.version, table.day, table.fetched),
            )
        )

    @Slot(object)
    def _add(self, price: OwnPrice) -> None:
        def done(_none: None) -> None:
            self._page.costs.form.clear()
            self._prices_changed()

        self._engine.ask(asyncio.to_thread(self._bench.spending.prices.book.add, price), done, self._failed)

    @Slot(object)
    def _remove(self, key: tuple[str, str, object]) -> None:
        work = asyncio.to_thread(self._bench.spending.prices.book.remove, key)  # type: ignore[arg-type]  # as shown
        self._engine.ask(work, lambda _none: self._prices_changed(), self._failed)

    @Slot()
    def _update(self) -> None:
        says = "Fetching the newest table of prices…"
        work = Work(self._window, self._engine, "Update prices", says, "The prices in use stay")

        def done(info: TableInfo | None) -> None:
            self._page.show_problem(None)
            if info is not None:
                self._prices_changed()

        def failed(error: BaseException) -> None:
            self._failed(error)
            self._changed()

        work.run(self._bench.spending.update_prices(self._bench.egress, work.progress, work.stop), done, failed)

    def _prices_changed(self) -> None:
        self.refresh()
        self._changed()

    def _failed(self, error: BaseException) -> None:
        self._page.show_problem(error.problem if isinstance(error, NearfarError) else UNREAD)


def _priced_providers(bench: Workbench) -> tuple[tuple[str, str], ...]:
    """(name, label) of everyone whose answers can have a price: as in the ledger and in prices of one's own."""
    known = {name: endpoint.label for name, endpoint in shipped_endpoints().items()}
    known |= {f"custom:{name}": name for name in bench.settings.custom_servers if name not in known}
    used = {row.provider for row in bench.spending.prices.book.rows} - set(known)
    return (*known.items(), *((name, name.removeprefix("custom:")) for name in sorted(used)))


def _read(bench: Workbench) -> _Read:
    """Runs in a thread."""
    bench.spending.prices.load()
    return _Read(bench.spending.ledger.totals(), bench.spending.prices.table.info)
