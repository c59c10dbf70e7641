"""Decides where a model's layers go on a machine, and whether they fit there. Must not load, measure or ask anything.

One GPU is better than several, since layers on several take turns; a faster one is better than a slower. Where nothing
holds the whole model, as many of its last layers as fit go to GPUs, and the machine's memory takes the rest.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from backends.devices.records import Device, Machine
from backends.fit.memory import (
    GPU_OVERHEAD_BYTES,
    HOST_OVERHEAD_BYTES,
    MIB,
    Layout,
    Need,
    compute_on,
    context_of,
    kv_bytes_per_layer,
    needs,
)
from backends.fit.records import Fit, Part, Wish
from backends.local.facts import MAX_DEVICES, DeviceRef, LoadOptions
from backends.models.records import ModelFacts

# With the overhead above 969 MiB: about the 1,024 MiB that llama.cpp's own --fit-target leaves, which holds both too.
GPU_RESERVE_BYTES = 512 * MIB
# What the system and other programs keep of the machine's memory: a sixteenth of it, within bounds.
HOST_RESERVE_SHARE = 16
LEAST_HOST_RESERVE_BYTES, MOST_HOST_RESERVE_BYTES = 512 * MIB, 4096 * MIB
SHARE_STEPS = 24


def place(
    model: ModelFacts,
    machine: Machine,
    wish: Wish,
    *,
    overhead_bytes: int = GPU_OVERHEAD_BYTES,
    reserve_bytes: int = GPU_RESERVE_BYTES,
) -> Fit:
    """The best verdict on this machine. Pure and quick: a slider may call it for a whole catalogue.

    `overhead_bytes` is what a driver takes on each GPU beside the buffers, `reserve_bytes` what stays free there.
    """
    planner = _Planner(model, machine, wish, overhead_bytes, reserve_bytes)
    wanted = model.shape.n_layers + 1 if wish.gpu_layers is None else min(wish.gpu_layers, model.shape.n_layers + 1)
    on_host = planner.fit((), Layout())
    if wanted == 0 or not planner.gpu_sets:
        return on_host
    whole = planner.smallest_set(wanted)
    if whole is not None:
        return whole
    if wish.gpu_layers is not None:
        return planner.nearest(wanted)
    split = planner.most_layers()
    return on_host if split is None else min(split, on_host, key=lambda fit: fit.missing_bytes)


def load_options(fit: Fit, wish: Wish | None = None) -> LoadOptions:
    """How to load a model so that it lands as planned. On the host alone, no GPU takes part at all."""
    seen: dict[str, int] = {}
    refs = []
    for part in fit.gpus:
        device = part.device
        seen[device.name] = seen.get(device.name, 0) + 1
        # A slice has the bus id of the whole GPU, of which llama.cpp sees one slice at most.
        refs.append(DeviceRef(device.pci_id, device.backend, device.name, seen[device.name]))
    return LoadOptions(
        n_ctx=fit.n_ctx,
        kv_type=fit.kv_type,
        n_gpu_layers=fit.gpu_layers,
        n_batch=None if wish is None else wish.n_batch,
        n_parallel=1 if wish is None else wish.n_parallel,
        devices=tuple(refs),
        tensor_split=tuple(float(part.layers) for part in fit.gpus) if len(refs) > 1 else None,
    )


def seen_by_engine(machine: Machine) -> Machine:
    """The machine without the GPUs that this llama.cpp cannot use: what a load may count on, now."""
    return replace(machine, gpus=tuple(gpu for gpu in machine.gpus if gpu.backend is not None))


def judged(fit: Fit, *, reserve_bytes: int = GPU_RESERVE_BYTES) -> Fit:
    """The fit with what its tightest device lacks, reserve included; the verdict is `no` where that is anything."""
    missing = [part.total_bytes + reserve_bytes - (part.device.free_bytes or 0) for part in fit.gpus]
    host = fit.host.device
    if host.free_bytes is not None:
        pooled = sum(part.total_bytes for part in fit.gpus if part.device.memory == "shared")
        missing.append(fit.host.total_bytes + pooled + host_reserve_bytes(host) - host.free_bytes)
    worst = max(missing, default=0)
    if worst <= 0:
        return replace(fit, missing_bytes=0, tightest_at=None)
    return replace(fit, missing_bytes=worst, verdict="no", tightest_at=missing.index(worst))


def host_reserve_bytes(host: Device) -> int:
    """What is left to the system of the machine's memory."""
    share = (host.total_bytes or 0) // HOST_RESERVE_SHARE
    return min(max(share, LEAST_HOST_RESERVE_BYTES), MOST_HOST_RESERVE_BYTES)


