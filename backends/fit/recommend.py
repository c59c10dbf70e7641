"""Which three to recommend, and why in a sentence each. Pure: must not know where candidates come from.

1  the best quality that fits wholly in free memory, reserve included, and decodes at 10 tok/s or more: on the GPUs;
   from the machine's memory, or from both, where nothing fits on a GPU
2  the best quality that is at least half as fast again as the first
3  the best quality above the first: partly on the CPU, or too slow for the first place. As quick as one reads (5 tok/s)
   where there is such a one, else 3, else 2 tok/s

A speed counts by the middle of its range. By the low end the widest range would lose first, which is that of the
devices we know least of, not that of the slow ones. On a GPU whose bandwidth nobody knows the first place goes by
quality alone; from the machine's memory nothing is recommended unless its speed is known. Where nothing reaches
10 tok/s there is no first place, and the fastest takes the second. A model that was not trained for the wanted context
takes none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backends.devices.records import Machine
from backends.fit.quality_order import Standing
from backends.fit.records import Choice, Fit, Part, Rank, Speed

GIB = 2**30
ENOUGH_TOK_S = 10.0
PACES_TOK_S = (5.0, 3.0, 2.0)  # silent reading is about 240 words a minute, 5 tok/s
FASTER = 1.5


@dataclass(frozen=True, slots=True)
class Candidate:
    """A quant as far as choosing goes. `in_context`: it was trained for the context that is wanted."""

    ref: str
    standing: Standing
    fit: Fit
    speed: Speed | None
    in_context: bool = True
    installed: bool = False

    @property
    def tok_s(self) -> float | None:
        return None if self.speed is None else self.speed.middle_tok_s


@dataclass(frozen=True, slots=True)
class Picks:
    """The three; each may be missing."""

    best: Candidate | None = None
    faster: Candidate | None = None
    better: Candidate | None = None

    def rank_of(self, ref: str) -> Rank | None:
        if self.best is not None and self.best.ref == ref:
            return 1
        if self.faster is not None and self.faster.ref == ref:
            return 2
        return 3 if self.better is not None and self.better.ref == ref else None


def choose(candidates: Sequence[Candidate]) -> Picks:
    """The three by the rules above."""
    fits = [each for each in candidates if each.in_context and each.fit.verdict != "no"]
    on_gpu = [each for each in fits if each.fit.verdict == "gpu" and (each.tok_s is None or each.tok_s >= ENOUGH_TOK_S)]
    pool = on_gpu or [each for each in fits if (each.tok_s or 0) >= ENOUGH_TOK_S]
    best = _best(pool)
    if best is None:
        quickest = max((each for each in fits if each.tok_s), key=lambda each: each.tok_s or 0, default=None)
        return Picks(None, quickest, None if quickest is None else _better(fits, quickest))
    quicker = [each for each in pool if best.tok_s and (each.tok_s or 0) >= FASTER * best.tok_s]
    return Picks(best, _best(each for each in quicker if not each.standing.demoted), _better(fits, best))


def _best(some: Iterable[Candidate]) -> Candidate | None:
    """Of equal quality, the one that is on this disk, then the smallest."""

    def worst(each: Candidate) -> tuple[tuple[float, ...], bool, float]:
        *quality, size = each.standing.place
        return tuple(quality), not each.installed, size

    return min(some, key=worst, default=None)


def _better(fits: Iterable[Candidate], first: Candidate) -> Candidate | None:
    above = [each for each in fits if each.standing.better_than(first.standing)]
    for pace in PACES_TOK_S:
        found = _best(each for each in above if (each.tok_s or 0) >= pace)
        if found is not None:
            return found
    return None


# -- words --------------------------------------------------------------------------------------------------------


def reason_for(each: Candidate, picks: Picks) -> str:
    """One sentence with the figures that decided."""
    match picks.rank_of(each.ref):
        case 1:
            fits = f"Best quality that fits {_where(each.fit)}{_at_speed(each)}"
            return f"{fits}: takes {takes_words(each.fit)}{_rate(each)}."
        case 2 if picks.best is None:
            return f"Nothing that fits is likely to reach {ENOUGH_TOK_S:g} tok/s; this is the fastest{_rate(each)}."
        case 2:
            slower = None if picks.best is None else picks.best.speed
            return f"Faster: {speed_words(each.speed)} instead of {_rates(slower)}, at lower quality."
        case 3:
            return f"Better answers, but {_slow_because(each.fit)}{_rate(each)}."
        case _:
            return _plain(each)


def once_usable(reason: str, machine: Machine, now: Fit, speed: Speed | None) -> str:
    """A reason that counts on GPUs which this llama.cpp does not use, with what there is until it does.

    `now` and `speed` are of the same quant without those GPUs.
    """
    unseen = any(problem.code == "gpu_unseen" for problem in machine.problems)
    until = "sees it; as it is now" if unseen else "is built for it; as built now"
    if now.verdict == "no":
        then = f"it does not fit, {size_words(now.missing_bytes)} of memory are missing"
    else:
        then = f"on the CPU, {'at a speed that is not known' if speed is None else speed_words(speed)}"
    return f"{reason.removesuffix('.')}, once llama.cpp {until}: {then}."


def _plain(each: Candidate) -> str:
    fit = each.fit
    if fit.verdict == "no":
        return f"Does not fit: {size_words(fit.missing_bytes)} of memory are missing."
    if not each.in_context:
        return f"Its context ends at {fit.n_ctx:,} tokens, less than is wanted."
    if fit.verdict == "gpu":
        return f"Fits {_where(fit)}: takes {takes_words(fit)}{_rate(each)}."
    return f"Fits, but {_slow_because(fit)}{_rate(each)}."


def _where(fit: Fit) -> str:
    if fit.verdict == "gpu":
        names = [part.device.name for part in fit.gpus if part.layers]
        return f"wholly on {names[0]}" if len(names) == 1 else f"wholly on {len(names)} GPUs"
    return "in this machine's memory" if fit.verdict == "ram" else "with the help of the CPU"


def _at_speed(each: Candidate) -> str:
    return "" if each.tok_s is None else f" at {ENOUGH_TOK_S:g} tok/s or more"


def _rate(each: Candidate) -> str:
    return ", at a speed that is not known" if each.speed is None else f", {speed_words(each.speed)}"


def _slow_because(fit: Fit) -> str:
    if fit.verdict == "gpu":
        return f"it is slow even {_where(fit)}"
    if fit.verdict == "split":
        return f"{fit.n_layers - fit.gpu_layers} of {fit.n_layers} layers run on the CPU"
    return "it runs on the CPU from the machine's memory"


def main_parts(fit: Fit) -> tuple[Part, ...]:
    """The devices that the verdict is about: the GPUs, or the machine's memory."""
    return fit.gpus if fit.verdict in ("gpu", "split") and fit.gpus else (fit.host,)


