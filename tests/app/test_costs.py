"""Money in the real window: an estimate while one types, a budget that stops a question, sums, prices, an update."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.session import Session
from backends.cloud.budget import Spending
from backends.cloud.price_update import URL_VARIABLE
from backends.keys import Secret
from backends.paths import app_paths
from backends.settings import Settings
from backends.spending import OwnPrice
from tests.app.test_settings import change
from tests.app.test_window import QUESTION, compare, opened, phases, type_prompt, use, wait_for
from tests.backends.cloud.test_price_update import sends, table_bytes
from tests.fakes.openai_server import OpenAIServer, answer, usage

SUM = "$0.008\u202f72"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(answer("Tokens", " per", " second.", counts=usage(2000, 500, cached=1024))) as made:
        yield made


@pytest.fixture
def session(
    qtbot: QtBot, qapp: QApplication, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Session]:
    """A window with one lane, which asks gpt-4o at the scripted server."""
    monkeypatch.setenv("NEARFAR_OPENAI_BASE_URL", server.base_url)
    for made in opened(qtbot, qapp):
        made.bench.keys.put("openai", Secret("sk-test"))
        made.compare.remove_lane(made.compare.lane_ids[1])
        use(made, 0, "openai:gpt-4o")
        yield made


def estimate(session: Session) -> str:
    return session.compare.prompt_box.estimate()


def test_the_estimate_follows_what_is_typed(qtbot: QtBot, session: Session) -> None:
    type_prompt(qtbot, session, QUESTION)
    wait_for(qtbot, lambda: estimate(session).startswith("up to $0.01"))
    before = estimate(session)
    box = session.compare.prompt_box
    box.parameters.set_sampling(session.bench.settings.sampling)
    box.set_prompt(QUESTION * 200)
    wait_for(qtbot, lambda: estimate(session) not in ("", before))
    assert "OpenAI gpt-4o: Likely: gpt-4o: about" in box._estimate.accessibleDescription()
    use(session, 0, "local:demo")
    session._lanes_changed("")
    wait_for(qtbot, lambda: estimate(session) == "")


def test_lanes_that_cost_nothing_read_no_prices(qtbot: QtBot, session: Session) -> None:
    use(session, 0, "practice")
    type_prompt(qtbot, session, QUESTION)
    qtbot.wait(500)
    assert estimate(session) == ""
    assert session.bench.spending.prices.table.info is None


def test_a_budget_stops_a_question_before_it_is_sent(qtbot: QtBot, session: Session, server: OpenAIServer) -> None:
    session.window.open_page("settings")
    change(session, session_budget_usd=0.005)
    session.window.open_page("compare")
    compare(qtbot, session)
    assert phases(session) == ["failed"]
    assert server.received == []
    change(session, session_budget_usd=None)
    compare(qtbot, session)
    assert phases(session) == ["done"]
    assert len(server.received) == 1


def test_what_was_spent_is_shown_also_with_history_off(qtbot: QtBot, session: Session) -> None:
    change(session, keep_history=False)
    compare(qtbot, session)
    tip = session.compare.lane(session.compare.lane_ids[0]).strip.tips()["cost"]
    assert "976 prompt × $2.5/M + 1024 cached × $1.25/M + 500 completion × $10/M = $0.00872" in tip
    assert "Price: genai-prices 0.2.3, checked 2026-10-12." in tip
    session.window.open_page("settings")
    costs = session.settings.costs
    wait_for(qtbot, lambda: costs.spent_text()[-3:] == ["All providers", SUM, SUM])
    assert costs.spent_text()[3] == "OpenAI"
    assert costs.table_text() == "As shipped: genai-prices 0.2.3 of 10 November 2026."


def test_a_price_of_ones_own_holds_for_the_next_run_and_not_for_the_last(qtbot: QtBot, session: Session) -> None:
    compare(qtbot, session)
    session.window.open_page("settings")
    costs = session.settings.costs
    own = OwnPrice("openai", "gpt-4o", date(2026, 1, 1), Decimal(1), Decimal(1))
    costs.price_added.emit(own)
    wait_for(qtbot, lambda: len(costs._prices._entries or ()) == 1)
    session.window.open_page("compare")
    compare(qtbot, session)
    assert Spending(app_paths(), Settings).ledger.totals().month.usd == Decimal("0.00872") + Decimal("0.0025")
    costs.price_removed.emit(own.key)
    wait_for(qtbot, lambda: not costs._prices._entries)
    assert json.loads(app_paths().prices_file.read_text()) == {"prices": []}


def test_a_price_that_cannot_be_kept_is_told(qtbot: QtBot, session: Session) -> None:
    app_paths().prices_file.mkdir(parents=True)
    session.window.open_page("settings")
    session.settings.costs.price_added.emit(OwnPrice("openai", "m", date(2026, 1, 1), Decimal(1), Decimal(1)))
    wait_for(qtbot, lambda: "could not be saved" in session.settings.problem_text())


def test_prices_are_fetched_by_a_click_and_by_nothing_else(
    qtbot: QtBot, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = session.settings.costs
    with OpenAIServer(sends(b"<html>", "text/html"), sends(table_bytes())) as prices:
        monkeypatch.setenv(URL_VARIABLE, f"http://127.0.0.1:{prices.port}/data.json")
        session.window.open_page("settings")
        wait_for(qtbot, lambda: costs.table_text().startswith("As shipped"))
        assert prices.received == []
        costs.update_requested.emit()
        wait_for(qtbot, lambda: "A web page came" in session.settings.problem_text())
        assert costs.table_text().startswith("As shipped")
        costs.update_requested.emit()
        wait_for(qtbot, lambda: costs.table_text().startswith("Fetched on"))
        assert session.settings.problem_text() == ""
        assert len(prices.received) == 2
