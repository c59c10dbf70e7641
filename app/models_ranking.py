"""Judges the catalogue and a person's own files for the Models page, in one go. Must not know Qt, nor ask a device.

It takes some 20 ms of Python and reads the headers of files that are new to it: call it in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from app.models_view import lever_lines, model_rows
from backends.devices.records import Device, Machine
from backends.errors import NearfarError
from backends.fit.records import Choice, Fit, Lever, Part, Verdict, Wish
from backends.models.records import CatalogueModel, InstalledModel, ModelFacts
from widgets.model_values import ClosestModel, ModelRow

BEST_FIRST: tuple[Verdict, ...] = ("gpu", "split", "ram", "no")

if TYPE_CHECKING:
    from backends.fit.learned import Learned


@dataclass(frozen=True, slots=True)
class Question:
    """What to judge, as things stand. `exact` are fits that llama.cpp itself gave, by ref; `ref` is the row shown."""

    machine: Machine
    wish: Wish
    learned: Learned
    installed: tuple[InstalledModel, ...] = ()
    exact: Mapping[str, Fit] = field(default_factory=dict)
    ref: str | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """The answer, with the page's rows made of it. `exact` are those fits that still hold; `levers` belong to the row
    of the question alone. `closest` is set where nothing fits. `unmeasured`: it is a careful choice, for a CPU whose
    memory nobody has measured yet."""

    question: Question
    choices: tuple[Choice, ...]
    exact: Mapping[str, Fit]
    levers: Mapping[str, tuple[Lever, ...]]
    rows: tuple[ModelRow, ...] = ()
    closest: ClosestModel | None = None
    unmeasured: bool = False

    def choice(self, ref: str | None) -> Choice | None:
        return next((each for each in self.choices if each.ref == ref), None)


def ranked(question: Question, models: Sequence[CatalogueModel]) -> Ranking:
    """Blocks; see above. The catalogue's rows in their order, then the person's own files."""
    from backends.fit.careful import assumed, careful, needs_care
    from backends.fit.ranking import counted_on, rank

    question = replace(question, machine=counted_on(question.machine))
    refs = [model.ref for model in question.installed]
    headers = headers_of(question.installed, models)
    unmeasured = needs_care(question.machine)
    machine = assumed(question.machine) if unmeasured else question.machine
    choices = rank(models, machine, question.wish, question.learned, refs, headers)
    choices = careful(choices) if unmeasured else choices
    exact: dict[str, Fit] = {}
    rows = []
    for choice in chain(choices, _own(question, {each.ref for each in choices})):
        fit = still_exact(question.exact.get(choice.ref), choice.fit)
        if fit is not None:
            exact[choice.ref] = fit
        rows.append(choice if fit is None else replace(choice, fit=fit))
    shown = next((each for each in rows if each.ref == question.ref), None)
    levers = {} if shown is None else {shown.ref: _levers(shown, question, models)}
    by_id = {model.id: model for model in models}
    return Ranking(
        question,
        tuple(rows),
        exact,
        levers,
        model_rows(rows, by_id, levers),
        _closest(rows, question, models),
        unmeasured,
    )


def _closest(choices: Sequence[Choice], question: Question, models: Sequence[CatalogueModel]) -> ClosestModel | None:
    """Where nothing fits: of the smallest quant of each model, one that a single change would make fit, and of those
    the one that lacks least; else the one that lacks least. None where something fits."""
    if any(choice.fit.verdict != "no" for choice in choices):
        return None
    smallest: dict[str, Choice] = {}
    for choice in sorted(choices, key=lambda each: each.file_bytes):
        smallest.setdefault(choice.model_id or choice.ref, choice)
    by_id = {model.id: model for model in models}
    found: list[tuple[bool, int, ClosestModel]] = []
    for choice in smallest.values():
        lines = lever_lines(_levers(choice, question, models), by_id.get(choice.model_id))
        helps = [line for line in lines if line.verdict != "no"]
        best = min(helps, key=lambda line: BEST_FIRST.index(line.verdict), default=None)
        found.append((best is None, choice.fit.missing_bytes, ClosestModel(choice.ref, best)))
    return min(found, key=lambda each: each[:2], default=(True, 0, None))[2]


def still_exact(exact: Fit | None, planned: Fit) -> Fit | None:
    """llama.cpp's sizes on the devices as they are now; None once the plan puts the model elsewhere."""
    from backends.fit.placement import judged

    if exact is None or _layout(exact) != _layout(planned):
        return None
    gpus = tuple(_sized(was, now) for was, now in zip(exact.gpus, planned.gpus, strict=True))
    whole = exact.gpu_layers == exact.n_layers
    verdict: Verdict = "gpu" if whole else "split" if exact.gpu_layers else "ram"
    return judged(
        replace(planned, verdict=verdict, gpus=gpus, host=_sized(exact.host, planned.host), missing_bytes=0, exact=True)
    )