def free_bytes(fit: Fit) -> int | None:
    """Free memory of those devices together; None where one does not say."""
    sizes = [part.device.free_bytes for part in main_parts(fit)]
    return sum(size for size in sizes if size is not None) if None not in sizes else None


def takes_words(fit: Fit) -> str:
    """As “5.1 of 22.0 GiB free”."""
    total, free = sum(part.total_bytes for part in main_parts(fit)), free_bytes(fit)
    return f"{size_words(total)}" if free is None else f"{total / GIB:.1f} of {size_words(free)} free"


def size_words(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f} GiB"


def speed_words(speed: Speed | None) -> str:
    """As “about 66 to 110 tok/s”, or what own runs gave."""
    if speed is None:
        return "an unknown speed"
    rates = f"{_rates(speed)} tok/s"
    if speed.basis == "own_runs":
        return f"{rates} in your own {'run' if speed.n_runs == 1 else 'runs'}"
    return f"about {rates}"


def _rates(speed: Speed | None) -> str:
    low, high = ("?", "?") if speed is None else (_figure(speed.low_tok_s), _figure(speed.high_tok_s))
    return low if low == high else f"{low} to {high}"


def _figure(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 9.95 else f"{rate:.1f}"


def headline(choices: Sequence[Choice], machine_words: str = "On this machine") -> str:
    """One plain sentence to begin with; an honest one where nothing can be recommended."""
    first = next((each for each in choices if each.rank == 1), None)
    if first is not None:
        return f"{machine_words} take {first.model} {first.quant} ({first.ref}). {first.reason}"
    second = next((each for each in choices if each.rank == 2), None)
    if second is not None:
        named = f"{second.model} {second.quant} ({second.ref})"
        return f"{machine_words} nothing is recommended. {second.reason} It is {named}."
    if any(each.fit.verdict != "no" for each in choices):
        return f"{machine_words} nothing is recommended: what fits runs on the CPU, at a speed that is not known."
    return f"{machine_words} nothing of the catalogue fits in the memory that is free now."
