"""Sets our formula for memory beside llama.cpp's own sizes, and writes docs/measurements/fit-agreement.md.

    .venv/bin/python benchmarks/fit_agreement.py            all of it, in a minute
    .venv/bin/python benchmarks/fit_agreement.py --check    writes nothing, exit status 1 where the two disagree

The loads are those of tests/backends/fit/agreement.py, which a test holds to the same limits.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.backends.fit.agreement import MIB, QUANT, Row, gpu_cases, main_cases, measured, quant_cases

COMMAND = ".venv/bin/python benchmarks/fit_agreement.py"
PAGE = Path(__file__).parents[1] / "docs" / "measurements" / "fit-agreement.md"
HOW = f"""
llama.cpp goes through each load without taking memory (`no_alloc`) and logs its compute buffers, its KV cache and where
each layer lies; weights are added up from the tensor table as ggml reads it. The models are files of the right shape,
{QUANT} unless said otherwise, with a hole for weights. The GPUs are stand-ins that plan memory as ggml's CUDA backend
does: no real GPU took part. Flash attention on, one row of logits, prompts read 512 tokens at a time with a GPU and 128
without, as the worker does. Layers count the output. What a driver takes besides (its context, its kernels) is in
neither figure.
"""
COLUMNS = (
    "model",
    "quant",
    "GPU layers",
    "context",
    "KV",
    "GPU weights",
    "GPU KV",
    "GPU compute",
    "host in all",
    "largest difference",
)


def page(rows: Sequence[Row]) -> str:
    main, gpus = len(main_cases()), len(gpu_cases())
    worst = max(rows, key=lambda row: row.worst_bytes)
    share = max(row.worst_bytes / row.total_bytes for row in rows)
    lines = [
        "# Our formula for memory beside llama.cpp's own sizes",
        "",
        f"Made on {datetime.now(UTC):%Y-%m-%d} by `{COMMAND}` with {rows[0].theirs.engine_build}.",
        "",
        *HOW.strip().splitlines(),
        "",
        f"{len(rows)} loads, {sum(row.agrees for row in rows)} of them within 1 % of the total and within 16 MiB on",
        f"every device. Largest difference on any device: {worst.worst_bytes / MIB:.2f} MiB ({_what(worst)}).",
        f"Largest share of a load's total: {100 * share:.3f} %.",
        "",
        *_section("One GPU: none, half, all but one and all layers on it", rows[:main]),
        *_section("Two to four GPUs", rows[main : main + gpus]),
        *_section("Other quants", rows[main + gpus :]),
    ]
    return "\n".join(lines)


def _section(title: str, rows: Sequence[Row]) -> list[str]:
    head = [
        f"## {title}",
        "",
        "Sizes in MiB: ours / llama.cpp's, of the GPUs together and of the machine's memory.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    return [*head, *map(_line, rows), ""]


def _line(row: Row) -> str:
    case = row.case
    cells = [case.model, case.quant, case.where, f"{case.n_ctx:,}", case.kv_type]
    for name in ("weights_bytes", "kv_bytes", "compute_bytes"):
        ours = sum(getattr(need, name) for need in row.ours[:-1])
        theirs = sum(getattr(device, name) for device in row.theirs.devices[:-1])
        cells.append(_pair(ours, theirs))
    host = row.theirs.devices[-1]
    cells.append(_pair(row.ours[-1].total_bytes, host.weights_bytes + host.kv_bytes + host.compute_bytes))
    cells.append(f"{row.worst_bytes / MIB:.2f}")
    return f"| {' | '.join(cells)} |"


def _pair(ours: int, theirs: int) -> str:
    return f"{ours / MIB:,.1f} / {theirs / MIB:,.1f}"


def _what(row: Row) -> str:
    case = row.case
    return f"{case.model} {case.quant}, {case.where} layers, {case.n_ctx:,} tokens, {case.kv_type}"


async def _all() -> list[Row]:
    cases = [*main_cases(), *gpu_cases(), *quant_cases()]
    with tempfile.TemporaryDirectory() as folder:
        return [row async for row in measured(cases, Path(folder))]


def main() -> int:
    parser = argparse.ArgumentParser(description="Our memory formula beside llama.cpp's own sizes.")
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    rows = asyncio.run(_all())
    for row in rows:
        if not row.agrees:
            sys.stderr.write(f"differs by {row.worst_bytes / MIB:.1f} MiB: {_what(row)}\n")
    if not check:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(rows), encoding="utf-8")
    return int(not all(row.agrees for row in rows))


if __name__ == "__main__":
    sys.exit(main())
