"""Reads bounded fields out of a decoded JSON object. Pure: must not know which messages there are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeVar

Choice = TypeVar("Choice", bound=str)


class ProtocolError(Exception):
    """A line broke the protocol. Its text names the field and the rule, never the value, which may be a prompt."""


class Fields:
    """One JSON object; every reader raises ProtocolError where the value is missing, wrong or out of bounds."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise ProtocolError("not an object")
        self._values: dict[str, object] = value

    def has(self, name: str) -> bool:
        """True where the field is there and not null."""
        return self._values.get(name) is not None

    def integer(self, name: str, low: int, high: int) -> int:
        value = self._values.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ProtocolError(f"{name} must be an integer from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float) -> float:
        value = self._values.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ProtocolError(f"{name} must be a number")
        # A huge integer cannot become a float, and NaN fails every comparison.
        if not low <= value <= high or not math.isfinite(value):
            raise ProtocolError(f"{name} must be from {low} to {high}")
        return float(value)

    def text(self, name: str, max_chars: int, *, min_chars: int = 0) -> str:
        value = self._values.get(name)
        if not isinstance(value, str) or not min_chars <= len(value) <= max_chars:
            raise ProtocolError(f"{name} must be a text of {min_chars} to {max_chars} characters")
        return value

    def flag(self, name: str) -> bool:
        value = self._values.get(name)
        if not isinstance(value, bool):
            raise ProtocolError(f"{name} must be true or false")
        return value

    def choice(self, name: str, allowed: tuple[Choice, ...]) -> Choice:
        value = self._values.get(name)
        for option in allowed:
            if value == option:
                return option
        raise ProtocolError(f"{name} is not one of the known words")

    def items(self, name: str, max_items: int, *, min_items: int = 0) -> list[object]:
        value = self._values.get(name)
        if not isinstance(value, list) or not min_items <= len(value) <= max_items:
            raise ProtocolError(f"{name} must be a list of {min_items} to {max_items} items")
        return value

    def objects(self, name: str, max_items: int, *, min_items: int = 0) -> Iterator[Fields]:
        return map(Fields, self.items(name, max_items, min_items=min_items))

    def texts(self, name: str, max_items: int, max_chars: int, *, min_chars: int = 0) -> tuple[str, ...]:
        values = self.items(name, max_items)
        return tuple(Fields({name: value}).text(name, max_chars, min_chars=min_chars) for value in values)

    def integers(self, name: str, max_items: int, low: int, high: int) -> tuple[int, ...]:
        values = self.items(name, max_items)
        for value in values:
            if type(value) is not int or not low <= value <= high:
                raise ProtocolError(f"{name} must hold integers from {low} to {high}")
        return tuple(value for value in values if isinstance(value, int))

    def floats(self, name: str, max_items: int, low: float, high: float) -> tuple[float, ...]:
        return tuple(Fields({name: value}).number(name, low, high) for value in self.items(name, max_items))

    def numbers(self, name: str, max_items: int, low: float, high: float) -> dict[str, int | float]:
        """An object whose values are all bounded numbers."""
        value = self._values.get(name)
        if not isinstance(value, dict) or len(value) > max_items:
            raise ProtocolError(f"{name} must be an object of at most {max_items} numbers")
        result: dict[str, int | float] = {}
        for key, entry in value.items():
            if type(entry) is int and low <= entry <= high:
                result[str(key)[:64]] = entry
            else:
                result[str(key)[:64]] = Fields({name: entry}).number(name, low, high)
        return result

    def within(self, name: str) -> Fields:
        """The object under `name`."""
        return Fields(self._values.get(name))
