"""What a question may cost before it is sent, and a broken answer cost at least. Must not know where prices are from.

Upper bound of the prompt: a byte-level tokeniser never makes more tokens of a text than it has UTF-8 bytes, and a chat
template adds few per message. The likely count takes 4 characters per token, fewer in scripts that take more tokens
(measured against o200k: characters / 4 is 62 % too low for Chinese and 83 % for emoji).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from backends.cloud.pricing import Quote
from backends.records import Cost, Prompt, Sampling, Usage
from backends.spending import Estimate

PER_MESSAGE_TOKENS = 16
PER_REQUEST_TOKENS = 128  # templates bring a system prompt of their own: Llama 3.1 about 30 tokens, gpt-oss about 80
LIKELY_MESSAGE_TOKENS = 4
LIKELY_ANSWER_TOKENS = 400
LIKELY_REASONING_TOKENS = 1600

QuoteFor = Callable[[Usage], Quote | None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What an estimate needs to know of the model: whether it thinks before it answers, and how much it can hold.

    `tiers` are those besides the usual one that may serve it, where the request cannot say which. `broker` names a
    server that passes the question on at a price that depends on who answers; `held` whether the request forbids more.
    """

    model: str
    reasons: bool
    context_window: int | None
    tiers: tuple[str, ...] = ()
    broker: str = ""
    held: bool = True


def most_tokens(prompt: Prompt) -> int:
    """More tokens than any byte-level tokeniser makes of the prompt, its template included."""
    texts = sum(len(part.text.encode("utf-8", "surrogatepass")) + PER_MESSAGE_TOKENS for part in prompt.messages)
    return texts + PER_REQUEST_TOKENS


def likely_tokens(text: str) -> int:
    """About how many tokens a text has. By counting bytes in two encodings, which is quick for long texts."""
    n_chars, n_bytes = len(text), len(text.encode("utf-8", "surrogatepass"))
    n_astral = len(text.encode("utf-16-le", "surrogatepass")) // 2 - n_chars  # emoji, rare ideographs: 4 bytes each
    n_ascii = len(text.encode("ascii", "ignore"))
    n_wide = n_bytes - 2 * n_chars + n_ascii - 2 * n_astral  # 3 bytes each: Chinese, Japanese, Korean, symbols
    narrow = n_chars - n_wide - n_astral
    return round(narrow / 4 + n_wide / 1.4 + n_astral * 1.5) if text else 0


def likely_prompt_tokens(prompt: Prompt) -> int:
    return sum(likely_tokens(part.text) + LIKELY_MESSAGE_TOKENS for part in prompt.messages)


def estimate(asked: Asked, prompt: Prompt, sampling: Sampling, quote_for: QuoteFor) -> Estimate:
    """The likely sum and the one that cannot be passed, at the provider's usual tier, or the dearest where the
    request cannot say which. Hidden reasoning is inside the limit on the answer, so it is bounded with it."""
    most, likely_prompt = most_tokens(prompt), likely_prompt_tokens(prompt)
    limit = sampling.max_tokens if sampling.max_tokens is not None else asked.context_window
    usual = LIKELY_REASONING_TOKENS if asked.reasons else LIKELY_ANSWER_TOKENS
    likely_answer = usual if limit is None else min(usual, limit)
    low = quote_for(Usage(likely_prompt, likely_answer))
    if low is None:
        return Estimate(None, None, f"No price is known for {asked.model}.")
    high = None if limit is None or not asked.held else _dearest(most, limit, quote_for, asked.tiers)
    words = [f"Likely: {_about(low.formula)}."]
    if not asked.held:
        words.append(f"At most: unknown. {asked.broker}'s price depends on who answers, and it takes no highest price.")
    elif high is None:
        words.append("At most: unknown, because the answer has no limit. Set a longest answer to bound it.")
    else:
        words.append(f"At most: {high.formula}. {_why_at_most(sampling, asked)}")
    words.append(f"The answer's length is a guess; price: {low.source}.")
    high_usd = None if high is None else max(high.usd, low.usd)
    return Estimate(low.usd, high_usd, " ".join(words), unlimited=limit is None and asked.held)


def broken_cost(prompt: Prompt, text: str, quote_for: QuoteFor) -> Cost:
    """At least about what was charged for an answer that broke off: the prompt and the text that arrived."""
    found = quote_for(Usage(likely_prompt_tokens(prompt), likely_tokens(text)))
    if found is None:
        return Cost(None, "unknown_price")
    return Cost(found.usd, "estimated", found.as_of, _about(found.formula), found.source)


def _dearest(prompt_tokens: int, answer_tokens: int, quote_for: QuoteFor, tiers: tuple[str, ...]) -> Quote | None:
    """Nothing comes from the provider's cache, or all of it has to be written there, whichever costs more; of several
    tiers the dearest."""
    counts = [
        Usage(prompt_tokens, answer_tokens, cache_write_tokens=written, service_tier=tier)
        for written in (None, prompt_tokens)
        for tier in (None, *tiers)
    ]
    found = [each for each in map(quote_for, counts) if each is not None]
    return max(found, key=lambda each: each.usd) if found else None


def _why_at_most(sampling: Sampling, asked: Asked) -> str:
    if sampling.max_tokens is None:
        window = f"{asked.context_window:,}"
        return f"The answer has no limit, so the model's whole context of {window} tokens is taken."
    hidden = " Hidden reasoning counts within the limit." if asked.reasons else ""
    hidden += " The server does not let the request name a tier, so the dearest is taken." if asked.tiers else ""
    if asked.broker:
        hidden += f" {asked.broker}'s price depends on who answers; the request forbids a dearer one than this."
    return f"A prompt has no more tokens than bytes, and the answer no more than its limit.{hidden}"


def _about(formula: str) -> str:
    """A formula whose counts are guesses."""
    name, _colon, sums = formula.partition(": ")
    return f"{name}: about {sums}" if sums else formula


def cents_up(amount: Decimal) -> Decimal:
    """Three figures, never less than the amount: what it could cost."""
    return _rounded(amount, "ROUND_CEILING")


def cents_down(amount: Decimal) -> Decimal:
    """Three figures, never more than the amount: what is left."""
    return _rounded(amount, "ROUND_FLOOR")


def _rounded(amount: Decimal, rounding: str) -> Decimal:
    if amount <= 0:
        return Decimal("0.00")
    places = max(2, 2 - amount.adjusted())
    return amount.quantize(Decimal(1).scaleb(-places), rounding)
