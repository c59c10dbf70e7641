"""The person's own prices: which row holds on which day, what survives on disk, what a damaged file costs."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from backends.cloud.price_book import PriceBook
from backends.cloud.prices import Prices
from backends.cloud.providers import shipped_endpoints
from backends.errors import SettingsNotSaved
from backends.paths import Paths, app_paths
from backends.records import Usage
from backends.spending import OwnPrice

DAY = date(2026, 11, 15)


def price(model: str = "m", since: str = "2026-11-01", rate: str = "2", provider: str = "custom:lab") -> OwnPrice:
    return OwnPrice(provider, model, date.fromisoformat(since), Decimal(rate), Decimal(8))


@pytest.fixture
def book(tmp_path: Path) -> PriceBook:
    return PriceBook(tmp_path / "config" / "prices.json")


def test_the_newest_row_that_had_begun_wins(book: PriceBook) -> None:
    for since, rate in (("2026-11-20", "4"), ("2026-01-01", "1"), ("2026-11-15", "3"), ("2026-11-01", "2")):
        book.add(price(since=since, rate=rate))
    days = {"2026-01-01": 1, "2026-11-14": 2, "2026-11-15": 3, "2026-11-19": 3, "2030-01-01": 4}
    for day, wanted in days.items():
        found = book.find("custom:lab", "m", date.fromisoformat(day))
        assert found is not None
        assert found.input_usd_per_mtok == wanted, day
    assert book.find("custom:lab", "m", date(2025, 12, 31)) is None
    assert book.find("custom:other", "m", DAY) is None
    assert book.find("custom:lab", "n", DAY) is None


def test_a_row_for_every_model_yields_to_that_of_one(book: PriceBook) -> None:
    book.add(price("*", rate="0"))
    book.add(price("big", rate="9"))
    assert [getattr(book.find("custom:lab", name, DAY), "input_usd_per_mtok", None) for name in ("big", "x")] == [9, 0]


def test_rows_survive_and_one_of_the_same_day_is_replaced(book: PriceBook) -> None:
    exact = OwnPrice("openai", "gpt-4o", DAY, Decimal("2.500000000001"), Decimal("1E+1"), Decimal("0.1"))
    book.add(price(rate="5"))
    book.add(price(rate="6"))
    book.add(exact)
    again = PriceBook(book.path)
    assert again.load() == ()
    assert again.rows == book.rows == (price(rate="6"), exact)
    again.remove(exact.key)
    again.remove(exact.key)
    assert PriceBook(book.path).load() == ()
    assert list(again.rows) == [price(rate="6")]


def test_two_programs_do_not_lose_each_others_rows(book: PriceBook) -> None:
    other = PriceBook(book.path)
    other.load()
    book.add(price("a"))
    other.add(price("b"))
    book.add(price("c"))
    assert [row.model for row in book.rows] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "bad",
    [
        {"input_usd_per_mtok": "-1"},
        {"output_usd_per_mtok": "NaN"},
        {"output_usd_per_mtok": None},
        {"valid_from": "soon"},
        {"provider": ""},
        {"model": "a\nb"},
        {"cached_input_usd_per_mtok": "1e99"},
    ],
)
def test_a_bad_row_is_left_out_and_told_and_the_file_kept(book: PriceBook, bad: dict[str, object]) -> None:
    good = {
        "provider": "custom:lab",
        "model": "m",
        "valid_from": "2026-11-01",
        "input_usd_per_mtok": 2.5,
        "cached_input_usd_per_mtok": None,
        "output_usd_per_mtok": "10",
    }
    book.path.parent.mkdir(parents=True)
    book.path.write_text(json.dumps({"prices": [{**good, **bad}, good]}))
    (warning,) = book.load()
    assert "1 of your prices could not be used" in warning
    assert [row.input_usd_per_mtok for row in book.rows] == [Decimal("2.5")]
    assert book.path.with_name("prices.json.bad").read_bytes() == book.path.read_bytes()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"prices": 3}', "[" * 100_000])
def test_a_damaged_file_is_kept_and_told(book: PriceBook, text: str) -> None:
    book.path.parent.mkdir(parents=True)
    book.path.write_text(text)
    assert "could not be read" in book.load()[0]
    book.add(price())
    assert PriceBook(book.path).load() == ()
    assert book.path.with_name("prices.json.bad").read_text() == text


def test_a_price_beyond_its_limits_is_not_kept(book: PriceBook) -> None:
    with pytest.raises(SettingsNotSaved, match="input_usd_per_mtok"):
        book.add(price(rate="-1"))
    assert not book.path.exists()


def test_what_the_person_says_goes_before_the_table_and_is_dated() -> None:
    paths: Paths = app_paths()
    openai = shipped_endpoints()["openai"]
    prices = Prices(paths, today=lambda: DAY)
    of_table = prices.cost(openai, "gpt-4o", Usage(2000, 500, 1024))
    assert of_table.usd == Decimal("0.00872")
    assert of_table.source == "genai-prices 0.2.3, checked 2026-10-12"
    prices.book.add(price("gpt-4o", "2026-11-16", provider="openai"))
    assert prices.cost(openai, "gpt-4o", Usage(2000, 500, 1024)) == of_table, "it has not begun yet"
    prices.book.add(price("gpt-4o", "2026-11-01", provider="openai"))
    own = prices.cost(openai, "gpt-4o", Usage(2000, 500, 1024))
    assert own.usd == (2000 * Decimal(2) + 500 * Decimal(8)) / 1_000_000
    assert (own.basis, own.source, own.price_as_of) == ("api_price", "your price of 2026-11-01", "2026-11-01")
    assert own.formula == "gpt-4o: 976 prompt × $2/M + 1024 cached × $2/M + 500 completion × $8/M = $0.008"


def test_a_price_of_nothing_is_a_price() -> None:
    prices = Prices(app_paths(), today=lambda: DAY)
    endpoint = shipped_endpoints()["openai"]
    assert prices.cost(endpoint, "house-model", Usage(5, 5)).usd is None
    prices.book.add(OwnPrice("openai", "house-model", DAY, Decimal(0), Decimal(0)))
    free = prices.cost(endpoint, "house-model", Usage(5, 5))
    assert (free.usd, free.basis, free.source) == (Decimal(0), "api_price", "your price of 2026-11-15")
