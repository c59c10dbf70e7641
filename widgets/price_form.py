"""Adds a price of the person's own: provider, model, first day, three rates. Must not know where prices are kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QLineEdit, QVBoxLayout, QWidget

from backends.spending import EVERY_MODEL, OwnPrice
from widgets import parts, theme
from widgets.menu_chip import MenuChip
from widgets.money_field import amount

SAYS = "US dollars per million tokens. Without a cached price, cached input costs as input."


class PriceForm(QWidget):
    """`added` carries an OwnPrice. What cannot be read is said below the fields, and nothing is lost."""

    added = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._provider = MenuChip("Provider", "Whose price it is")
        self._provider.set_options((("", "Provider"),))
        self._model = _field("Model", f"The model's name at the provider; {EVERY_MODEL} is every model there", "gpt-4o")
        self._since = _field("Valid from", "The first day on which it holds, as YEAR-MONTH-DAY", "2026-11-23")
        self._input = _field("Input", f"Price of input. {SAYS}", "2.50")
        self._cached = _field("Cached input", f"Price of input from the provider's cache. {SAYS}", "as input")
        self._output = _field("Output", f"Price of output, reasoning included. {SAYS}", "10")
        self._add = parts.button("Add price", "Price this model's runs so from that day on; past costs stay")
        self._add.clicked.connect(self._read)
        self._trouble = parts.label(role="caption", tone="danger", wrap=True)
        self._trouble.hide()
        self._lay_out()
        for field in self._fields():
            field.returnPressed.connect(self._read)
            field.textEdited.connect(self._trouble.hide)
        self.clear()

    def _fields(self) -> list[QLineEdit]:
        return [self._model, self._since, self._input, self._cached, self._output]

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(theme.TIGHT)
        grid.setVerticalSpacing(theme.HAIR)
        places: list[tuple[str, QWidget, int, int, int]] = [
            ("Provider", self._provider, 0, 0, 1),
            ("Model (* is every model)", self._model, 0, 1, 2),
            ("Valid from", self._since, 0, 3, 1),
            ("Input, per million tokens", self._input, 2, 0, 1),
            ("Cached input", self._cached, 2, 1, 1),
            ("Output", self._output, 2, 2, 1),
        ]
        for name, field, row, column, span in places:
            caption = parts.label(name, "caption", "muted")
            caption.setBuddy(field)
            grid.addWidget(caption, row, column, 1, span)
            grid.addWidget(field, row + 1, column, 1, span)
        grid.addWidget(self._add, 3, 3)
        for column in range(4):
            grid.setColumnStretch(column, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.TIGHT)
        layout.addLayout(grid)
        layout.addWidget(self._trouble)

    def set_providers(self, providers: Sequence[tuple[str, str]]) -> None:
        """(name, label) of those that can be chosen."""
        if providers:
            self._provider.set_options(providers)

    def clear(self) -> None:
        """After a price was added; the day is today's again."""
        for field in self._fields():
            field.clear()
        self._since.setText(date.today().isoformat())  # noqa: DTZ011  the person's own calendar

    def trouble(self) -> str:
        """What is wrong with what was typed, or empty."""
        return "" if self._trouble.isHidden() else self._trouble.text()

    def _read(self) -> None:
        try:
            price = self._price()
        except ValueError as error:
            self._trouble.setText(str(error))
            self._trouble.show()
            return
        self._trouble.hide()
        self.added.emit(price)

    def _price(self) -> OwnPrice:
        model = self._model.text().strip()
        if not self._provider.value():
            raise ValueError("Choose whose price it is.")
        if not model:
            raise ValueError(f"Type the model's name, or {EVERY_MODEL} for every model of this provider.")
        try:
            since = date.fromisoformat(self._since.text().strip())
        except ValueError:
            raise ValueError("Type the first day as YEAR-MONTH-DAY, for example 2026-11-23.") from None
        return OwnPrice(
            provider=self._provider.value(),
            model=model,
            valid_from=since,
            input_usd_per_mtok=_rate(self._input, "the price of input"),
            output_usd_per_mtok=_rate(self._output, "the price of output"),
            cached_input_usd_per_mtok=amount(self._cached.text()),
        )


def _rate(field: QLineEdit, what: str) -> Decimal:
    value = amount(field.text())
    if value is None:
        raise ValueError(f"Type {what}; 0 where it costs nothing.")
    return value


def _field(name: str, tip: str, example: str) -> QLineEdit:
    made = QLineEdit()
    made.setAccessibleName(name)
    made.setAccessibleDescription(tip)
    parts.set_tip(made, tip)
    made.setPlaceholderText(example)
    return made
