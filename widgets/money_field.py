"""A field for an amount of US dollars, exact to the digit. Must not know what the amount is for."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLineEdit

from widgets import parts

WIDTH = 140
LARGEST = Decimal(1_000_000)
MOST_DIGITS = 24
GROUPED = re.compile(r"\d{1,3}(,\d{3})+")  # nobody knows whether 2,500 is two and a half or more than two thousand


def amount(text: str) -> Decimal | None:
    """What was typed, with or without a dollar sign, None where nothing was; ValueError where it is no amount."""
    typed = text.strip().removeprefix("$").strip()
    if not typed:
        return None
    if "_" in typed:  # Python reads 2_50 as 250
        raise ValueError("Type an amount such as 2.50.")
    if "," in typed and ("." in typed or GROUPED.fullmatch(typed)):
        raise ValueError("Type an amount such as 2.50, without commas between thousands.")
    typed = typed.replace(",", ".")
    try:
        value = Decimal(typed)
    except InvalidOperation:
        raise ValueError("Type an amount such as 2.50.") from None
    if len(typed) > MOST_DIGITS or not value.is_finite() or not 0 <= value <= LARGEST:
        raise ValueError("Type an amount from 0 to 1,000,000.")
    return value


def _shown(value: Decimal) -> str:
    """Cents at least, and every digit there is."""
    places = -min(-2, int(value.normalize().as_tuple().exponent))
    return f"${value:.{places}f}"


class MoneyField(QLineEdit):
    """`settled` carries a Decimal or None once typing has ended on another amount.

    What is none stays until it is mended, and the amount from before holds; `troubled` carries a sentence about it, and
    an empty one as soon as the person types on.
    """

    settled = Signal(object)
    troubled = Signal(str)

    def __init__(self, name: str, tip: str, *, empty: str = "") -> None:
        super().__init__()
        self._amount: Decimal | None = None
        self._wrong = False
        self._empty = empty
        self.setAccessibleName(name)
        self.setAccessibleDescription(tip)
        parts.set_tip(self, tip)
        self.setPlaceholderText(empty)
        self.setMaxLength(MOST_DIGITS + 2)
        self.setFixedWidth(WIDTH)
        self.editingFinished.connect(self._settle)
        self.textEdited.connect(lambda _text: self.troubled.emit(""))

    def show_amount(self, value: Decimal | None) -> None:
        """Without a signal; not while the person types here, nor over what they have to mend."""
        self._amount = value
        if not self._wrong and not (self.hasFocus() and self.isModified()):
            self._say()

    def _settle(self) -> None:
        try:
            typed = amount(self.text())
        except ValueError as error:
            self._wrong = True
            holds = _shown(self._amount) if self._amount is not None else self._empty
            self.troubled.emit(f"{error} Until then it is {holds}." if holds else str(error))
            return
        self._wrong = False
        self.troubled.emit("")
        changed, self._amount = typed != self._amount, typed
        self._say()
        if changed:
            self.settled.emit(typed)

    def _say(self) -> None:
        self.setText("" if self._amount is None else _shown(self._amount))
        self.setModified(False)
