"""The table of prices: the one in the package genai-prices, or a newer one that the person fetched. Must never fetch.

The package keeps one table for the whole process and would replace it itself; here each `PriceTable` has its own.
"""

from __future__ import annotations

import importlib
import json
import logging
import threading
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from backends.errors import PricesNotUpdated
from backends.files import replace_file

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

log = logging.getLogger(__name__)

PACKAGE_DAY = date(2026, 11, 10)  # when the locked genai-prices was released; a test holds both together
MAX_TABLE_BYTES = 16_000_000
ANCHOR = "openai"


@dataclass(frozen=True, slots=True)
class TableInfo:
    """Which table holds: `day` is when it was released or fetched, `version` that of the package."""

    version: str
    day: date
    fetched: bool
    models: int


class PriceTable:
    """One table in memory. `load` takes about a second (call it off the loop); safe to read from any thread."""

    def __init__(self, kept: Path | None = None) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._snapshot: DataSnapshot | None = None
        self._info: TableInfo | None = None

    @property
    def info(self) -> TableInfo | None:
        """None until the table is loaded."""
        return self._info

    def load(self) -> DataSnapshot:
        """The table, read at the first call: the kept file where it is newer than the package and can be read."""
        with self._lock:
            if self._snapshot is None:
                found = self._read_kept()
                self._put(*found) if found is not None else self._put(_of_package(), None)
            assert self._snapshot is not None, "just put"
            return self._snapshot

    def replace(self, raw: bytes, day: date) -> TableInfo:
        """Take a fetched table, once it can be read and kept; raises PricesNotUpdated, and the old one then stays."""
        snapshot = parsed(raw)
        head = json.dumps({"fetched_on": day.isoformat(), "package": _version()})
        if self._kept is not None:
            try:
                replace_file(self._kept, head.encode() + b"\n" + raw)
            except OSError as error:
                raise PricesNotUpdated(
                    f"The new prices could not be saved in {self._kept}: {error.strerror}.",
                    fix="Check that the folder can be written and the disk is not full.",
                ) from error
        with self._lock:
            self._put(snapshot, day)
            assert self._info is not None, "just put"
            return self._info

    def source(self, as_of: str | None) -> str:
        """Whose price it is, in words; `as_of` is when the provider's prices in the package were last checked."""
        info = self._info
        if info is None or not info.fetched:
            checked = f", checked {as_of}" if as_of else ""
            return f"genai-prices {_version()}{checked}"
        return f"genai-prices, updated {info.day.isoformat()}"

    def day_of(self, as_of: str | None) -> str | None:
        """The ISO date of its prices: the day they were fetched, else `as_of`."""
        info = self._info
        return info.day.isoformat() if info is not None and info.fetched else as_of

    def _put(self, snapshot: DataSnapshot, fetched_on: date | None) -> None:
        models = _n_models(snapshot)
        self._snapshot = snapshot
        self._info = TableInfo(_version(), fetched_on or PACKAGE_DAY, fetched_on is not None, models)

    def _read_kept(self) -> tuple[DataSnapshot, date] | None:
        if self._kept is None:
            return None
        try:
            with self._kept.open("rb") as file:
                content = file.read(MAX_TABLE_BYTES + 10_000)
            head, _newline, raw = content.partition(b"\n")
            day = date.fromisoformat(json.loads(head)["fetched_on"])
            return (parsed(raw), day) if day > PACKAGE_DAY else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, PricesNotUpdated) as error:
            log.warning("the kept table of prices is not used: %s", type(error).__name__)
            return None


def parsed(raw: bytes) -> DataSnapshot:
    """A fetched table as the package reads it; raises PricesNotUpdated for anything that is none."""
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import _providers_from_raw

    if len(raw) > MAX_TABLE_BYTES:
        raise PricesNotUpdated("What was sent is far too large for a table of prices.")
    try:
        listed = json.loads(raw, parse_constant=_no_number)
        snapshot = DataSnapshot(_providers_from_raw(listed), from_auto_update=False)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise PricesNotUpdated("What was sent is not a table of prices, or is damaged.") from None
    ours = _of_package()
    if not any(each.id == ANCHOR for each in snapshot.providers) or _n_models(snapshot) < _n_models(ours) / 2:
        raise PricesNotUpdated("The table that was sent lacks most of the models that have a price now.")
    return snapshot


def _of_package() -> DataSnapshot:
    from genai_prices.data_snapshot import DataSnapshot

    return DataSnapshot(importlib.import_module("genai_prices.data").providers, from_auto_update=False)


def _n_models(snapshot: DataSnapshot) -> int:
    return sum(len(provider.models) for provider in snapshot.providers)


def _version() -> str:
    from importlib.metadata import version

    return version("genai-prices")


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
