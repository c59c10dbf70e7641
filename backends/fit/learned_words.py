"""What was learned as lines for people and as JSON for scripts. Pure: must not read the file, and must not judge."""

from __future__ import annotations

from backends.fit.learned import MIB, Learned
from backends.fit.records import FitSeen

GIB = 2**30

Pair = tuple[FitSeen | None, FitSeen | None]


def learned_lines(learned: Learned) -> tuple[str, ...]:
    """One line per device, then one per model on a device, the last seen first; empty where nothing was learned."""
    devices = [_device_line(name, learned) for name in learned.device_names]
    models = [_model_line(load, run, learned) for load, run in _latest(learned)]
    return (*devices, *models)


def learned_as_json(learned: Learned) -> dict[str, object]:
    """`devices`: what is added to estimates, null for a CPU; `models`: the last load and own runs. Unknown is null."""
    return {
        "devices": [
            {
                "name": name,
                "loads": learned.n_loads(name),
                "overhead_correction_bytes": None if learned.is_cpu(name) else learned.overhead_bytes(name),
            }
            for name in learned.device_names
        ],
        "models": [_model_json(load, run, learned) for load, run in _latest(learned)],
    }


def _latest(learned: Learned) -> list[Pair]:
    """Per model, devices and way of loading: its last measured load and its last own run."""
    loads: dict[tuple[object, ...], FitSeen] = {}
    runs: dict[tuple[object, ...], FitSeen] = {}
    order: dict[tuple[object, ...], None] = {}
    for each in reversed(learned.seen):
        key = (each.ref, each.devices, each.n_ctx, each.kv_type, each.gpu_layers)
        order.setdefault(key)
        if each.real_bytes is not None:
            loads.setdefault(key, each)
        if each.real_tok_s is not None:
            runs.setdefault(key, each)
    return [(loads.get(key), runs.get(key)) for key in order if key in loads or key in runs]


def _device_line(name: str, learned: Learned) -> str:
    extra, n = learned.miss_bytes(name), learned.n_loads(name)
    times = "1 load" if n == 1 else f"{n} loads"
    if not extra:
        return f"{name}: {times} took what was estimated"
    return f"{name}: {times} took about {abs(extra) / MIB:.0f} MiB {'more' if extra > 0 else 'less'} than estimated"


def _model_line(load: FitSeen | None, run: FitSeen | None, learned: Learned) -> str:
    each = load or run
    assert each is not None
    parts = [f"{each.ref} on {' + '.join(each.devices)}, context {each.n_ctx}, {each.kv_type}"]
    if load is not None and load.real_bytes is not None:
        parts.append(f"took {load.real_bytes / GIB:.2f} GiB, {load.predicted_bytes / GIB:.2f} were predicted")
    speed = learned.own_speed(each.ref, each.devices, each.n_ctx, each.kv_type, each.gpu_layers)
    if run is not None and speed is not None:
        own = f"{speed.low_tok_s:.1f} to {speed.high_tok_s:.1f} tok/s in {_count(speed.n_runs)}"
        guess = "" if run.predicted_tok_s is None else f", {run.predicted_tok_s:.1f} were predicted"
        parts.append(own + guess)
    return ": ".join([parts[0], "; ".join(parts[1:])])


def _count(n_runs: int) -> str:
    return "your last run" if n_runs == 1 else f"your last {n_runs} runs"


def _model_json(load: FitSeen | None, run: FitSeen | None, learned: Learned) -> dict[str, object]:
    each = load or run
    assert each is not None
    speed = learned.own_speed(each.ref, each.devices, each.n_ctx, each.kv_type, each.gpu_layers)
    return {
        "ref": each.ref,
        "devices": list(each.devices),
        "context": each.n_ctx,
        "kv": each.kv_type,
        "gpu_layers": each.gpu_layers,
        "predicted_bytes": None if load is None else load.predicted_bytes,
        "real_bytes": None if load is None else load.real_bytes,
        "predicted_tok_s": None if run is None else run.predicted_tok_s,
        "own_tok_s_low": None if speed is None else speed.low_tok_s,
        "own_tok_s_high": None if speed is None else speed.high_tok_s,
        "own_runs": 0 if speed is None else speed.n_runs,
    }
