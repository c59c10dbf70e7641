"""A ranking as the JSON that `nearfar fit --json` prints. Pure: must not rank, print, or know who reads.

`*_bytes` of a choice are what lands on the device that its verdict speaks of: the GPUs together for `gpu` and `split`,
the machine's memory for `ram` and `no`; `parts` has every device. Unknown is null, never 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from backends.devices.records import Device, Machine
from backends.fit.recommend import free_bytes, main_parts
from backends.fit.records import Choice, Fit, Lever, Part, Wish
from backends.models.records import CatalogueModel
from backends.wire import Json, problem_as_json


@dataclass(frozen=True, slots=True)
class Ranking:
    """What `nearfar fit` found. `levers` by ref, for those choices that they were worked out for.

    `summary` is the plain sentence that comes first.
    """

    machine: Machine
    wish: Wish
    choices: tuple[Choice, ...]
    summary: str
    levers: Mapping[str, Sequence[Lever]]
    installed: Collection[str] = ()
    not_runnable: tuple[CatalogueModel, ...] = ()


def ranking_as_json(found: Ranking) -> Json:
    """The one object of `nearfar fit --json`."""
    machine = found.machine
    return {
        "device": device_words(machine),
        "simulated": machine.simulated,
        "devices": [_device(each) for each in (*machine.gpus, machine.cpu)],
        "context": found.wish.n_ctx,
        "kv": found.wish.kv_type,
        "summary": found.summary,
        "choices": [_choice(each, found) for each in found.choices],
        "not_runnable": [
            {"model": each.id, "name": each.name, "reason": each.not_runnable} for each in found.not_runnable
        ],
        "problems": [problem_as_json(each) for each in machine.problems],
    }


def device_words(machine: Machine) -> str:
    """The GPUs by name, equal ones counted, or the CPU: `2 × NVIDIA GeForce RTX 3090`."""
    return " + ".join(_counted(each.name for each in machine.gpus)) or machine.cpu.name


def _counted(names: Iterable[str]) -> list[str]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return [name if n == 1 else f"{n} × {name}" for name, n in counts.items()]


def _device(device: Device) -> Json:
    return {
        "name": device.name,
        "kind": device.kind,
        "uuid": device.uuid,
        "memory": device.memory,
        "total_bytes": device.total_bytes,
        "used_bytes": device.used_bytes,
        "free_bytes": device.free_bytes,
        "bandwidth_gb_s": device.bandwidth_gb_s,
    }


def _choice(choice: Choice, found: Ranking) -> Json:
    fit, quality, speed = choice.fit, choice.quality, choice.speed
    levers = found.levers.get(choice.ref)
    return {
        "ref": choice.ref,
        "model": choice.model_id,
        "name": choice.model,
        "quant": choice.quant,
        "file_bytes": choice.file_bytes,
        "installed": choice.ref in found.installed,
        "verdict": fit.verdict,
        "layers": fit.n_layers,
        "gpu_layers": fit.gpu_layers,
        "context": fit.n_ctx,
        "kv": fit.kv_type,
        **_sizes(main_parts(fit)),
        "free_bytes": free_bytes(fit),
        "missing_bytes": fit.missing_bytes,
        "exact": fit.exact,
        "tok_s_low": None if speed is None else round(speed.low_tok_s, 2),
        "tok_s_high": None if speed is None else round(speed.high_tok_s, 2),
        "speed_basis": None if speed is None else speed.basis,
        "own_runs": 0 if speed is None else speed.n_runs,
        "kld": None if quality is None else quality.kld,
        "delta_ppl_percent": None if quality is None else quality.delta_ppl_percent,
        "quality_measured_on": None if quality is None else quality.measured_on,
        "rank": choice.rank,
        "reason": choice.reason,
        "parts": [_part(each) for each in (*fit.gpus, fit.host)],
        "levers": None if levers is None else [_lever(each) for each in levers],
    }


def _sizes(parts: Sequence[Part]) -> Json:
    return {
        "weights_bytes": sum(part.weights_bytes for part in parts),
        "kv_bytes": sum(part.kv_bytes for part in parts),
        "compute_bytes": sum(part.compute_bytes for part in parts),
        "overhead_bytes": sum(part.overhead_bytes for part in parts),
        "total_bytes": sum(part.total_bytes for part in parts),
    }


def _part(part: Part) -> Json:
    device = part.device
    return {
        "device": device.name,
        "kind": device.kind,
        "uuid": device.uuid,
        "layers": part.layers,
        **_sizes((part,)),
        "free_bytes": device.free_bytes,
    }


def _lever(lever: Lever) -> Json:
    fit: Fit = lever.fit
    return {
        "kind": lever.kind,
        "value": lever.value,
        "saves_bytes": lever.saves_bytes,
        "verdict": fit.verdict,
        "gpu_layers": fit.gpu_layers,
        "context": fit.n_ctx,
        "kv": fit.kv_type,
        "total_bytes": sum(part.total_bytes for part in main_parts(fit)),
    }