@dataclass(frozen=True, slots=True)
class _Sums:
    """Weights and KV cache of the first n layers, at place n; the last one holds the output too."""

    upto: tuple[int, ...]

    @classmethod
    def of(cls, model: ModelFacts, wish: Wish) -> _Sums:
        kv = kv_bytes_per_layer(model.shape, wish.n_ctx, wish.kv_type, wish.n_parallel)
        layers = (size + kv for size in model.weights.layer_bytes)
        return cls((0, *accumulate((*layers, model.weights.output_bytes))))

    def end(self, start: int, room: int) -> int:
        """How far layers from `start` on reach in so much room."""
        return max(start, bisect_right(self.upto, self.upto[start] + room) - 1)

    def start(self, end: int, room: int) -> int:
        """Where layers that end at `end` may begin in so much room."""
        return min(end, bisect_left(self.upto, self.upto[end] - room))


class _Planner:
    """One model on one machine: which sets of GPUs there are, and what becomes of the model on each."""

    def __init__(self, model: ModelFacts, machine: Machine, wish: Wish, overhead: int, reserve: int) -> None:
        self._model = model
        self._host = machine.cpu
        self._wish = wish
        self._overhead = overhead
        self._reserve = reserve
        self._sums = _Sums.of(model, wish)
        # Layers that are wished onto GPUs are set beside what is free there, however little that is.
        least = overhead + reserve if wish.gpu_layers is None else 0
        self.gpu_sets = tuple(_sets(machine.gpus, least))

    def fit(self, gpus: Sequence[Device], layout: Layout) -> Fit:
        """The verdict for a layout, with what it lacks."""
        layout = replace(layout, shared=_shares(gpus))
        shape = self._model.shape
        wish = self._wish
        *on_gpus, on_host = needs(self._model, layout, wish.n_ctx, wish.kv_type, wish.n_batch, wish.n_parallel)
        parts = tuple(_part(gpu, need, self._overhead) for gpu, need in zip(gpus, on_gpus, strict=True))
        host = _part(self._host, on_host, HOST_OVERHEAD_BYTES)
        count = layout.on_gpus
        return judged(
            Fit(
                verdict="ram" if count == 0 else "gpu" if count == shape.n_layers + 1 else "split",
                n_layers=shape.n_layers + 1,
                gpu_layers=count,
                n_ctx=context_of(shape, wish.n_ctx),
                kv_type=wish.kv_type,
                gpus=parts,
                host=host,
            ),
            reserve_bytes=self._reserve,
        )

    def smallest_set(self, wanted: int) -> Fit | None:
        """The fewest and fastest GPUs that hold so many layers."""
        for gpus in self.gpu_sets:
            fit = self._whole(gpus, wanted)
            if fit is not None:
                return fit
        return None

    def _whole(self, gpus: Sequence[Device], wanted: int) -> Fit | None:
        layout = self._shared_out(gpus, wanted)
        if layout is None:
            return None
        used = [gpu for gpu, count in zip(gpus, layout.gpu_layers, strict=True) if count]
        if len(used) < len(gpus):  # one has no room for a single layer: it must not spoil what the others can do
            return self._whole(used, wanted)
        fit = self.fit(gpus, layout)
        return None if fit.missing_bytes else fit

    def most_layers(self) -> Fit | None:
        """The set that holds most layers, though not all; fewer GPUs where that is equal."""
        best: Fit | None = None
        for gpus in self.gpu_sets:
            fit = self._filled(gpus)
            if fit is None:
                continue
            if best is None or (not fit.missing_bytes, fit.gpu_layers) > (not best.missing_bytes, best.gpu_layers):
                best = fit
        return best

    def nearest(self, wanted: int) -> Fit:
        """So many layers, though no set of GPUs holds them: the set that lacks least."""
        fits = []
        for gpus in self.gpu_sets:
            count = min(len(gpus), wanted)
            even, rest = divmod(wanted, count)
            fits.append(self.fit(gpus[:count], Layout(tuple(even + (i < rest) for i in range(count)))))
        return min(fits, key=lambda fit: fit.missing_bytes)

    def _rooms(self, gpus: Sequence[Device], *, whole: bool) -> list[int]:
        """What each GPU has for layers, its compute buffer taken off. It depends on the layout, but hardly."""
        n_layers = self._model.shape.n_layers + 1
        each = max(1, (n_layers if whole else n_layers // 2) // len(gpus))
        counts = [each] * len(gpus)
        if whole:
            counts[-1] += n_layers - sum(counts)
        wish, layout = self._wish, Layout(tuple(counts), _shares(gpus))
        buffers = compute_on(self._model, layout, wish.n_ctx, wish.kv_type, wish.n_batch, wish.n_parallel)
        fixed = self._overhead + self._reserve
        return [max(0, (gpu.free_bytes or 0) - fixed - size) for gpu, size in zip(gpus, buffers, strict=False)]

    def _shared_out(self, gpus: Sequence[Device], wanted: int) -> Layout | None:
        """`wanted` layers over `gpus`: the faster ones full, the slowest alike in proportion to their room.

        Layers take turns on their GPUs, so every layer on a slower one costs time. One without room gets 0.
        """
        first = self._model.shape.n_layers + 1 - wanted
        if len(gpus) == 1:
            return Layout((wanted,))
        if wanted < len(gpus):
            return None
        rooms = self._rooms(gpus, whole=first == 0)
        slowest = min(gpu.bandwidth_gb_s or 0.0 for gpu in gpus)
        fixed = [(gpu.bandwidth_gb_s or 0.0) > slowest for gpu in gpus]

        def counts(share: float) -> tuple[int, ...]:
            at, taken = first, []
            for room, full in zip(rooms, fixed, strict=True):
                end = self._sums.end(at, room if full else int(room * share))
                taken.append(end - at)
                at = end
            return tuple(taken)

        if sum(counts(1.0)) < wanted:
            return None
        low, high = 0.0, 1.0
        for _ in range(SHARE_STEPS):
            middle = (low + high) / 2
            low, high = (low, middle) if sum(counts(middle)) >= wanted else (middle, high)
        return Layout(counts(high))

    def _filled(self, gpus: Sequence[Device]) -> Fit | None:
        """As many of the last layers as these GPUs hold."""
        rooms = self._rooms(gpus, whole=False)
        counts: list[int] = []
        at = self._model.shape.n_layers + 1
        for room in reversed(rooms):
            start = self._sums.start(at, room)
            counts.insert(0, at - start)
            at = start
        used = [(gpu, count) for gpu, count in zip(gpus, counts, strict=True) if count]
        if not used or used[-1][0] is not gpus[-1]:  # the output has no place
            return None
        while used:
            fit = self.fit([gpu for gpu, _ in used], Layout(tuple(count for _, count in used)))
            gpu, count = used[0]
            if self._gpus_fit(fit):
                return fit
            used[0] = (gpu, count - 1)
            used = used if count > 1 else used[1:]
        return None

    def _gpus_fit(self, fit: Fit) -> bool:
        return all(part.total_bytes + self._reserve <= (part.device.free_bytes or 0) for part in fit.gpus)


def _part(device: Device, need: Need, overhead: int) -> Part:
    return Part(device, need.layers, need.weights_bytes, need.kv_bytes, need.compute_bytes, overhead)


def _shares(gpus: Sequence[Device]) -> bool:
    return any(gpu.memory == "shared" for gpu in gpus)


def _sets(gpus: Sequence[Device], least_bytes: int) -> Iterator[tuple[Device, ...]]:
    """Every GPU alone, the fastest first, then the two fastest, the three fastest, and so on.

    A process can use one MIG slice, and memory that is shared does not grow by being used twice. A GPU on which no more
    than `least_bytes` are free takes no part.
    """
    usable = [gpu for gpu in gpus if (gpu.free_bytes or 0) > least_bytes]
    usable.sort(key=lambda gpu: (-(gpu.bandwidth_gb_s or 0.0), -(gpu.free_bytes or 0)))
    for gpu in usable:
        yield (gpu,)
    joined = [gpu for gpu in usable if gpu.slice_of is None and gpu.memory == "own"][:MAX_DEVICES]
    for count in range(2, len(joined) + 1):
        yield tuple(joined[:count])
