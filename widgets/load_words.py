"""Words for a loaded local model: where it runs, what it takes, what was predicted. Must not know Qt nor lanes."""

from __future__ import annotations

from backends.records import EngineReport
from widgets import format as fmt
from widgets.values import LoadNote


def report_text(report: EngineReport, load: LoadNote | None = None) -> str:
    """Where a loaded local model runs and what it really uses, in one line; the place comes first, for narrow lanes."""
    used = memory_text(report, load)
    return f"{place_text(report)}, {used}" if used else place_text(report)


def place_text(report: EngineReport) -> str:
    """The device, and whether the GPU really does the work."""
    if report.gpu_layers <= 0:
        return f"{report.device}, no layers on a GPU"
    return f"{report.device}, {report.gpu_layers} of {report.n_layers} layers on the GPU"


def used_bytes(report: EngineReport) -> int | None:
    """Weights, KV cache and compute buffers on the GPUs, or on all devices where that is not told apart; None unless
    llama.cpp told all three."""
    sizes = [report.weights_bytes, report.kv_bytes, report.compute_bytes]
    gpus = [part for part in report.parts if part.device != "CPU"]
    if report.gpu_layers > 0 and gpus:
        sizes = [size for part in gpus for size in (part.weights_bytes, part.kv_bytes, part.compute_bytes)]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def memory_text(report: EngineReport, load: LoadNote | None) -> str:
    """`uses 5.70 GiB (predicted 5.80)`; what was measured before what was logged; or empty."""
    measured = load.used_bytes if load is not None else None
    used = used_bytes(report) if measured is None else measured
    if used is None:
        return ""
    real = fmt.byte_size(used)
    if load is None or measured is None or load.predicted_bytes is None:
        return f"uses {real}"
    figure, unit = fmt.byte_size(load.predicted_bytes).split(" ")
    return f"uses {real} (predicted {figure if real.endswith(f' {unit}') else f'{figure} {unit}'})"


def report_tip(report: EngineReport, load: LoadNote | None = None) -> str:
    """The rest of what a loaded model uses, a line each; what llama.cpp did not say is left out."""
    sizes = (("Weights", report.weights_bytes), ("KV cache", report.kv_bytes), ("Compute", report.compute_bytes))
    lines = [report_text(report, load), f"Model {report.model}{f', {report.quant}' if report.quant else ''}"]
    lines.append(
        f"Context {report.n_ctx:,} tokens, KV cache {report.kv_type}, {fmt.plural(report.n_threads, 'thread')}"
    )
    lines.extend(f"{name}: {fmt.byte_size(size)}" for name, size in sizes if size)
    if report.load_ms:
        lines.append(f"Loaded in {fmt.duration(report.load_ms)}")
    return "\n".join([*lines, f"llama.cpp {report.engine_build}"])
