"""Loads of many shapes, contexts and layouts, and what our formula and llama.cpp say of each. Must not judge by itself.

The models are files of the right shape with a hole for weights; the GPUs are stand-ins that plan memory as CUDA does.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.fit.dry_run import DryRun
from backends.fit.memory import Layout, Need, needs
from backends.local.facts import DeviceRef, LoadOptions, Measurement
from backends.models.records import ModelFacts, Shape
from backends.models.shapes import LLAMA_1B, LLAMA_3B, LLAMA_8B, LLAMA_70B
from backends.models.weights import facts_by_rule
from backends.records import KvType
from tests.gguf_shapes import write_sparse
from tests.stand_in_gpu import GIB, Card, compiled, worker_with

MIB = 2**20
SHAPES: dict[str, Shape] = {"1B": LLAMA_1B, "3B": LLAMA_3B, "8B": LLAMA_8B, "70B": LLAMA_70B}
CONTEXTS = (4096, 8192, 16_384, 32_768, 65_536, 131_072)
KV_TYPES: tuple[KvType, ...] = ("f16", "q8_0", "q4_0")
QUANT = "Q4_K_M"
OTHER_QUANTS = ("Q2_K", "IQ4_XS", "Q8_0", "F16")
CARDS = tuple(Card(free_bytes=1024 * GIB, total_bytes=1024 * GIB, hollow=True) for _ in range(4))
# Whichever is less.
LIMIT_SHARE, LIMIT_BYTES = 0.01, 16 * MIB


@dataclass(frozen=True, slots=True)
class Case:
    model: str
    quant: str
    layout: Layout
    n_ctx: int
    kv_type: KvType
    n_parallel: int = 1
    n_batch: int | None = None

    @property
    def where(self) -> str:
        return "+".join(map(str, self.layout.gpu_layers)) or "none"


@dataclass(frozen=True, slots=True)
class Row:
    """One case: what we say and what llama.cpp says, per device, the host last; bytes."""

    case: Case
    ours: tuple[Need, ...]
    theirs: Measurement

    @property
    def total_bytes(self) -> int:
        return sum(each.weights_bytes + each.kv_bytes + each.compute_bytes for each in self.theirs.devices)

    @property
    def worst_bytes(self) -> int:
        """The largest difference of any device."""
        return max(
            abs(our.total_bytes - (their.weights_bytes + their.kv_bytes + their.compute_bytes))
            for our, their in zip(self.ours, self.theirs.devices, strict=True)
        )

    @property
    def agrees(self) -> bool:
        layers = [device.layers for device in self.theirs.devices] == [need.layers for need in self.ours]
        return layers and self.worst_bytes <= min(LIMIT_BYTES, LIMIT_SHARE * self.total_bytes)


def main_cases() -> list[Case]:
    """288 of them: four shapes, six contexts, three KV types; none, half, all but one, all layers on one GPU."""
    cases = []
    for model, shape in SHAPES.items():
        layers = (0, shape.n_layers // 2, shape.n_layers, shape.n_layers + 1)
        for count, n_ctx, kv_type in itertools.product(layers, CONTEXTS, KV_TYPES):
            cases.append(Case(model, QUANT, Layout((count,) if count else ()), n_ctx, kv_type))
    return cases


def gpu_cases() -> list[Case]:
    """Two, three and four GPUs: whole models and halves, shared out unevenly."""
    cases = []
    for model, n_gpus in itertools.product(("1B", "8B", "70B"), (2, 3, 4)):
        n_layers = SHAPES[model].n_layers + 1
        for on_gpus in (n_layers, n_layers // 2):
            first = on_gpus // (n_gpus + 1)
            rest = (first,) * (n_gpus - 2)
            layout = Layout((first, *rest, on_gpus - first * (n_gpus - 1)))
            cases += [Case(model, QUANT, layout, n_ctx, kv) for n_ctx in (8192, 131_072) for kv in ("f16", "q8_0")]
    return cases


def quant_cases() -> list[Case]:
    """Other mixtures of types, since layers left on the host are copied to the GPU matrix by matrix."""
    cases = []
    for quant in OTHER_QUANTS:
        half = SHAPES["8B"].n_layers // 2
        cases += [Case("8B", quant, Layout((count,)), 8192, "f16") for count in (half, SHAPES["8B"].n_layers + 1)]
    return cases


def parallel_cases() -> list[Case]:
    """Several answers at once; 6 and 24 do not divide the batch."""
    cases = []
    for model, count in itertools.product(("1B", "8B"), (4, 6, 24)):
        n_layers = SHAPES[model].n_layers + 1
        for layout in (Layout(), Layout((n_layers // 2,)), Layout((n_layers,)), Layout((n_layers // 3, n_layers // 2))):
            cases += [Case(model, QUANT, layout, 4096, kv_type, count) for kv_type in ("f16", "q4_0")]
    return cases


def facts(case: Case) -> ModelFacts:
    return facts_by_rule(case.model, case.quant, SHAPES[case.model])


def options(case: Case) -> LoadOptions:
    """What `load_options` would say, without a machine."""
    gpus = case.layout.gpu_layers
    return LoadOptions(
        n_ctx=case.n_ctx,
        kv_type=case.kv_type,
        n_gpu_layers=case.layout.on_gpus,
        devices=tuple(DeviceRef(name=f"CUDA{number}") for number in range(len(gpus))),
        tensor_split=tuple(map(float, gpus)) if len(gpus) > 1 else None,
        n_batch=case.n_batch,
        n_parallel=case.n_parallel,
    )


async def measured(cases: Sequence[Case], folder: Path, library: Path | None = None) -> AsyncIterator[Row]:
    """Ask llama.cpp about every case, in one worker; cases that share a load follow each other."""
    command = worker_with(library or compiled(folder), CARDS)
    files: dict[tuple[str, str], Path] = {}
    async with DryRun(command) as run:
        for case in cases:
            key = (case.model, case.quant)
            if key not in files:
                files[key] = write_sparse(folder / f"{case.model}-{case.quant}.gguf", SHAPES[case.model], case.quant)
            theirs = await run.measure(files[key], options(case))
            ours = needs(facts(case), case.layout, case.n_ctx, case.kv_type, case.n_batch, case.n_parallel)
            yield Row(case, ours, theirs)
