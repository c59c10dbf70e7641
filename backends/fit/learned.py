"""What earlier loads and runs on this machine teach the next estimate. Pure: must not know the file they are kept in.

Every figure here is a median of the last few, and clamped: one odd load, as when another program took memory at the
same moment, must not spoil the estimates after it.
"""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from backends.devices.records import Device, Machine
from backends.fit.records import Fit, FitSeen, Part, Speed
from backends.metrics import percentile
from backends.records import KvType

MIB = 2**20
MAX_SEEN = 200
LAST_LOADS = 5
LAST_RUNS = 9
TRUSTED = 3  # from so many on, a median leaves one odd value out
FIRST_LIMIT_BYTES = 256 * MIB
LEAST_CORRECTION_BYTES = -256 * MIB
MOST_CORRECTION_BYTES = 1024 * MIB
FIRST_FACTORS = (0.67, 1.5)
FACTORS = (0.4, 2.0)
ONE_RUN_SPREAD = 0.10
QUARTILES_FROM = 5

_SIZE = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)b(?![a-z0-9])")


def devices_of(fit: Fit) -> tuple[str, ...]:
    """The names under which a fit is remembered: the GPUs that take layers, else the CPU."""
    return tuple(part.device.name for part in fit.gpus if part.layers) or (fit.host.device.name,)


def bytes_there(fit: Fit) -> int:
    """What a fit takes of the devices under whose names it is remembered."""
    return sum(part.total_bytes for part in fit.gpus) if fit.gpus else fit.host.total_bytes


def model_class(ref: str) -> str:
    """Models of one size behave alike: `llama-3.1-8b:Q4_K_M` is an `8b`; a ref without a size stands alone."""
    sizes = _SIZE.findall(ref.lower())
    return f"{sizes[-1]}b" if sizes else ref


