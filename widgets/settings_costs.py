"""The Costs section of the Settings page: budgets, what was spent, prices. Must not know where any of it is kept."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from backends.spending import EVERY_MODEL, OwnPrice, Spent
from widgets import format as fmt
from widgets import parts, theme
from widgets.choice_card import clear
from widgets.money_field import MoneyField
from widgets.price_form import PriceForm
from widgets.settings_rows import RemovableList, row, section
from widgets.values import CostsView, PriceTableLine, SettingsView, SpentLine

NO_LIMIT = "no limit"
SPENT_SAYS = (
    "Paid to providers by runs of this machine, also with history off. A range counts answers that broke off or are "
    "under way with the most they can cost."
)
BUDGET_SAYS = "What could pass it is not sent. Empty: no limit. "
UPDATE_TIP = (
    "Fetch the newest table of genai-prices from raw.githubusercontent.com. Nothing of yours is sent, and it happens "
    "only when you press this."
)


class CostSettings(QWidget):
    """`changed` carries all settings after a budget changed, `price_added` an OwnPrice, `price_removed` its key."""

    changed = Signal(object)
    price_added = Signal(object)
    price_removed = Signal(object)
    update_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._view = SettingsView()
        self._keys: dict[str, tuple[str, str, object]] = {}
        self._session = MoneyField("Budget for a session", BUDGET_SAYS, empty=NO_LIMIT)
        self._session.settled.connect(lambda usd: self._put(session_budget_usd=_as_float(usd)))
        self._month = MoneyField("Budget for a month", BUDGET_SAYS, empty=NO_LIMIT)
        self._month.settled.connect(lambda usd: self._put(month_budget_usd=_as_float(usd)))
        self._troubles: list[QLabel] = []
        self._spent = QWidget()
        self._grid = QGridLayout(self._spent)
        self._prices = RemovableList(
            "None. A price of yours goes before the table's, and prices what is not in it.",
            "past runs keep what they cost",
        )
        self._prices.removed.connect(lambda key: self.price_removed.emit(self._keys[key]))
        self.form = PriceForm()
        self.form.added.connect(self.price_added)
        self._table = parts.label(wrap=True)
        self._update = parts.button("Update prices", UPDATE_TIP)
        self._update.clicked.connect(self.update_requested)
        self._lay_out()
        self.show_costs(CostsView())

    def _lay_out(self) -> None:
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(theme.WIDE)
        self._grid.setVerticalSpacing(theme.HAIR)
        own = QWidget()
        own.setLayout(parts.column(self._prices, self.form, gap=theme.GAP))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        rows = [
            row("Spent", SPENT_SAYS, self._spent, below=True),
            self._budget("Budget for a session", "A session lasts until you close Nearfar.", self._session),
            self._budget("Budget for a month", "A month is that of the calendar.", self._month),
            row("Your prices", "Dated, so that a new price never changes what earlier runs cost.", own, below=True),
            row("Table of prices", "genai-prices knows what most hosted models cost.", self._table_line(), below=True),
        ]
        layout.addWidget(section("Costs", rows))

    def _budget(self, name: str, says: str, field: MoneyField) -> QWidget:
        """The field, and below it what is wrong with what was typed there."""
        trouble = parts.label(role="caption", tone="danger", wrap=True)
        trouble.hide()
        self._troubles.append(trouble)

        def told(words: str) -> None:
            trouble.setText(words)
            trouble.setVisible(bool(words))

        field.troubled.connect(told)
        made = QWidget()
        made.setLayout(parts.column(row(name, f"{BUDGET_SAYS}{says}", field), trouble, gap=theme.HAIR))
        return made

    def budget_trouble(self) -> str:
        """What is wrong with a budget as it is typed, or empty."""
        return " ".join(each.text() for each in self._troubles if not each.isHidden())

    def _table_line(self) -> QWidget:
        made = QWidget()
        line = parts.row(self._table, self._update)
        line.setStretch(0, 1)
        made.setLayout(line)
        return made

    def show_settings(self, view: SettingsView) -> None:
        """Without a signal."""
        self._view = view
        self._session.show_amount(_as_decimal(view.session_budget_usd))
        self._month.show_amount(_as_decimal(view.month_budget_usd))

    def show_costs(self, view: CostsView) -> None:
        """What was spent, the person's prices and the table, without a signal."""
        clear(self._grid)
        if view.total is None or not view.total.month.runs + view.total.session.runs:
            self._grid.addWidget(parts.label("Nothing yet this month.", tone="muted"), 0, 0)
        else:
            self._show_spent([*view.by_provider, view.total])
        labels = dict(view.providers)
        self._keys = {repr(price.key): price.key for price in view.own_prices}
        self._prices.show_entries([(repr(price.key), price_words(price, labels)) for price in view.own_prices])
        self.form.set_providers(view.providers)
        self._table.setText(table_words(view.table))

    def spent_text(self) -> list[str]:
        """What the table of spent money says, cell by cell."""
        cells = (self._grid.itemAt(at) for at in range(self._grid.count()))
        return [widget.text() for cell in cells if cell is not None and (widget := cell.widget()) is not None]  # type: ignore[attr-defined]  # labels all

    def table_text(self) -> str:
        return self._table.text()

    def _show_spent(self, lines: list[SpentLine]) -> None:
        for column, title in enumerate(("", "This session", "This month")):
            self._grid.addWidget(parts.label(title, "caption", "muted"), 0, column)
        for at, line in enumerate(lines, start=1):
            role: theme.Role = "strong" if at == len(lines) else "body"
            texts = (line.label, spent_words(line.session), spent_words(line.month))
            for column, text in enumerate(texts):
                self._grid.addWidget(parts.label(text, role), at, column)
        self._grid.setColumnStretch(2, 1)

    def _put(self, **changes: object) -> None:
        self._view = replace(self._view, **changes)  # type: ignore[arg-type]  # mypy cannot follow ** into replace
        self.changed.emit(self._view)


def spent_words(spent: Spent) -> str:
    """`$1.24`, `$1.24 to $1.31`, with how many runs had no known price."""
    if not spent.runs:
        return "–"
    words = fmt.usd(spent.usd)
    if spent.at_most_usd != spent.usd:
        words = f"{words} to {fmt.usd_at_most(spent.at_most_usd)}"
    if spent.unpriced == spent.runs:
        return f"{fmt.plural(spent.runs, 'run')} without a known price"
    return f"{words}, and {fmt.plural(spent.unpriced, 'run')} without a known price" if spent.unpriced else words


def price_words(price: OwnPrice, labels: dict[str, str]) -> str:
    """`OpenAI gpt-4o from 1 November 2026: $2.50 in, $1.25 cached, $10 out`."""
    cached = price.cached_input_usd_per_mtok
    rates = [f"${price.input_usd_per_mtok:f} in", f"${price.output_usd_per_mtok:f} out"]
    if cached is not None:
        rates.insert(1, f"${cached:f} cached")
    model = "every model" if price.model == EVERY_MODEL else price.model
    label = labels.get(price.provider, price.provider)
    return f"{label}, {model}, from {fmt.day(price.valid_from)}: {', '.join(rates)}"


def table_words(table: PriceTableLine | None) -> str:
    if table is None:
        return "Not read yet."
    if table.fetched:
        return f"Fetched on {fmt.day(table.day)}."
    return f"As shipped: genai-prices {table.version} of {fmt.day(table.day)}."


def _as_float(usd: Decimal | None) -> float | None:
    return None if usd is None else float(usd)


def _as_decimal(usd: float | None) -> Decimal | None:
    return None if usd is None else Decimal(str(usd))
