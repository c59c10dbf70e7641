"""What cut an answer off, from what its result says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backends.endings import cut_by
from backends.history.codec import BLANK_RESULT
from backends.records import Usage


@pytest.mark.parametrize(
    ("provider", "settings", "tokens", "expected"),
    [
        ("local", {"max_tokens": 100}, 100, "max_tokens"),
        ("local", {"max_tokens": 100}, 60, "context"),
        ("local", {"max_tokens": None}, 4000, "context"),
        ("practice", {"max_tokens": 100}, 101, "max_tokens"),
        ("openai", {"max_tokens": 100}, None, "max_tokens"),
        ("openai", {"max_tokens": 100}, 40, "server"),
        ("openai", {"max_tokens": None}, 4096, "server"),
        ("custom", {"max_tokens": 100, "not_sent": ["max_tokens"]}, 128, "server"),
        ("custom", {}, 128, "max_tokens"),
    ],
)
def test_what_cut_an_answer(provider: str, settings: dict[str, object], tokens: int | None, expected: str) -> None:
    result = replace(
        BLANK_RESULT,
        finish_reason="length",
        provider=provider,
        settings=settings,
        usage=Usage(completion_tokens=tokens),
    )
    assert cut_by(result) == expected
    assert cut_by(replace(result, finish_reason="stop")) is None
    assert cut_by(replace(result, finish_reason=None)) is None
