"""The person's own prices with the day each begins to hold, in a file of their own. Must not know what runs cost.

A run is priced by the newest row that had begun on its day, and keeps what it cost: a change here never reaches back.
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from backends.errors import SettingsNotSaved
from backends.files import replace_file
from backends.spending import EVERY_MODEL, OwnPrice

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 4_000_000
MAX_ROWS = 5_000


def _plain_name(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError("a name has no line breaks and no spaces around it")
    return name


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain_name)]
Rate = Annotated[Decimal, Field(ge=0, le=1_000_000, allow_inf_nan=False, decimal_places=12)]


class _Row(BaseModel):
    """One row as the file or a person gives it."""

    model_config = ConfigDict(extra="ignore")

    provider: Name
    model: Name
    valid_from: date
    input_usd_per_mtok: Rate
    cached_input_usd_per_mtok: Rate | None = None
    output_usd_per_mtok: Rate

    def value(self) -> OwnPrice:
        return OwnPrice(**self.model_dump())


def checked(price: OwnPrice) -> OwnPrice:
    """The same price, every value within its limits; raises ValueError with a sentence."""
    try:
        return _Row.model_validate(asdict(price)).value()
    except ValidationError as error:
        raise ValueError(_first_reason(error)) from error


class PriceBook:
    """Rows in memory and on disk. Safe to use from any thread; `load`, `add` and `remove` touch the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: tuple[OwnPrice, ...] = ()
        self._lock = threading.Lock()

    @property
    def rows(self) -> tuple[OwnPrice, ...]:
        """By provider, model and day, newest day first."""
        return self._rows

    def load(self) -> tuple[str, ...]:
        """Read the file; returns a sentence for each thing that could not be used. Never raises."""
        with self._lock:
            self._rows, warnings = self._read()
        return warnings

    def add(self, price: OwnPrice) -> None:
        """Keep a price; one of the same model and day is replaced. Raises SettingsNotSaved."""
        try:
            price = checked(price)
        except ValueError as error:
            raise SettingsNotSaved(f"This price cannot be used: {error}.", fix="Change that value.") from error
        self._change([price], price.key)

    def remove(self, key: tuple[str, str, date]) -> None:
        """Take a row out; idempotent. What past runs cost stays as it was. Raises SettingsNotSaved."""
        self._change([], key)

    def find(self, provider: str, model: str, day: date) -> OwnPrice | None:
        """The newest row that holds on `day`: of this very model, else of every model of the provider."""
        for name in (model, EVERY_MODEL):
            rows = [row for row in self._rows if (row.provider, row.model) == (provider, name)]
            begun = [row for row in rows if row.valid_from <= day]
            if begun:
                return max(begun, key=lambda row: row.valid_from)
        return None

    def _change(self, added: list[OwnPrice], replaced: tuple[str, str, date]) -> None:
        with self._lock:
            kept, _warnings = self._read()  # another Nearfar may have written meanwhile
            rows = _in_order([*(row for row in kept if row.key != replaced), *added])
            if len(rows) > MAX_ROWS:
                raise SettingsNotSaved(f"There are {MAX_ROWS:,} prices already.", fix="Remove some.")
            stored = {"prices": [_Row(**asdict(row)).model_dump(mode="json") for row in rows]}
            try:
                replace_file(self.path, (json.dumps(stored, indent=2) + "\n").encode())
            except OSError as error:
                raise SettingsNotSaved(f"Your prices could not be saved in {self.path}: {error.strerror}.") from error
            self._rows = rows

    def _read(self) -> tuple[tuple[OwnPrice, ...], tuple[str, ...]]:
        try:
            with self.path.open("rb") as file:
                raw = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return (), ()
        except OSError as error:
            return (), (f"Your prices in {self.path} could not be read: {error.strerror}. The file is as it was.",)
        try:
            listed = json.loads(raw, parse_float=Decimal)["prices"] if len(raw) <= MAX_FILE_BYTES else None
        except (ValueError, KeyError, TypeError, RecursionError):
            listed = None
        if not isinstance(listed, list):
            return (), (f"Your prices could not be read. {self._keep_damaged(raw)}",)
        rows, bad = _usable(listed[:MAX_ROWS])
        return rows, (f"{bad} of your prices could not be used. {self._keep_damaged(raw)}",) if bad else ()

    def _keep_damaged(self, raw: bytes) -> str:
        copy = self.path.with_name(self.path.name + ".bad")
        try:
            replace_file(copy, raw)
        except OSError:
            return f"The file {self.path} is as it was until a price is saved."
        return f"The file as it was is kept as {copy}."


def _usable(listed: list[Any]) -> tuple[tuple[OwnPrice, ...], int]:
    rows: list[OwnPrice] = []
    for each in listed:
        try:
            rows.append(_Row.model_validate(each).value())
        except ValidationError as error:
            log.warning("a price was left out: %s", _first_reason(error))
    return _in_order(rows), len(listed) - len(rows)


def _in_order(rows: list[OwnPrice]) -> tuple[OwnPrice, ...]:
    newest_first = sorted(rows, key=lambda row: row.valid_from, reverse=True)
    return tuple(sorted(newest_first, key=lambda row: (row.provider, row.model)))


def _first_reason(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in found["loc"])
    return f"{place}: {found['msg'].removeprefix('Value error, ').rstrip('.')}"
