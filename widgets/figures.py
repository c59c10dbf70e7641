"""The five figures under an answer, as text with the formula behind each. Pure: must not know Qt or engines.

Formulas: backends/metrics.py. A figure that is still an estimate carries "~"; one that cannot be had says why.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from backends.other_work import busy_words
from backends.records import Cost, CostBasis, RunResult
from widgets import format as fmt
from widgets.lane_state import LaneState

NS_PER_MS = 1_000_000
PENDING = "…"

TTFT_TIP = "Time to first token: from the moment the request is sent, with the model loaded, to the first visible text."
SPEED_TIP = (
    "Decode speed: (tokens − tokens in the first chunk) ÷ (time of the last chunk − time of the first chunk). "
    "Token counts come from the engine or the server, never from counting chunks."
)
TOKENS_TIP = "Tokens the model wrote, as its own engine or server counts them. Tokenisers differ between models."
TIME_TIP = "From the moment the request is sent to the last visible text (E2E)."
COST_TIP = "(prompt − cached) × input price + cached × cached price + answer × output price."
_WHY_NO_COST: dict[CostBasis, str] = {
    "not_measured": "Local cost needs measured energy and your electricity tariff. Neither is guessed.",
    "unknown_price": "No price is known for this model, so no cost is shown.",
    "usage_missing": "The server did not report token counts, so the cost cannot be computed.",
}
_AT_LEAST = (
    "The answer broke off before the server reported its token counts, and what a provider charges then is not "
    "published. At least about: "
)
_NOTES: dict[CostBasis, str] = {
    "not_charged": "Nothing was charged.",
    "not_measured": "No provider is paid; electricity is not measured.",
    "unknown_price": "No price is known for this model.",
    "usage_missing": "The server reported no token counts.",
}
_ESTIMATE = " “~” marks an estimate until the server reports its count."


@dataclass(frozen=True, slots=True)
class Figure:
    """One cell: a caption, a value, and the tooltip that says how it is measured.

    `mark` is a word beside the caption, for a value to be read with care; the tooltip begins with why.
    """

    caption: str
    value: str
    tip: str
    known: bool = True
    mark: str = ""

    def spoken(self) -> str:
        return f"{self.caption} {self.value}{f' ({self.mark})' if self.mark else ''}"


@dataclass(frozen=True, slots=True)
class Figures:
    """What the metrics strip shows. `note` is a sentence under the figures, or empty."""

    ttft: Figure
    speed: Figure
    tokens: Figure
    time: Figure
    cost: Figure
    curve: tuple[float, ...] = ()
    note: str = ""

    def cells(self) -> tuple[Figure, ...]:
        return (self.ttft, self.speed, self.tokens, self.time, self.cost)

    def spoken(self) -> str:
        """All figures in one sentence, for screen readers."""
        return ", ".join(cell.spoken() for cell in self.cells() if cell.known)


def blank() -> Figures:
    """Before any run."""
    dash = "–"
    return Figures(
        ttft=Figure("TTFT", dash, TTFT_TIP, known=False),
        speed=Figure("tok/s", dash, SPEED_TIP, known=False),
        tokens=Figure("tokens", dash, TOKENS_TIP, known=False),
        time=Figure("time", dash, TIME_TIP, known=False),
        cost=Figure("cost", dash, f"What the provider charges: {COST_TIP}", known=False),
    )


def live(state: LaneState, now_ns: int) -> Figures:
    """Figures of a run under way at monotonic time `now_ns`."""
    base = blank()
    if state.sent_ns is None or state.meter is None:
        return base
    so_far = state.meter.live()
    mark = "~" if so_far.estimated else ""
    hint = _ESTIMATE if so_far.estimated else ""
    elapsed_ms = max(0.0, (now_ns - state.sent_ns) / NS_PER_MS)
    speed = PENDING if so_far.tok_s is None else f"{mark}{fmt.number(so_far.tok_s)}"
    tokens = f"{mark}{so_far.n_tokens:,}" if so_far.n_tokens else PENDING
    return Figures(
        ttft=Figure("TTFT", PENDING if so_far.ttft_ms is None else fmt.duration(so_far.ttft_ms), TTFT_TIP),
        speed=_marked(Figure("tok/s", speed, SPEED_TIP + hint), state.busy),
        tokens=Figure("tokens", tokens, TOKENS_TIP + hint),
        time=Figure("time", _ticking(elapsed_ms), "Time since the request was sent."),
        cost=Figure("cost", PENDING, f"Known when the run ends. {COST_TIP}", known=False),
        curve=state.meter.rate_curve(),
    )


def final(result: RunResult, curve: tuple[float, ...] = ()) -> Figures:
    """Figures of a run that ended."""
    return Figures(
        ttft=_ttft(result),
        speed=_speed(result),
        tokens=_tokens(result),
        time=_time(result),
        cost=_cost(result.cost),
        curve=curve,
        note=_note(result),
    )


def _ttft(result: RunResult) -> Figure:
    if result.ttft_ms is None:
        return Figure("TTFT", fmt.NA, "Not measured: no visible text arrived.", known=False)
    tip = TTFT_TIP
    if result.ttfr_ms is not None:
        tip += f" The first reasoning token came after {fmt.duration(result.ttfr_ms)}."
    return Figure("TTFT", fmt.duration(result.ttft_ms), tip)


def _speed(result: RunResult) -> Figure:
    if result.decode_tok_s is None:
        return Figure("tok/s", fmt.NA, _why_no_speed(result), known=False)
    extra = []
    if result.answer_tok_s is not None:
        extra.append(f"Over the whole answer, waiting included: {fmt.tok_s(result.answer_tok_s)}.")
    if result.chars_s is not None:
        extra.append(f"Characters: {fmt.number(result.chars_s)} per second.")
    speed = Figure("tok/s", fmt.number(result.decode_tok_s), " ".join((SPEED_TIP, *extra)))
    return _marked(speed, busy_words(result.other_work))


def _marked(speed: Figure, why: str) -> Figure:
    return replace(speed, tip=f"{why} {speed.tip}", mark="busy") if why else speed


def _why_no_speed(result: RunResult) -> str:
    tokens = result.usage.completion_tokens
    if not result.text:
        return "Not measured: no visible text arrived."
    if tokens is None:
        return "Not measured: the token count was not reported."
    if tokens < 16:
        return "Not measured: fewer than 16 tokens say too little about speed."
    return "Not measured: the text came in one piece, or in under 50 ms."


def _tokens(result: RunResult) -> Figure:
    usage = result.usage
    if usage.completion_tokens is None:
        return Figure("tokens", fmt.NA, "The server did not report a token count.", known=False)
    parts = [f"Answer: {fmt.plural(usage.completion_tokens, 'token')}"]
    if usage.reasoning_tokens:
        parts[0] += f", of which {usage.reasoning_tokens:,} reasoning"
    if usage.prompt_tokens is not None:
        prompt = f"Prompt: {fmt.plural(usage.prompt_tokens, 'token')}"
        parts.append(prompt + (f", of which {usage.cached_tokens:,} cached" if usage.cached_tokens else ""))
    return Figure("tokens", fmt.count(usage.completion_tokens), ". ".join((*parts, TOKENS_TIP)))


def _time(result: RunResult) -> Figure:
    if result.e2e_ms is None:
        return Figure("time", fmt.NA, "Not measured: no visible text arrived.", known=False)
    tip = TIME_TIP
    if result.load_ms:
        tip += f" Loading the model took {fmt.duration(result.load_ms)} before that and is not part of it."
    return Figure("time", fmt.duration(result.e2e_ms), tip)


def _cost(cost: Cost) -> Figure:
    price = f" Price of {fmt.iso_day(cost.price_as_of)}." if cost.price_as_of else ""
    if cost.source:
        price = f" Price: {cost.source}."
    formula = cost.formula or COST_TIP
    if cost.basis == "practice_at_gpt4o_price":
        tip = f"Nothing was paid. What GPT-4o would have charged for these tokens: {formula}{price}"
        return Figure("would cost", fmt.usd(cost.usd), tip, known=cost.usd is not None)
    if cost.basis == "not_charged":
        return Figure("cost", fmt.usd(cost.usd), "Nothing was charged: it was not sent, or the server turned it down.")
    if cost.usd is not None and cost.basis == "estimated":
        return Figure("cost", f"≥ ~{fmt.usd(cost.usd)}", f"{_AT_LEAST}{formula}.{price}")
    if cost.usd is not None:
        return Figure("cost", fmt.usd(cost.usd), f"{formula}.{price}" if cost.source else f"{formula}{price}")
    value = "not measured" if cost.basis == "not_measured" else fmt.UNKNOWN
    return Figure("cost", value, _WHY_NO_COST.get(cost.basis, "The cost is not known."), known=False)


def _note(result: RunResult) -> str:
    """One short line; every lane has room for it."""
    cost = result.cost
    if cost.basis == "practice_at_gpt4o_price":
        return "Practice: nothing was paid. Cost at GPT-4o's price."
    if cost.basis == "estimated":
        return "It broke off: the cost is an estimate, at least about this."
    if cost.basis == "api_price" and cost.price_as_of:
        return f"At the price of {fmt.iso_day(cost.price_as_of)}."
    return _NOTES.get(cost.basis, "")


def _ticking(ms: float) -> str:
    """Elapsed time in steps of 0.1 s, so that it does not flicker."""
    return f"{ms / 1000:.1f} s" if ms < 60_000 else fmt.duration(ms)
