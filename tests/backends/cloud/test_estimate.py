"""The bound before sending: no text has more tokens than bytes, by a real tokeniser; and sums done by hand."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backends.cloud.estimate import cents_down, cents_up, likely_tokens, most_tokens
from backends.cloud.prices import Prices
from backends.cloud.providers import shipped_endpoints
from backends.paths import app_paths
from backends.records import Message, Prompt, Sampling
from backends.spending import OwnPrice
from backends.targets import DEMO

OPENAI = shipped_endpoints()["openai"]
MILLION = Decimal(1_000_000)


@pytest.fixture(scope="module")
def tokenizer() -> Iterator[object]:
    """The shipped model's own byte-level BPE, as llama.cpp runs it."""
    import llama_cpp

    from backends.local_models import model_file

    model = llama_cpp.Llama(str(model_file(DEMO)), vocab_only=True, verbose=False)
    yield model
    model.close()


@given(text=st.text(max_size=200) | st.text(st.characters(min_codepoint=0x1F300, max_codepoint=0x1FAFF), max_size=60))
@hypothesis_settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_has_more_tokens_than_the_bound(tokenizer: object, text: str) -> None:
    n_tokens = len(tokenizer.tokenize(text.encode(), add_bos=False, special=False))  # type: ignore[attr-defined]
    assert n_tokens <= len(text.encode())
    assert n_tokens < most_tokens(Prompt.ask(text))


@given(st.lists(st.text(st.characters(), max_size=50), min_size=1, max_size=5))
def test_the_bound_counts_every_message(texts: list[str]) -> None:
    prompt = Prompt(tuple(Message("user", text) for text in texts))
    assert most_tokens(prompt) == sum(len(text.encode()) + 16 for text in texts) + 128


def test_half_an_emoji_has_a_bound_too() -> None:
    assert most_tokens(Prompt.ask("a\ud83d")) == 4 + 16 + 128
    assert likely_tokens("a\ud83d") >= 1


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("The quick brown fox jumps over the lazy dog. " * 20, 180, 240),
        ("素早い茶色の狐がのろまな犬を飛び越える。" * 20, 220, 420),
        ("👩‍🚀🚀🌍" * 20, 80, 200),
        ("Съешь ещё этих мягких французских булок. " * 20, 150, 300),
        ("", 0, 0),
    ],
)
def test_the_likely_count_is_near_for_every_script(text: str, low: int, high: int) -> None:
    assert low <= likely_tokens(text) <= high


@pytest.fixture
def prices() -> Prices:
    return Prices(app_paths())


def test_both_sums_by_hand(prices: Prices) -> None:
    found = prices.estimate(OPENAI, "gpt-4o", Prompt.ask("x" * 400), Sampling(max_tokens=1024))
    assert found.low_usd == ((100 + 4) * Decimal("2.5") + 400 * 10) / MILLION
    assert found.high_usd == ((400 + 16 + 128) * Decimal("2.5") + 1024 * 10) / MILLION
    assert "genai-prices 0.2.3, checked 2026-10-12" in found.basis
    assert "544 prompt × $2.5/M + 1024 completion × $10/M" in found.basis


def test_what_may_have_to_be_written_to_a_cache_is_counted_so(prices: Prices) -> None:
    found = prices.estimate(OPENAI, "gpt-6-luna", Prompt.ask("x" * 400), Sampling(max_tokens=100))
    assert found.high_usd == (544 * Decimal("0.125") + 100 * Decimal("0.5")) / MILLION
    assert "Hidden reasoning counts within the limit" in found.basis


def test_without_a_limit_the_models_context_is_the_bound(prices: Prices) -> None:
    found = prices.estimate(OPENAI, "gpt-4o", Prompt.ask("x"), Sampling(max_tokens=None))
    assert found.high_usd == (145 * Decimal("2.5") + 128_000 * 10) / MILLION
    assert "whole context of 128,000 tokens" in found.basis


def test_without_a_limit_and_a_known_context_there_is_no_bound(prices: Prices) -> None:
    prices.book.add(OwnPrice("openai", "house", prices._today(), Decimal(1), Decimal(1)))
    found = prices.estimate(OPENAI, "house", Prompt.ask("x"), Sampling(max_tokens=None))
    assert found.low_usd is not None
    assert (found.high_usd, found.unlimited) == (None, True)
    prices.book.add(OwnPrice("openai", "house", prices._today(), Decimal(0), Decimal(0)))
    assert prices.estimate(OPENAI, "house", Prompt.ask("x"), Sampling(max_tokens=None)).high_usd == 0


def test_an_unknown_price_stays_unknown(prices: Prices) -> None:
    found = prices.estimate(OPENAI, "gpt-6.2-sol", Prompt.ask("x"), Sampling())
    assert (found.low_usd, found.high_usd, found.unlimited) == (None, None, False)


@given(
    st.text(max_size=300),
    st.integers(1, 100_000),
    st.sampled_from([model.id for model in OPENAI.models if model.offered]),
)
@hypothesis_settings(deadline=None, max_examples=60)
def test_the_likely_sum_never_passes_the_bound(text: str, max_tokens: int, model: str) -> None:
    found = Prices(app_paths()).estimate(OPENAI, model, Prompt.ask(text), Sampling(max_tokens=max_tokens))
    assert found.low_usd is not None
    assert found.high_usd is not None
    assert Decimal(0) < found.low_usd <= found.high_usd


def test_sums_are_rounded_to_the_safe_side() -> None:
    assert (str(cents_up(Decimal("0.0123001"))), str(cents_down(Decimal("0.0123999")))) == ("0.0124", "0.0123")
    assert (str(cents_up(Decimal("1.001"))), str(cents_down(Decimal("-3")))) == ("1.01", "0.00")
