"""One plain sentence or two that compare the lanes of a comparison. Pure: must not know Qt or engines.

Only figures that exist are compared; nothing is called cheaper unless both costs are known and were really charged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from backends.records import RunResult
from widgets import format as fmt
from widgets.lane_state import ENDED, Phase
from widgets.values import Mode

SAME_WITHIN = 1.05  # ratios below this are told as equal: run-to-run noise is of this size


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one lane ended; `label` is its target's name in the window."""

    label: str
    phase: Phase
    result: RunResult | None = None


def sentence(outcomes: Sequence[Outcome], mode: Mode = "sequence") -> str:
    """The comparing words; empty while nothing has ended."""
    ended = [outcome for outcome in _named(outcomes) if outcome.phase in ENDED]
    if not ended:
        return ""
    done = [outcome for outcome in ended if outcome.phase == "done" and outcome.result is not None]
    parts = [_pace(done), _money(ended), _not_done(ended)]
    if mode == "race" and len(done) > 1:
        parts.append("They ran at the same time and competed for this machine.")
    return " ".join(part for part in parts if part)


def _named(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Two lanes with the same target are told apart by their place."""
    seen = Counter(outcome.label for outcome in outcomes)
    return [
        replace(outcome, label=f"{outcome.label} (lane {place})") if seen[outcome.label] > 1 else outcome
        for place, outcome in enumerate(outcomes, start=1)
    ]


def _measured(
    done: Sequence[Outcome],
    figure: Callable[[RunResult], float | None],
) -> list[tuple[float, str]]:
    pairs = []
    for outcome in done:
        value = figure(outcome.result) if outcome.result is not None else None
        if value is not None and value > 0:
            pairs.append((value, outcome.label))
    return sorted(pairs)


def _pace(done: Sequence[Outcome]) -> str:
    """Who began sooner and who wrote faster, in one sentence where it is the same lane."""
    times = _measured(done, lambda result: result.ttft_ms)
    rates = _measured(done, lambda result: result.decode_tok_s)[::-1]
    begun, wrote = _began(times), _wrote(rates)
    if begun[0] and begun[0] == wrote[0]:
        return f"{begun[0]} {begun[1]} and {wrote[1]}."
    return " ".join(f"{who} {did}." for who, did in (begun, wrote) if who)


def _began(times: Sequence[tuple[float, str]]) -> tuple[str, str]:
    if not times:
        return "", ""
    (best, first), (worst, last) = times[0], times[-1]
    if len(times) == 1:
        return first, f"began to answer after {fmt.duration(best)}"
    if worst / best < SAME_WITHIN:
        figures = _list([fmt.duration(value) for value, _ in times])
        return "Both" if len(times) == 2 else "All", f"began to answer about equally soon (TTFT {figures})"
    if len(times) == 2:
        against = f"TTFT {fmt.duration(best)} against {fmt.duration(worst)}"
        return first, f"began to answer {fmt.ratio(worst / best)} sooner than {last} ({against})"
    rest = ", ".join(f"{label} {fmt.duration(value)}" for value, label in times[1:])
    return first, f"began to answer first (TTFT {fmt.duration(best)}; {rest})"


def _wrote(rates: Sequence[tuple[float, str]]) -> tuple[str, str]:
    if not rates:
        return "", ""
    (best, first), (worst, _last) = rates[0], rates[-1]
    if len(rates) == 1:
        return first, f"wrote {fmt.tok_s(best)}"
    if best / worst < SAME_WITHIN:
        figures = _list([fmt.number(value) for value, _ in rates])
        return "Both" if len(rates) == 2 else "All", f"wrote about equally fast: {figures} tok/s"
    if len(rates) == 2:
        return first, f"wrote faster: {fmt.number(best)} against {fmt.number(worst)} tok/s"
    rest = ", ".join(f"{label} {fmt.number(value)}" for value, label in rates[1:])
    return first, f"wrote fastest: {fmt.number(best)} tok/s ({rest})"


def _money(ended: Sequence[Outcome]) -> str:
    """Who was paid: every run that ended counts, since a provider charges for broken answers too."""
    charged, at_least, unmeasured, unknown, unpaid = [], [], [], [], 0
    for outcome in ended:
        if outcome.result is None:
            continue
        cost = outcome.result.cost
        if cost.basis in ("practice_at_gpt4o_price", "not_measured"):
            unpaid += 1
            if cost.basis == "not_measured":
                unmeasured.append(outcome.label)
        elif cost.basis == "not_charged":
            continue
        elif cost.usd is not None and cost.basis == "estimated":
            at_least.append(f"{outcome.label} cost at least about {fmt.usd(cost.usd)}.")
        elif cost.usd is not None:
            charged.append((cost.usd, outcome.label))
        elif outcome.phase != "failed" or outcome.result.text:
            unknown.append(outcome.label)
    if unpaid == len(ended):
        return "Nothing was paid to a provider."
    parts = [_charged(sorted(charged))] if charged else []
    parts.extend(at_least)
    parts.extend(f"The cost of {label} is unknown." for label in unknown)
    if parts and unmeasured:
        parts.append(f"The cost of {_list(unmeasured)} is not measured.")
    return " ".join(parts)


def _charged(charged: Sequence[tuple[Decimal, str]]) -> str:
    least, label = charged[0]
    if len(charged) == 1:
        return f"{label} cost {fmt.usd(least)}."
    if least == charged[-1][0]:
        return f"{_list([name for _, name in charged])} cost {fmt.usd(least)} each."
    if len(charged) == 2:
        most, other = charged[1]
        return f"{label} was cheaper than {other}: {fmt.usd(least)} against {fmt.usd(most)}."
    return f"Charged: {_list([f'{name} {fmt.usd(usd)}' for usd, name in charged])}."


def _not_done(ended: Sequence[Outcome]) -> str:
    words = {
        "failed": "failed",
        "stopped": "was stopped",
        "incomplete": "gave an incomplete answer",
        "interrupted": "was interrupted",
    }
    told = [f"{outcome.label} {words[outcome.phase]}" for outcome in ended if outcome.phase in words]
    if not told:
        return ""
    note = " and is not compared" if len(told) == 1 else ", and they are not compared"
    return f"{_list(told)}{note if len(ended) > 1 else ''}."


def _list(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
