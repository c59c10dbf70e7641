"""The whole catalogue on one machine: every quant with its fit, speed and place. Pure: must not read devices or files.

It is quick enough to follow a slider: what a quant's tensors weigh is worked out once, the rest is some arithmetic.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from backends.devices.records import Machine
from backends.fit.learned import Learned, devices_of, expecting, explained, faster
from backends.fit.levers import levers
from backends.fit.placement import place, seen_by_engine
from backends.fit.quality_order import QualityOrder, Standing
from backends.fit.recommend import Candidate, choose, once_usable, reason_for
from backends.fit.records import Choice, Fit, Lever, Speed, Verdict, Wish
from backends.fit.speed import speed
from backends.models.records import CatalogueModel, CatalogueQuant, ModelFacts, Shape, Weights
from backends.models.weights import facts_by_rule

BEST_VERDICT_FIRST: Mapping[Verdict, int] = {"gpu": 0, "split": 1, "ram": 1, "no": 2}
NOTHING = Learned()


@dataclass(frozen=True, slots=True)
class _Row:
    model: CatalogueModel
    quant: CatalogueQuant
    standing: Standing
    facts: ModelFacts
    fit: Fit
    speed: Speed | None


def counted_on(machine: Machine) -> Machine:
    """The machine with those GPUs alone that a recommendation may count on: what this llama.cpp uses.

    With all of them where it was not asked, as on a simulated one, and where it uses none: reasons then say so.
    """
    seen = seen_by_engine(machine)
    return seen if machine.engine_known and seen.gpus else machine


def awaits_build(machine: Machine) -> bool:
    """Whether there are GPUs and this llama.cpp uses none of them."""
    return machine.engine_known and bool(machine.gpus) and not seen_by_engine(machine).gpus


def rank(
    models: Sequence[CatalogueModel],
    machine: Machine,
    wish: Wish,
    learned: Learned | None = None,
    installed: Collection[str] = (),
    headers: Mapping[str, ModelFacts] | None = None,
) -> tuple[Choice, ...]:
    """Every quant of every model that can run here: the recommended ones first, then what fits, best quality first.

    `installed` are the refs on this disk, which go first among equals; `headers` the facts of those whose file was
    read, by ref. What was `learned` corrects the estimates; it is this machine's, so leave it out for a simulated one.
    """
    taught, machine = learned or NOTHING, counted_on(machine)
    order = QualityOrder(models)
    planner = _Planner(machine, wish, taught)
    rows = [
        _row(model, quant, order, planner, (headers or {}).get(quant.ref))
        for model in models
        if not model.not_runnable
        for quant in model.quants
    ]
    on_disk = frozenset(installed)
    wanted_ctx = min(wish.n_ctx, max((row.model.shape.n_ctx_train for row in rows), default=wish.n_ctx))
    candidates = [
        Candidate(
            ref=row.quant.ref,
            standing=row.standing,
            fit=row.fit,
            speed=row.speed,
            in_context=row.fit.n_ctx >= wanted_ctx,
            installed=row.quant.ref in on_disk,
        )
        for row in rows
    ]
    picks = choose(candidates)
    until_built = _Planner(seen_by_engine(machine), wish, taught) if awaits_build(machine) else None
    choices = [
        Choice(
            ref=row.quant.ref,
            model_id=row.model.id,
            model=row.model.name,
            quant=row.quant.quant,
            file_bytes=row.quant.size_bytes,
            fit=row.fit,
            speed=row.speed,
            quality=row.quant.quality,
            rank=picks.rank_of(candidate.ref),
            reason=_reason(reason_for(candidate, picks), row, until_built, machine),
        )
        for row, candidate in zip(rows, candidates, strict=True)
    ]
    return tuple(_in_order(choices, candidates))


def facts_of(model: CatalogueModel, quant: CatalogueQuant) -> ModelFacts:
    """What fit must know of a quant, by rule; worked out once."""
    return _facts(model.name, model.shape, quant.quant, quant.size_bytes, quant.imatrix)


@lru_cache(maxsize=1024)
def _facts(name: str, shape: Shape, quant: str, size_bytes: int, imatrix: bool) -> ModelFacts:
    return facts_by_rule(name, quant, shape, imatrix=imatrix, size_bytes=size_bytes)


def fit_of(facts: ModelFacts, machine: Machine, wish: Wish, learned: Learned | None = None) -> Fit:
    """One model's fit, with what earlier loads on these devices taught."""
    taught = learned or NOTHING
    return explained(place(facts, expecting(machine, taught), wish), machine, taught)


def levers_of(
    model: CatalogueModel,
    quant: CatalogueQuant,
    fit: Fit,
    machine: Machine,
    wish: Wish,
    learned: Learned | None = None,
) -> tuple[Lever, ...]:
    """What would change the fit of a quant of the catalogue, by the same corrections as the fit itself."""
    others = [facts_of(model, each) for each in model.quants if each.ref != quant.ref]
    return levers(facts_of(model, quant), expecting(machine, learned or NOTHING), wish, fit, others)


def speed_of(
    ref: str,
    fit: Fit,
    facts: ModelFacts,
    machine: Machine,
    learned: Learned | None = None,
    depth_tokens: int | None = None,
) -> Speed | None:
    """Own runs of this very kind where there are any, else the estimate, corrected by own runs of its like."""
    taught, devices = learned or NOTHING, devices_of(fit)
    if fit.verdict == "no":
        return None
    own = taught.own_speed(ref, devices, fit.n_ctx, fit.kv_type, fit.gpu_layers) if depth_tokens is None else None
    guess = own or speed(fit, facts, machine, depth_tokens)
    if guess is None or guess.basis == "own_runs":
        return guess
    return faster(guess, taught.speed_factor(ref, devices, fit.gpu_layers))


class _Planner:
    """Fits on one machine; models of one shape and weights, as 3.1 70B and 3.3 70B are, share theirs."""

    def __init__(self, machine: Machine, wish: Wish, learned: Learned) -> None:
        self.machine = machine
        self.learned = learned
        self._wish = wish
        self._expected = expecting(machine, learned)
        self._known: dict[tuple[Shape, Weights], Fit] = {}

    def fit(self, facts: ModelFacts) -> Fit:
        key = facts.shape, facts.weights
        if key not in self._known:
            self._known[key] = explained(place(facts, self._expected, self._wish), self.machine, self.learned)
        return self._known[key]


def _row(
    model: CatalogueModel, quant: CatalogueQuant, order: QualityOrder, planner: _Planner, header: ModelFacts | None
) -> _Row:
    facts = header or facts_of(model, quant)
    fit = planner.fit(facts)
    rate = speed_of(quant.ref, fit, facts, planner.machine, planner.learned)
    return _Row(model, quant, order.standing(model, quant), facts, fit, rate)


def _reason(reason: str, row: _Row, until_built: _Planner | None, machine: Machine) -> str:
    if until_built is None or row.fit.verdict not in ("gpu", "split"):
        return reason
    now = until_built.fit(row.facts)
    rate = speed_of(row.quant.ref, now, row.facts, until_built.machine, until_built.learned)
    return once_usable(reason, machine, now, rate)


def _in_order(choices: Iterable[Choice], candidates: Iterable[Candidate]) -> list[Choice]:
    def place_in_list(pair: tuple[Choice, Candidate]) -> tuple[int, int, bool, tuple[float, ...]]:
        choice, candidate = pair
        verdict = BEST_VERDICT_FIRST[choice.fit.verdict]
        return choice.rank or 9, verdict, not candidate.in_context, candidate.standing.place

    return [choice for choice, _ in sorted(zip(choices, candidates, strict=True), key=place_in_list)]
