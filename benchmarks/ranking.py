"""Measures how long ranking the whole catalogue takes while a slider moves, and writes it down. Must not gate anything.

CPU time of one process, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backends.devices.records import CpuInfo, Device, Machine
from backends.devices.simulated import simulated_machine
from backends.devices.system import read_cpu
from backends.fit.ranking import rank
from backends.fit.records import Wish
from backends.models.catalogue import catalogue

PAGE = Path(__file__).resolve().parents[1] / "docs" / "measurements" / "ranking.md"
HERE = Machine((), Device("A CPU", "cpu", total_bytes=1, free_bytes=1), CpuInfo("A CPU", 8, 16))
MACHINES = {
    "no GPU": ("cpu:32:26:90",),
    "RTX 4090": ("RTX 4090:24:23", "cpu:64:56:80"),
    "four different GPUs": ("RTX 4090:24:23", "RTX 3090:24:23", "RTX 3060:12:11", "RTX 4060:8:7.5", "cpu:64:56:80"),
    "eight H100": (*("NVIDIA H100 80GB HBM3:80:79",) * 8, "cpu:1024:900:300"),
}
CONTEXTS = range(2048, 2048 + 40 * 1024, 1024)


def milliseconds(machine: Machine, n_ctx: int) -> float:
    start = time.process_time()
    rank(catalogue(), machine, Wish(n_ctx=n_ctx))
    return (time.process_time() - start) * 1000


def line(name: str, specs: Sequence[str]) -> str:
    """New contexts, which are worked out, and the same ones again, which are known."""
    machine = simulated_machine(specs, HERE)
    milliseconds(machine, 1024)
    new, again = ([milliseconds(machine, n_ctx) for n_ctx in CONTEXTS] for _ in range(2))
    return f"| {name} | {statistics.median(new):.0f} ms | {max(new):.0f} ms | {statistics.median(again):.0f} ms |"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=PAGE, help="where to write the page (default: %(default)s)")
    out: Path = parser.parse_args(argv).out
    n_rows = sum(len(model.quants) for model in catalogue())
    head = (
        "# Ranking the catalogue while a slider moves\n\n    .venv/bin/python benchmarks/ranking.py\n\n"
        f"{datetime.now(UTC).date().isoformat()}, {read_cpu().name}, Python {platform.python_version()}: "
        f"CPU time of one ranking of {n_rows} quants,\nover {len(CONTEXTS)} contexts.\n\n"
        "| machine | new context, median | slowest | a context seen before |\n|---|--:|--:|--:|\n"
    )
    page = head + "\n".join(line(name, specs) for name, specs in MACHINES.items()) + "\n"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    print(page)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
