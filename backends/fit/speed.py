"""Expected decode speed from memory bandwidth, as a range. Pure: must not ask a device, and must not know any run.

A token reads every weight once and the KV cache as far as it is filled, so its time has two terms:

    t = bytes touched / (efficiency * bandwidth) + constant

Efficiency is the share of the stated bandwidth that llama.cpp's kernels reach, the constant what a token costs however
small the model is (starting kernels, sampling). Both belong to a class of devices, and were set against published runs:
docs/measurements/speed-model.md lists every run with its error. With layers on several devices these work in turn, so
their times add up and no bandwidth does; each brings its constant in proportion to its layers. On a CPU unpacking a
quant takes time too, so that few cores, or a quant that is hard to unpack, keep the first term from the bandwidth.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from backends.devices.records import Device, Machine
from backends.fit.records import Fit, Part, Speed
from backends.models.records import ModelFacts

ClassName = Literal["gddr", "hbm", "unified", "other", "cpu_measured", "cpu_stated"]

HBM_FROM_GB_S = 1900  # no GDDR card reaches it (RTX 5090: 1,792); the slowest A100 and H100 of 80 GB have 1,935
HBM_NAMES = re.compile(r"\b(A30|[AH][128]00X?|H20|B[123]00|G[HB][23]00|G?V100S?|P100|MI[123]\d\dX?)\b", re.IGNORECASE)
OTHER_MAKERS = re.compile(r"\b(AMD|Radeon|RX ?\d{3,4}|FirePro|Instinct|Intel|Arc|gfx\d+)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SpeedClass:
    """`spread` is the half-width of the range as a share of the estimate."""

    name: ClassName
    efficiency: float
    constant_ms: float
    spread: float


# Set against 70 published single-GPU runs of 2024 and 2025: docs/measurements/speed-model.md.
CLASSES: dict[ClassName, SpeedClass] = {
    "gddr": SpeedClass("gddr", 0.80, 1.0, 0.25),
    # All runs on HBM are of builds of May 2024 and fit 2.5 ms; runs on GDDR lost 1 to 1.5 ms between then and 2025.
    "hbm": SpeedClass("hbm", 0.55, 2.0, 0.25),
    "unified": SpeedClass("unified", 0.80, 1.0, 0.25),
    # AMD and Intel cards of their own memory: one published run, so a wider range.
    "other": SpeedClass("other", 0.65, 1.0, 0.35),
    # Runs on CPUs come without a bandwidth. Set beside the stated one they reach 0.5 to 0.75 of it.
    "cpu_measured": SpeedClass("cpu_measured", 0.75, 1.0, 0.40),
    "cpu_stated": SpeedClass("cpu_stated", 0.60, 1.0, 0.40),
}


# What one CPU core unpacks of a quant, in 10^9 bytes per second: measured by benchmarks/cpu_quants.py on AVX-512 cores.
CORE_GB_S = 20.0
CORE_GB_S_OF = ((re.compile(r"IQ[123]_"), 4.0), (re.compile(r"(UD-)?(IQ4_|Q[23]_K)"), 13.0))
ASSUMED_CORES = 8  # of a machine that is only described


@dataclass(frozen=True, slots=True)
class Work:
    """What one token reads on one device. `share` is its part of the layers; `limit_gb_s` what its cores can unpack."""

    device: Device
    touched_bytes: float
    share: float = 1.0
    limit_gb_s: float | None = None


def speed_class(device: Device) -> SpeedClass:
    """The class by kind and name: CPU, memory shared with it, HBM, other makers' cards, and all the rest is GDDR."""
    if device.kind == "cpu":
        return CLASSES["cpu_measured" if device.bandwidth_source == "measured" else "cpu_stated"]
    if device.memory == "shared":
        return CLASSES["unified"]
    if HBM_NAMES.search(device.name) or (device.bandwidth_gb_s or 0) >= HBM_FROM_GB_S:
        return CLASSES["hbm"]
    return CLASSES["other" if OTHER_MAKERS.search(device.name) else "gddr"]


def speed(fit: Fit, model: ModelFacts, machine: Machine, depth_tokens: int | None = None) -> Speed | None:
    """Decode speed with `depth_tokens` in the context, half of it where not said; None where a bandwidth is unknown."""
    return expected(works(fit, model, machine, depth_tokens))


def works(fit: Fit, model: ModelFacts, machine: Machine, depth_tokens: int | None = None) -> tuple[Work, ...]:
    """What one token reads on each device that has any of it, at a depth as in `speed`."""
    depth = fit.n_ctx / 2 if depth_tokens is None else min(depth_tokens, fit.n_ctx)
    filled = depth / fit.n_ctx if fit.n_ctx else 0.0
    gpus = [_gpu_work(part, fit, filled) for part in fit.gpus if part.layers]
    return tuple(work for work in (*gpus, _host_work(fit, model, machine, filled)) if work.touched_bytes)


def _gpu_work(part: Part, fit: Fit, filled: float) -> Work:
    return Work(part.device, part.weights_bytes + part.kv_bytes * filled, part.layers / fit.n_layers)


def _host_work(fit: Fit, model: ModelFacts, machine: Machine, filled: float) -> Work:
    """The first layers stay on the host. Of the embedding a token reads one row, unless it is the output as well."""
    layers = len(model.weights.layer_bytes) - max(0, fit.gpu_layers - 1)
    touched = sum(model.weights.layer_bytes[:layers])
    if fit.gpu_layers == 0:
        touched += model.weights.output_bytes
    share = (fit.n_layers - fit.gpu_layers) / fit.n_layers
    return Work(machine.cpu, touched + fit.host.kv_bytes * filled, share, _unpacked_gb_s(model.quant or "", machine))


def _unpacked_gb_s(quant: str, machine: Machine) -> float | None:
    """By all the cores that the worker uses: it leaves one to the window. None where nobody counted them."""
    cores = machine.cpu_info.physical_cores if machine.cpu.bandwidth_source == "measured" else ASSUMED_CORES
    if cores is None:
        return None
    each = next((rate for quants, rate in CORE_GB_S_OF if quants.match(quant)), CORE_GB_S)
    return each * max(1, cores - 1)


def expected(devices: Iterable[Work]) -> Speed | None:
    """The range over devices that work in turn; None where one of them has work and no known bandwidth."""
    quick_s = slow_s = 0.0
    for work in devices:
        if not work.device.bandwidth_gb_s:
            return None
        each = speed_class(work.device)
        rate_gb_s = min(each.efficiency * work.device.bandwidth_gb_s, work.limit_gb_s or math.inf)
        time_s = work.touched_bytes / (rate_gb_s * 1e9)
        time_s += work.share * each.constant_ms / 1000
        quick_s += time_s / (1 + each.spread)
        slow_s += time_s / (1 - each.spread)
    return Speed(1 / slow_s, 1 / quick_s, "estimate") if quick_s else None
