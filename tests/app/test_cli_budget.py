"""`nearfar run` and money: what it may cost is said, nothing is sent that could pass a budget, one ledger for all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from backends.cloud.budget import Spending
from backends.paths import app_paths
from backends.settings import Settings
from backends.spending import Spent
from backends.workbench import Workbench
from tests.app.test_cli import QUESTION, lines, nearfar
from tests.fakes.openai_server import OpenAIServer, answer, usage

COUNTS = usage(2000, 500, cached=1024)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(answer("Hello", counts=COUNTS)) as made:
        yield made


def choose(**settings: Any) -> None:
    bench = Workbench(app_paths())
    bench.change(**settings)
    assert asyncio.run(bench.save()) is None


def run(server: OpenAIServer, *more: str, target: str = "openai:gpt-4o") -> Any:
    env = {"NEARFAR_OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "sk-test"}
    return nearfar("run", QUESTION, "--target", target, "--key-env", "OPENAI_API_KEY", *more, env=env)


def test_the_result_says_what_the_cost_rests_on(server: OpenAIServer) -> None:
    result = lines(run(server, "--json"))[-1]["result"]
    assert result["cost_usd"] == 0.00872
    assert result["cost_basis"] == "api_price"
    assert result["cost_formula"].endswith("= $0.00872")
    assert result["price_source"] == "genai-prices 0.2.3, checked 2026-10-12"
    assert Spending(app_paths(), Settings).ledger.totals().month == Spent(Decimal("0.00872"), Decimal("0.00872"), 1)


def test_a_run_that_could_pass_a_budget_is_not_sent(server: OpenAIServer) -> None:
    choose(month_budget_usd=0.01)
    done = run(server, "--json")
    assert done.returncode == 1
    end = lines(done)[-1]
    assert (end["event"], end["error"]["code"]) == ("failed", "budget_reached")
    assert server.received == []
    assert run(server, "--max-tokens", "500").returncode == 0
    second = run(server, "--max-tokens", "500")
    assert "of the month budget of $0.01" in second.stderr
    assert len(server.received) == 1


def test_a_model_without_a_price_is_refused_under_a_budget(server: OpenAIServer) -> None:
    choose(session_budget_usd=1.0)
    done = run(server, target="openai:house-model")
    assert done.returncode == 1
    assert "No price is known for house-model" in done.stderr
    assert server.received == []


def test_what_runs_here_needs_no_budget_and_is_in_no_ledger() -> None:
    choose(session_budget_usd=0.0, month_budget_usd=0.0)
    done = nearfar("run", QUESTION, "--target", "local:demo", "--target", "practice", "--max-tokens", "4")
    assert done.returncode == 0, done.stderr
    assert not app_paths().ledger_folder.exists()


SAID = "nearfar: May cost up to $0.0107 (likely $0.00402).\n"


def test_json_says_on_standard_error_what_it_may_cost_and_a_pipe_is_not_told(server: OpenAIServer) -> None:
    with_json = run(server, "--json")
    assert with_json.stderr.endswith(SAID)  # a day that the model retires on is said before, when it comes near
    assert all(line["event"] != "notice" for line in lines(with_json))
    assert "May cost" not in run(server).stderr
    assert "not known" in run(server, "--json", target="openai:house-model").stderr


def test_a_terminal_is_told_what_it_may_cost(server: OpenAIServer) -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "NEARFAR_OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "sk-test"}
    argv = [sys.executable, "-m", "app", "run", QUESTION, "--target", "openai:gpt-4o", "--key-env", "OPENAI_API_KEY"]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=theirs) as child:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # the terminal's other end is closed
            while part := os.read(ours, 4096):
                said += part
        child.communicate(timeout=60)
    os.close(ours)
    assert child.returncode == 0
    assert SAID.strip() in said.decode()


def test_what_runs_on_this_machine_is_said_to_cost_nothing_and_may_have_a_price(server: OpenAIServer) -> None:
    choose(month_budget_usd=1.0)
    env = {"NEARFAR_VLLM_BASE_URL": server.base_url}
    done = nearfar("run", QUESTION, "--target", "vllm:house", "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert (lines(done)[-1]["result"]["cost_usd"], lines(done)[-1]["result"]["cost_basis"]) == (None, "not_measured")
    assert done.stderr == ""
    assert not app_paths().ledger_folder.exists()
