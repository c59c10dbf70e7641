"""What would change a verdict: another quant, a shorter context, a smaller KV cache. Must not choose among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from backends.devices.records import Machine
from backends.fit.memory import context_of
from backends.fit.placement import place
from backends.fit.records import Fit, Lever, Verdict, Wish
from backends.models.records import ModelFacts
from backends.records import KvType

BETTER_FIRST: tuple[Verdict, ...] = ("gpu", "split", "ram", "no")
LESS_THAN: dict[KvType, tuple[KvType, ...]] = {"f16": ("q8_0", "q4_0"), "q8_0": ("q4_0",), "q4_0": ()}
# Below this a context is of no use in a conversation.
SHORTEST_CONTEXT = 2048
LAYER_STEPS = 20  # a quant that brings but a layer or two is no lever
STEP = 1024  # a multiple of the 256 tokens to which llama.cpp rounds


def levers(
    model: ModelFacts, machine: Machine, wish: Wish, fit: Fit, other_quants: Iterable[ModelFacts] = ()
) -> tuple[Lever, ...]:
    """Each change alone that brings a better verdict than `fit`, or more layers onto the GPUs; none where all fits.

    In the order: the largest quant for each better verdict, else for each twentieth of the layers more; the longest
    context for the best verdict, else for most layers; the KV types from better to smaller, the first that is enough
    last. `saves_bytes` is over all devices. `other_quants` are of the same model.
    """
    if fit.verdict == "gpu":
        return ()
    return (
        *_by_quant(model, machine, wish, fit, other_quants),
        *_by_context(model, machine, wish, fit),
        *_by_kv_type(model, machine, wish, fit),
    )


def improves(new: Fit, old: Fit) -> bool:
    """A better verdict, or more of the model on the GPUs."""
    if new.verdict != old.verdict:
        return BETTER_FIRST.index(new.verdict) < BETTER_FIRST.index(old.verdict)
    return new.verdict == "split" and new.gpu_layers > old.gpu_layers


def _by_quant(
    model: ModelFacts, machine: Machine, wish: Wish, fit: Fit, others: Iterable[ModelFacts]
) -> Iterator[Lever]:
    """The largest smaller quant for each better verdict; where there is none, for each worthwhile step of layers."""
    size = _weight(model)
    smaller = sorted((other for other in others if _weight(other) < size and other.quant), key=_weight, reverse=True)
    best = last = fit
    steps = []
    for other in smaller:
        new = place(other, machine, wish)
        lever = Lever("quant", other.quant or "", new, fit.total_bytes - new.total_bytes)
        if improves(new, best) and new.verdict != best.verdict:
            best = new
            yield lever
            if new.verdict == "gpu":
                return
        elif improves(new, last) and new.gpu_layers - last.gpu_layers >= fit.n_layers / LAYER_STEPS:
            last = new
            steps.append(lever)
    if best is fit:
        yield from steps


def _by_context(model: ModelFacts, machine: Machine, wish: Wish, fit: Fit) -> Iterator[Lever]:
    """The longest context that fits wholly on GPUs, else the longest with any better verdict; needs grow with it.

    Where none has one, the longest that brings as many layers onto the GPUs as the shortest would.
    """
    top = (context_of(model.shape, wish.n_ctx) - 1) // STEP
    bottom = SHORTEST_CONTEXT // STEP
    if top < bottom:
        return

    def at(steps: int) -> Fit:
        return place(model, machine, replace(wish, n_ctx=steps * STEP))

    shortest = at(bottom)  # no longer one can do better
    if not improves(shortest, fit):
        return

    def is_enough(new: Fit) -> bool:
        return new.verdict == shortest.verdict if shortest.verdict != fit.verdict else not improves(shortest, new)

    low, high = bottom, top
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if is_enough(at(middle)) else (low, middle - 1)
    new = at(low)
    yield Lever("context", str(low * STEP), new, fit.total_bytes - new.total_bytes)


def _by_kv_type(model: ModelFacts, machine: Machine, wish: Wish, fit: Fit) -> Iterator[Lever]:
    best = fit
    for kv_type in LESS_THAN[wish.kv_type]:
        new = place(model, machine, replace(wish, kv_type=kv_type))
        if improves(new, best):
            best = new
            yield Lever("kv_type", kv_type, new, fit.total_bytes - new.total_bytes)
            if new.verdict == "gpu":
                return


def _weight(model: ModelFacts) -> int:
    return sum(model.weights.layer_bytes)
