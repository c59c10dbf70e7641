"""Fit as values: what was wished, what it needs where, the verdict and what would change it. Must not know formulas.

Sizes are bytes. Layers are counted as llama.cpp does: the repeating layers and one more for the output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backends.devices.records import Device
from backends.models.records import Quality
from backends.records import KvType

Verdict = Literal["gpu", "split", "ram", "no"]
LeverKind = Literal["quant", "context", "kv_type"]
SpeedBasis = Literal["estimate", "own_runs"]
Rank = Literal[1, 2, 3]

DEFAULT_N_CTX = 8192


@dataclass(frozen=True, slots=True)
class Wish:
    """How a model is to be loaded. `gpu_layers` None asks for as many as fit; `n_batch` None is what the worker takes.

    `n_ctx` is the wanted context; a model that was trained for less gets its own. `n_parallel` answers at once have one
    each.
    """

    n_ctx: int = DEFAULT_N_CTX
    kv_type: KvType = "f16"
    gpu_layers: int | None = None
    n_batch: int | None = None
    n_parallel: int = 1


@dataclass(frozen=True, slots=True)
class Part:
    """What lands on one device. `overhead_bytes` is what the driver takes besides (context, modules, scratch)."""

    device: Device
    layers: int
    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    overhead_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes + self.compute_bytes + self.overhead_bytes


@dataclass(frozen=True, slots=True)
class Fit:
    """The verdict with the numbers behind it. `gpus` are the GPUs used, in order; `host` is the machine's memory.

    `missing_bytes` is what the tightest device lacks for the verdict that was tried, reserve included; 0 where it
    fits; `tightest_at` is that device's place among `gpus` and the host. `exact` where llama.cpp itself was asked.
    """

    verdict: Verdict
    n_layers: int
    gpu_layers: int
    n_ctx: int
    kv_type: KvType
    gpus: tuple[Part, ...]
    host: Part
    missing_bytes: int = 0
    exact: bool = False
    tightest_at: int | None = None

    @property
    def total_bytes(self) -> int:
        """All devices together."""
        return sum(part.total_bytes for part in (*self.gpus, self.host))

    @property
    def tightest(self) -> Part:
        """The device that lacks most; where none lacks anything, the first GPU, else the host."""
        parts = (*self.gpus, self.host)
        return parts[self.tightest_at or 0]

    @property
    def tightest_needs_bytes(self) -> int:
        """What lands in that device's memory, with what GPUs take that share the host's."""
        tightest = self.tightest
        if tightest is not self.host:
            return tightest.total_bytes
        return tightest.total_bytes + sum(part.total_bytes for part in self.gpus if part.device.memory == "shared")


@dataclass(frozen=True, slots=True)
class Lever:
    """One change that would change the verdict or the numbers. `value` is the new quant, context or KV type."""

    kind: LeverKind
    value: str
    fit: Fit
    saves_bytes: int


@dataclass(frozen=True, slots=True)
class Speed:
    """Expected decode speed in tokens per second, as a range; `n_runs` own runs stand behind `own_runs`."""

    low_tok_s: float
    high_tok_s: float
    basis: SpeedBasis
    n_runs: int = 0

    @property
    def middle_tok_s(self) -> float:
        return (self.low_tok_s + self.high_tok_s) / 2


@dataclass(frozen=True, slots=True)
class Choice:
    """One row of the ranking. `rank`: 1 recommended, 2 faster, 3 better but partly on the CPU; `reason` is a sentence.

    `speed` is None where no bandwidth is known.
    """

    ref: str
    model_id: str
    model: str
    quant: str
    file_bytes: int
    fit: Fit
    speed: Speed | None
    quality: Quality | None
    rank: Rank | None
    reason: str


@dataclass(frozen=True, slots=True)
class FitSeen:
    """A load as it was predicted and as it was, on the devices named; None where a size could not be read.

    `devices` are the GPUs that took layers, in order, else the CPU; the sizes are theirs alone. What was predicted
    holds what earlier loads had taught: `corrected_bytes` of the size, and `speed_factor` times the speed.
    """

    ref: str
    quant: str | None
    devices: tuple[str, ...]
    n_ctx: int
    kv_type: KvType
    gpu_layers: int
    predicted_bytes: int
    real_bytes: int | None
    predicted_tok_s: float | None
    real_tok_s: float | None
    corrected_bytes: int = 0
    speed_factor: float = 1.0