class Learned:
    """Corrections from what was seen, oldest first; only the newest 200 count. Read-only."""

    def __init__(self, seen: Iterable[FitSeen] = ()) -> None:
        self.seen: tuple[FitSeen, ...] = tuple(seen)[-MAX_SEEN:]
        self._misses: dict[str, list[float]] = defaultdict(list)
        self._cpus: set[str] = set()
        self._runs: dict[tuple[str, tuple[str, ...]], list[FitSeen]] = defaultdict(list)
        self._ratios: dict[tuple[str, tuple[str, ...]], list[tuple[int, float]]] = defaultdict(list)
        for each in self.seen:
            self._take(each)

    def _take(self, each: FitSeen) -> None:
        if each.real_bytes is not None and each.devices:
            miss = (each.real_bytes - (each.predicted_bytes - each.corrected_bytes)) / len(each.devices)
            for name in dict.fromkeys(each.devices):  # two equal GPUs took part in one load
                self._misses[name].append(miss)
            if not each.gpu_layers:
                self._cpus.update(each.devices)
        if each.real_tok_s:
            self._runs[each.ref, each.devices].append(each)
            if each.predicted_tok_s:
                ratio = each.real_tok_s / (each.predicted_tok_s / each.speed_factor)
                self._ratios[model_class(each.ref), each.devices].append((each.gpu_layers, ratio))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Learned) and self.seen == other.seen

    def __hash__(self) -> int:
        return hash(self.seen)

    def __repr__(self) -> str:
        return f"Learned({len(self.seen)} seen)"

    def plus(self, *seen: FitSeen) -> Learned:
        """The same with more seen, and the oldest dropped."""
        return Learned((*self.seen, *seen))

    @property
    def device_names(self) -> tuple[str, ...]:
        """Devices that a load was measured on, in the order of their first."""
        return tuple(self._misses)

    def n_loads(self, device: str) -> int:
        return len(self._misses.get(device, ()))

    def is_cpu(self, device: str) -> bool:
        return device in self._cpus

    def miss_bytes(self, device: str) -> int:
        """What the last five loads on this device took beyond the estimate without corrections: their median."""
        last = self._misses.get(device, [])[-LAST_LOADS:]
        return round(statistics.median(last)) if last else 0

    def overhead_bytes(self, device: str) -> int:
        """The correction for this device: the median of the last five loads, clamped; 0 where unknown, and for a CPU.

        A worker on the CPU holds those pages of the file that it has read, so what it took teaches nothing.
        """
        last = self._misses.get(device, [])[-LAST_LOADS:]
        if not last or self.is_cpu(device):
            return 0
        low, high = LEAST_CORRECTION_BYTES, MOST_CORRECTION_BYTES
        if len(last) < TRUSTED:
            low, high = max(low, -FIRST_LIMIT_BYTES), min(high, FIRST_LIMIT_BYTES)
        return round(min(high, max(low, statistics.median(last))))

    def speed_factor(self, ref: str, devices: tuple[str, ...], gpu_layers: int) -> float:
        """Own runs over estimates, for models of this size on these devices with about as many layers there."""
        near = max(2, gpu_layers // 10)
        found = self._ratios.get((model_class(ref), devices), ())
        last = [ratio for layers, ratio in found if abs(layers - gpu_layers) <= near][-LAST_RUNS:]
        if not last:
            return 1.0
        low, high = FACTORS if len(last) >= TRUSTED else FIRST_FACTORS
        return min(high, max(low, statistics.median(last)))

    def own_speed(
        self, ref: str, devices: tuple[str, ...], n_ctx: int, kv_type: KvType, gpu_layers: int
    ) -> Speed | None:
        """The range of the last own runs loaded in just this way; None where there is none.

        One run stands with ±10 %, from five on the range leaves out the lowest and the highest fifth.
        """
        rates = [
            each.real_tok_s
            for each in self._runs.get((ref, devices), ())
            if each.real_tok_s and (each.n_ctx, each.kv_type, each.gpu_layers) == (n_ctx, kv_type, gpu_layers)
        ]
        last = rates[-LAST_RUNS:]
        if not last:
            return None
        low, high = _range(last)
        return Speed(low, high, "own_runs", n_runs=len(last))


def _range(rates: Sequence[float]) -> tuple[float, float]:
    if len(rates) == 1:
        return rates[0] * (1 - ONE_RUN_SPREAD), rates[0] * (1 + ONE_RUN_SPREAD)
    if len(rates) < QUARTILES_FROM:
        return min(rates), max(rates)
    return percentile(rates, 0.2), percentile(rates, 0.8)


# -- applying -----------------------------------------------------------------------------------------------------


def expecting(machine: Machine, learned: Learned) -> Machine:
    """The machine with free memory less what loads take beyond the estimate; `explained` gives the true sizes back."""
    return replace(machine, gpus=tuple(_expecting(each, learned) for each in machine.gpus))


def _expecting(device: Device, learned: Learned) -> Device:
    extra = learned.overhead_bytes(device.name)
    if not extra or device.free_bytes is None:
        return device
    return replace(device, free_bytes=max(0, device.free_bytes - extra))


def explained(fit: Fit, machine: Machine, learned: Learned) -> Fit:
    """A fit on what `expecting` gave, with the true devices of `machine`, and the correction as their overhead."""
    if not any(learned.overhead_bytes(part.device.name) for part in fit.gpus):
        return fit
    expected = expecting(machine, learned).gpus
    true = dict(zip(expected, machine.gpus, strict=True))
    return replace(fit, gpus=tuple(_explained(part, true, learned) for part in fit.gpus))


def _explained(part: Part, true: Mapping[Device, Device], learned: Learned) -> Part:
    extra = max(learned.overhead_bytes(part.device.name), -part.overhead_bytes)
    device = true.get(part.device, part.device)
    return replace(part, device=device, overhead_bytes=part.overhead_bytes + extra)


def faster(speed: Speed, factor: float) -> Speed:
    """An estimate times a factor of own runs."""
    return replace(speed, low_tok_s=speed.low_tok_s * factor, high_tok_s=speed.high_tok_s * factor)


# -- recording ----------------------------------------------------------------------------------------------------


def seen_load(
    ref: str, quant: str | None, fit: Fit, real_bytes: int | None, speed: Speed | None, learned: Learned
) -> FitSeen:
    """A load to remember. `fit` and `speed` are what was shown for it, corrections included, before it was loaded.

    `real_bytes` is what it took of the devices of `devices_of(fit)`: the fall of their free memory over the load.
    """
    devices = devices_of(fit)
    # No correction was applied to the CPU.
    corrected = sum(learned.overhead_bytes(name) for name in devices) if fit.gpus else 0
    estimate = speed if speed is not None and speed.basis == "estimate" else None
    return FitSeen(
        ref=ref,
        quant=quant,
        devices=devices,
        n_ctx=fit.n_ctx,
        kv_type=fit.kv_type,
        gpu_layers=fit.gpu_layers,
        predicted_bytes=bytes_there(fit),
        real_bytes=real_bytes,
        predicted_tok_s=None if estimate is None else estimate.middle_tok_s,
        real_tok_s=None,
        corrected_bytes=corrected,
        speed_factor=1.0 if estimate is None else learned.speed_factor(ref, devices, fit.gpu_layers),
    )


def seen_run(load: FitSeen, decode_tok_s: float, guess: Speed | None) -> FitSeen:
    """A run to remember, on a model that was loaded as `load` says: complete, alone, and with 16 tokens or more.

    `guess` is what is estimated of such a run, at its own depth in the context and by the model alone: set beside the
    estimate for a half full context, a short run would seem to be quick.
    """
    predicted = None if guess is None else guess.middle_tok_s
    return replace(load, real_bytes=None, real_tok_s=decode_tok_s, predicted_tok_s=predicted, speed_factor=1.0)