def _layout(fit: Fit) -> tuple[object, ...]:
    return fit.n_ctx, fit.kv_type, fit.gpu_layers, tuple(_identity(part.device) for part in fit.gpus)


def _identity(device: Device) -> object:
    return device.uuid or device.pci_id or (device.name, device.backend)


def _sized(was: Part, now: Part) -> Part:
    return replace(
        now, layers=was.layers, weights_bytes=was.weights_bytes, kv_bytes=was.kv_bytes, compute_bytes=was.compute_bytes
    )


def _own(question: Question, known: Iterable[str]) -> Iterator[Choice]:
    """Rows for files that are not of the catalogue, where their header tells enough."""
    from backends.fit.placement import seen_by_engine
    from backends.fit.ranking import awaits_build, fit_of, speed_of
    from backends.fit.recommend import once_usable

    for model in question.installed:
        facts = None if model.ref in known or model.missing_parts else facts_of_file(model)
        if facts is None:
            continue
        machine, learned = question.machine, question.learned
        fit, reason = fit_of(facts, machine, question.wish, learned), ""
        if fit.verdict in ("gpu", "split") and awaits_build(machine):
            seen = seen_by_engine(machine)
            now = fit_of(facts, seen, question.wish, learned)
            reason = once_usable(_reason(fit), machine, now, speed_of(model.ref, now, facts, seen, learned))
        yield Choice(
            ref=model.ref,
            model_id="",
            model=model.name,
            quant=model.quant or facts.quant or "",
            file_bytes=model.size_bytes,
            fit=fit,
            speed=speed_of(model.ref, fit, facts, machine, learned),
            quality=None,
            rank=None,
            reason=reason or _reason(fit),
        )


def _reason(fit: Fit) -> str:
    from backends.fit.recommend import size_words

    if fit.verdict == "no":
        return f"Does not fit: {size_words(fit.missing_bytes)} of memory are missing."
    return "Not of the catalogue: what it needs was read from the file itself, and its quality is not known."


def headers_of(installed: Iterable[InstalledModel], models: Iterable[CatalogueModel]) -> Mapping[str, ModelFacts]:
    """What the files of quants of the catalogue say themselves, by ref: a load goes by that too. Blocks."""
    refs = {quant.ref for model in models for quant in model.quants}
    told = ((each.ref, facts_of_file(each)) for each in installed if each.ref in refs and not each.missing_parts)
    return {ref: facts for ref, facts in told if facts is not None}


def facts_of_file(model: InstalledModel) -> ModelFacts | None:
    """What fit must know, from the header of a file that is here; None where the file does not tell. Reads it once."""
    return _facts(model.path, model.name, model.size_bytes)


@lru_cache(maxsize=256)
def _facts(path: Path, name: str, _size_bytes: int) -> ModelFacts | None:
    from backends.models.gguf_file import read_model
    from backends.models.weights import facts_from_header

    try:
        return facts_from_header(read_model(path), name=name)
    except NearfarError:  # damaged, gone, or of a kind whose shape we cannot read: the list of files says which
        return None


def _levers(choice: Choice, question: Question, models: Sequence[CatalogueModel]) -> tuple[Lever, ...]:
    from backends.fit.learned import expecting
    from backends.fit.levers import levers
    from backends.fit.ranking import levers_of

    model = next((each for each in models if each.id == choice.model_id), None)
    if model is not None:
        quant = next(each for each in model.quants if each.ref == choice.ref)
        return levers_of(model, quant, choice.fit, question.machine, question.wish, question.learned)
    file = next((each for each in question.installed if each.ref == choice.ref), None)
    facts = facts_of_file(file) if file is not None else None
    machine = expecting(question.machine, question.learned)
    return () if facts is None else levers(facts, machine, question.wish, choice.fit)


def shown_by_default(choices: Sequence[Choice]) -> Choice | None:
    """The row that the page shows while none is selected, as far as can be told before it did."""
    return next((each for each in choices if each.rank == 1), None) or next(iter(choices), None)
