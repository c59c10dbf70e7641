"""Money in the window: the estimate beside Run, the Costs section, exact fields, and what is never posed as exact."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit, QPushButton, QToolButton
from pytestqt.qtbot import QtBot

from backends.records import Cost
from backends.spending import Estimate, OwnPrice, Spent
from tests.widgets import samples
from tests.widgets.conftest import Show
from widgets import estimate_words, figures, verdict
from widgets.money_field import MoneyField, amount
from widgets.settings_costs import CostSettings, spent_words, table_words
from widgets.settings_page import SettingsPage
from widgets.values import CostsView, LaneEstimate, PriceTableLine, SettingsView, SpentLine

OWN = OwnPrice("openai", "gpt-4o", date(2026, 11, 1), Decimal("2.50"), Decimal(10), Decimal("1.25"))
MONTH = Spent(Decimal("1.2"), Decimal("1.2"), 9)
COSTS = CostsView(
    total=SpentLine("All providers", Spent(Decimal("0.04"), Decimal("0.05"), 3), MONTH),
    by_provider=(SpentLine("OpenAI", Spent(), MONTH),),
    own_prices=(OWN, OwnPrice("custom:lab", "*", date(2026, 10, 1), Decimal(0), Decimal(0))),
    providers=(("openai", "OpenAI"), ("custom:lab", "lab")),
    table=PriceTableLine("0.2.3", date(2026, 11, 10), fetched=False),
)  # fmt: skip


def lane(low: str | None, high: str | None, name: str = "OpenAI gpt-4o") -> LaneEstimate:
    low_usd, high_usd = (None if each is None else Decimal(each) for each in (low, high))
    return LaneEstimate(name, Estimate(low_usd, high_usd, f"Likely: {low}. At most: {high}."))


@pytest.mark.parametrize(
    ("lanes", "words"),
    [
        ([], ""),
        ([lane("0.0041", "0.01231")], "up to $0.0124 (likely $0.0041)"),
        ([lane("0.001", "0.01"), lane("0.002", "0.02")], "up to $0.03 (likely $0.003)"),
        ([lane("0.001", "0.01"), lane(None, None)], "up to $0.01 + unknown (likely $0.001)"),
        ([lane("0.001", None), lane("0.001", "0.01")], "likely $0.002, no upper limit"),
        ([lane(None, None)], "cost unknown"),
        ([lane("0", "0")], "$0"),
    ],
)
def test_an_estimate_in_words(lanes: list[LaneEstimate], words: str) -> None:
    assert estimate_words.words(lanes) == words


def test_the_estimate_stands_beside_run_with_its_sums_on_hover(show: Show) -> None:
    box = show("local:demo").compare.prompt_box
    assert box.estimate() == ""
    lanes = [lane("0.0041", "0.0123"), lane("0.1", "0.2", "lab m")]
    box.show_estimate(estimate_words.words(lanes), estimate_words.tip(lanes))
    assert box._estimate.isVisible()
    assert "lab m: Likely: 0.1. At most: 0.2." in box._estimate.toolTip()
    assert box._estimate.accessibleDescription() == estimate_words.tip(lanes)
    box.show_estimate("")
    assert not box._estimate.isVisible()


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), ("  ", None), ("2.50", "2.50"), ("$ 2,5", "2.5"), ("0", "0"), ("0.000000000001", "0.000000000001")],
)
def test_amounts_are_exact(text: str, value: str | None) -> None:
    assert amount(text) == (None if value is None else Decimal(value))


@pytest.mark.parametrize(
    "text", ["x", "-1", "NaN", "inf", "1e9", "1000001", "1,000", "1,000.50", "2,500,000", "1.2.3", "1" * 30, "2_50"]
)
def test_what_is_no_amount_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="Type an amount"):
        amount(text)


def test_a_field_tells_a_change_once_and_keeps_what_is_no_amount(qtbot: QtBot) -> None:
    field = MoneyField("Budget", "What it is for")
    qtbot.addWidget(field)
    told: list[object] = []
    field.settled.connect(told.append)
    for text, shown in (("0.5", "$0.50"), ("many", "many"), ("0.50", "$0.50"), ("0.125", "$0.125"), ("", "")):
        field.setText(text)
        field.editingFinished.emit()
        assert field.text() == shown
    assert told == [Decimal("0.5"), Decimal("0.125"), None]


@pytest.mark.parametrize("text", ["-1", "abc", "99999999999", "1,000", "1.000,50", "1 000", "5 USD"])
def test_a_budget_that_is_no_amount_says_so_and_stays_until_it_is_mended(show: Show, qtbot: QtBot, text: str) -> None:
    page, costs = opened(show)
    page.show_settings(replace(page.settings(), session_budget_usd=2.0, month_budget_usd=5.0))
    told: list[SettingsView] = []
    page.changed.connect(told.append)
    field = named(costs, "Budget for a month")
    field.setFocus()
    field.selectAll()
    qtbot.keyClicks(field, text)
    qtbot.keyClick(field, Qt.Key.Key_Tab)
    assert field.text() == text
    assert costs.budget_trouble().startswith("Type an amount")
    assert "$5.00" in costs.budget_trouble(), "which holds until then"
    page.show_settings(replace(page.settings(), theme="dark"))
    assert field.text() == text
    assert told == []
    field.setFocus()
    field.selectAll()
    qtbot.keyClicks(field, "1000")
    assert costs.budget_trouble() == ""
    qtbot.keyClick(field, Qt.Key.Key_Tab)
    assert [each.month_budget_usd for each in told] == [1000.0]


def opened(show: Show) -> tuple[SettingsPage, CostSettings]:
    shown = show("local:demo")
    shown.window.open_page("settings")
    shown.settings.costs.show_costs(COSTS)
    return shown.settings, shown.settings.costs


def named(page: CostSettings, name: str) -> QLineEdit:
    return next(field for field in page.findChildren(QLineEdit) if field.accessibleName() == name)


def test_what_was_spent_goes_by_provider(show: Show) -> None:
    _page, costs = opened(show)
    assert costs.spent_text() == [
        *("", "This session", "This month"),
        *("OpenAI", "–", "$1.20"),
        *("All providers", "$0.04 to $0.05", "$1.20"),
    ]
    costs.show_costs(CostsView())
    assert costs.spent_text() == ["Nothing yet this month."]


def test_a_budget_is_given_back_with_all_settings(show: Show, qtbot: QtBot) -> None:
    page, costs = opened(show)
    page.show_settings(SettingsView(month_budget_usd=5.0, n_ctx=4096))
    changes: list[SettingsView] = []
    page.changed.connect(changes.append)
    field = named(costs, "Budget for a session")
    field.setFocus()
    qtbot.keyClicks(field, "0.5")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert changes == [SettingsView(session_budget_usd=0.5, month_budget_usd=5.0, n_ctx=4096)]
    month = named(costs, "Budget for a month")
    assert month.text() == "$5.00"
    month.clear()
    month.editingFinished.emit()
    assert changes[-1] == replace(changes[0], month_budget_usd=None)


def test_a_price_is_added_by_keyboard(show: Show, qtbot: QtBot) -> None:
    _page, costs = opened(show)
    added: list[OwnPrice] = []
    costs.price_added.connect(added.append)
    for name, text in (("Model", "gpt-4o"), ("Valid from", "2026-12-01"), ("Input", "2,50"), ("Output", "$10")):
        named(costs, name).setText(text)
    qtbot.keyClick(named(costs, "Output"), Qt.Key.Key_Return)
    assert added == [OwnPrice("openai", "gpt-4o", date(2026, 12, 1), Decimal("2.50"), Decimal(10))]
    assert costs.form.trouble() == ""


@pytest.mark.parametrize(
    ("field", "text", "says"),
    [
        ("Model", "", "model's name"),
        ("Valid from", "soon", "YEAR-MONTH-DAY"),
        ("Input", "", "0 where it costs nothing"),
        ("Output", "much", "such as 2.50"),
        ("Cached input", "-1", "from 0 to"),
    ],
)
def test_a_price_that_cannot_be_read_says_what_is_wrong(
    show: Show, qtbot: QtBot, field: str, text: str, says: str
) -> None:
    _page, costs = opened(show)
    added: list[OwnPrice] = []
    costs.price_added.connect(added.append)
    for name in ("Model", "Input", "Output"):
        named(costs, name).setText("1")
    named(costs, field).setText(text)
    add = next(button for button in costs.findChildren(QPushButton) if button.text() == "Add price")
    qtbot.mouseClick(add, Qt.MouseButton.LeftButton)
    assert added == []
    assert says in costs.form.trouble()
    qtbot.keyClicks(named(costs, "Model"), "x")
    assert costs.form.trouble() == ""


def test_a_price_is_taken_out(show: Show, qtbot: QtBot) -> None:
    _page, costs = opened(show)
    removed: list[object] = []
    costs.price_removed.connect(removed.append)
    take = next(b for b in costs.findChildren(QToolButton) if "OpenAI, gpt-4o, from 1 November" in b.accessibleName())
    qtbot.mouseClick(take, Qt.MouseButton.LeftButton)
    assert removed == [OWN.key]


@pytest.mark.parametrize(
    ("spent", "words"),
    [
        (Spent(), "–"),
        (Spent(Decimal("1.2"), Decimal("1.2"), 1), "$1.20"),
        (Spent(Decimal("1.2"), Decimal("1.201"), 2), "$1.20 to $1.21"),
        (Spent(Decimal(0), Decimal(0), 1, 1), "1 run without a known price"),
        (Spent(Decimal(1), Decimal(1), 3, 2), "$1.00, and 2 runs without a known price"),
    ],
)
def test_spent_in_words(spent: Spent, words: str) -> None:
    assert spent_words(spent) == words


def test_the_table_says_how_old_it_is() -> None:
    assert table_words(COSTS.table) == "As shipped: genai-prices 0.2.3 of 10 November 2026."
    assert table_words(PriceTableLine("0.2.3", date(2026, 11, 23), fetched=True)) == "Fetched on 23 November 2026."
    assert table_words(None) == "Not read yet."


def test_an_estimate_never_poses_as_exact() -> None:
    cost = Cost(
        Decimal("0.000062"), "estimated", "2026-10-12", "gpt-4o: about 9 prompt × $2.5/M", "your price of 2026-11-01"
    )
    shown = figures.final(samples.cloud_result(cost=cost))
    assert shown.cost.value.startswith("≥ ~$0.000")
    assert "broke off" in shown.cost.tip
    assert "about 9 prompt × $2.5/M. Price: your price of 2026-11-01." in shown.cost.tip
    assert "estimate" in shown.note
    said = verdict.sentence([verdict.Outcome("GPT-4o", "stopped", samples.cloud_result(cost=cost))])
    assert "GPT-4o cost at least about $0.000" in said


def test_what_was_not_sent_cost_nothing() -> None:
    shown = figures.final(samples.cloud_result(cost=Cost(Decimal(0), "not_charged")))
    assert (shown.cost.value, shown.note) == ("$0", "Nothing was charged.")


def test_the_source_of_a_price_is_in_the_tooltip() -> None:
    cost = Cost(Decimal("0.00872"), "api_price", "2026-10-12", "gpt-4o: sums", "genai-prices 0.2.3, checked 2026-10-12")
    tip = figures.final(samples.cloud_result(cost=cost)).cost.tip
    assert tip == "gpt-4o: sums. Price: genai-prices 0.2.3, checked 2026-10-12."
