"""A ranking as plain text for a terminal of 100 columns. Must not rank, print, or import Qt."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from app.cli_print import one_line
from backends.fit.recommend import GIB, free_bytes, main_parts, size_words, speed_words
from backends.fit.records import Choice, Fit, Lever, Part, Speed
from backends.fit.wire import Ranking

WIDTH = 100
UNKNOWN = "n/a"
KV_NOTE = "KV cache"


def as_text(found: Ranking) -> str:
    """The plain sentence first, then the three that are recommended, then all of them; or one with all its figures."""
    alone = found.choices[0] if len(found.choices) == 1 and found.levers else None
    lines = [*_wrapped(found.summary), ""] if alone is None else []
    lines += [*_machine_lines(found), ""]
    lines += _one(alone, found) if alone is not None else _all(found)
    for model in found.not_runnable if alone is None else ():
        lines += _wrapped(f"{model.name}: {model.not_runnable}")
    if found.machine.problems:
        lines += ["", "Problems:"]
        for problem in found.machine.problems:
            lines += _wrapped(f"- {problem.what} {problem.fix}", indent="  ")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(one_line(text), WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _machine_lines(found: Ranking) -> list[str]:
    machine, wish = found.machine, found.wish
    lines = []
    for device in (*machine.gpus, machine.cpu):
        name = device.name if device.kind == "gpu" else f"{device.name} (CPU)"
        rate = "" if device.bandwidth_gb_s is None else f", {device.bandwidth_gb_s:.0f} GB/s"
        sizes = f"{_gib(device.free_bytes)} of {_gib(device.total_bytes)} GiB free"
        unknown = machine.simulated and device.kind == "gpu" and device.bandwidth_gb_s is None
        hint = ", bandwidth not known by this name: add it in GB/s, as in NAME:24:22:1008" if unknown else rate
        lines += _wrapped(f"{name}: {sizes}{hint}", indent="  ")
    return [*lines, f"Context {wish.n_ctx:,} tokens, {KV_NOTE} {wish.kv_type}"]


def _gib(size_bytes: int | None) -> str:
    return "?" if size_bytes is None else f"{size_bytes / GIB:.1f}"


# -- all ----------------------------------------------------------------------------------------------------------

HEADINGS = ("  model:quant", "file", "runs on", "needs", "free", "tok/s", "KLD")


def _all(found: Ranking) -> list[str]:
    first = next((choice for choice in found.choices if choice.rank in (1, 2)), None)
    # The summary gave the reason for the first.
    others = [choice for choice in found.choices if choice.rank in (2, 3) and choice is not first]
    lines = []
    for choice in others:
        lines += _wrapped(f"{choice.rank}  {choice.ref}: {choice.reason}", indent="   ")
    if first is not None and first.ref not in found.installed:
        which = "the first" if first.rank == 1 else "it"
        lines.append(f"Get {which} with: nearfar models pull {one_line(first.ref)}")
    if lines:
        lines.append("")
    lines += _table([HEADINGS, *(_cells(choice, choice.ref in found.installed) for choice in found.choices)])
    legend = (
        "GiB = 2^30 bytes; “short” counts what is kept free in reserve besides what a model needs; "
        "KLD says how far a quant strays from the full weights (0 is not at all). "
        "Between models, quality is a rough guide. All figures: nearfar fit MODEL:QUANT"
    )
    return [*lines, "", *_wrapped(legend)]


def _cells(choice: Choice, here: bool) -> tuple[str, ...]:
    fit, quality = choice.fit, choice.quality
    return (
        f"{choice.rank or ' '} {one_line(choice.ref)}{' (here)' if here else ''}",
        f"{choice.file_bytes / GIB:.1f} GiB",
        verdict_words(fit),
        f"{_total(fit) / GIB:.1f} GiB",
        f"{_gib(free_bytes(fit))} GiB",
        _rates(choice.speed),
        UNKNOWN if quality is None or quality.kld is None else f"{quality.kld:.3f}",
    )


def verdict_words(fit: Fit) -> str:
    """Where it runs, in a few words."""
    match fit.verdict:
        case "gpu":
            return "GPU" if len(fit.gpus) == 1 else f"{len(fit.gpus)} GPUs"
        case "split":
            return f"GPU {fit.gpu_layers} of {fit.n_layers} layers"
        case "ram":
            return "CPU"
        case _:
            return f"no, {size_words(fit.missing_bytes)} short"


def _total(fit: Fit) -> int:
    return sum(part.total_bytes for part in main_parts(fit))


def _rates(speed: Speed | None) -> str:
    if speed is None:
        return UNKNOWN
    low, high = (f"{rate:.0f}" if rate >= 9.95 else f"{rate:.1f}" for rate in (speed.low_tok_s, speed.high_tok_s))
    return f"{low}-{high}" + (" own" if speed.basis == "own_runs" else "")


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first and the third column to the left, figures to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    left = {0, 2}
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


# -- one ----------------------------------------------------------------------------------------------------------


def _one(choice: Choice, found: Ranking) -> list[str]:
    fit, quality = choice.fit, choice.quality
    lines = [f"{choice.model} {choice.quant} ({one_line(choice.ref)}), file {size_words(choice.file_bytes)}"]
    lines += _wrapped(choice.reason)
    lines += ["", *_table([PART_HEADINGS, *(_part_cells(part) for part in (*fit.gpus, fit.host))]), ""]
    if fit.missing_bytes:
        lines.append(f"Short of {size_words(fit.missing_bytes)}, with what is kept in reserve.")
    source = "asked of llama.cpp itself" if fit.exact else "computed"
    lines.append(f"Sizes are {source}, for a context of {fit.n_ctx:,} tokens and a {KV_NOTE} of {fit.kv_type}.")
    if fit.verdict != "no":
        lines += _wrapped(f"Speed: {speed_words(choice.speed)}{_basis(choice.speed)}.")
    if quality is not None:
        lines += _wrapped(f"Quality: {_quality_words(choice)}; measured on {quality.measured_on}.")
    levers = found.levers.get(choice.ref, ())
    if levers:
        lines += ["", "What would change it:", *_table([_lever_cells(each) for each in levers])]
    return lines


PART_HEADINGS = ("device", "layers", "", "weights", "KV", "compute", "overhead", "total", "free GiB")


def _part_cells(part: Part) -> tuple[str, ...]:
    sizes: Iterable[int] = (part.weights_bytes, part.kv_bytes, part.compute_bytes, part.overhead_bytes)
    figures = (f"{size / GIB:.2f}" for size in (*sizes, part.total_bytes))
    name = one_line(part.device.name)
    return (name if len(name) <= 36 else f"{name[:35]}…", str(part.layers), "", *figures, _gib(part.device.free_bytes))


def _basis(speed: Speed | None) -> str:
    if speed is None:
        return ", since the bandwidth of a device is not known"
    return "" if speed.basis == "own_runs" else ", an estimate from memory bandwidth"


def _quality_words(choice: Choice) -> str:
    quality = choice.quality
    assert quality is not None
    parts = []
    if quality.kld is not None:
        parts.append(f"KLD {quality.kld:.4f}")
    if quality.delta_ppl_percent is not None:
        parts.append(f"perplexity {quality.delta_ppl_percent:+.1f} %")
    return ", ".join(parts) or "not measured"


LEVER_WORDS = {"quant": "quant", "context": "context", "kv_type": KV_NOTE}


def _lever_cells(lever: Lever) -> tuple[str, ...]:
    fit, value = lever.fit, f"{int(lever.value):,}" if lever.kind == "context" else lever.value
    saves = f"saves {size_words(lever.saves_bytes)}"
    return (f"  {LEVER_WORDS[lever.kind]} {value}", saves, verdict_words(fit), f"needs {size_words(_total(fit))}")
