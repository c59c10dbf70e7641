"""What every benchmark does with its figures: prints them beside their aims, keeps them, sets them against kept ones.

Must not know what was measured. A figure is a ratio, or a number whose aim is absolute (a stall in ms).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

WORSE_BY = 0.05  # of the kept figure, from where on a change is called one: medians of one machine differ by 2-3 %


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` is a median; `samples` are the rounds behind it. `less` says that a smaller value is the better one."""

    name: str
    value: float
    unit: str = "ratio"
    aim: float | None = None
    less: bool = False
    samples: tuple[float, ...] = ()

    @property
    def met(self) -> bool:
        if self.aim is None:
            return True
        return self.value <= self.aim if self.less else self.value >= self.aim


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--save", type=Path, help="write the figures to this file")
    parser.add_argument("--compare", type=Path, help="set the figures against those of this file; worse ones fail")


def finish(figures: Sequence[Figure], arguments: argparse.Namespace, **about: Any) -> int:
    """Print, save and compare as asked; the exit status is 1 where an aim is missed or a figure became worse.

    `about` is kept with the figures: threads, tokens, rounds, whatever someone needs to repeat them.
    """
    print(table(figures))
    worse: list[str] = []
    if arguments.compare is not None:
        lines, worse = against(arguments.compare, figures)
        print("\n".join([f"against {arguments.compare.name}:", *lines]))
    if arguments.save is not None:
        _save(arguments.save, figures, about)
    missed = [figure.name for figure in figures if not figure.met]
    for name in missed:
        print(f"aim missed: {name}")
    for name in worse:
        print(f"worse than kept: {name}")
    return 1 if missed or worse else 0


def table(figures: Sequence[Figure]) -> str:
    lines = ["| figure | value | low | high | aim |", "|---|---|---|---|---|"]
    lines += [
        f"| {f.name} | {f.value:.4g} {f.unit} | {_end(min, f)} | {_end(max, f)} | {_aim(f)} |"
        for f in figures  # low and high of the rounds
    ]
    return "\n".join(lines)


def against(path: Path, figures: Sequence[Figure]) -> tuple[list[str], list[str]]:
    """A line for each figure that was kept too, and the names of those that are worse now."""
    kept = {entry["name"]: entry for entry in json.loads(path.read_text(encoding="utf-8"))["figures"]}
    lines: list[str] = []
    worse: list[str] = []
    for figure in figures:
        if (old := kept.get(figure.name)) is None:
            continue
        change = (figure.value - old["value"]) / (abs(old["value"]) or 1.0)
        lines.append(f"  {figure.name}: {old['value']:.4g} -> {figure.value:.4g} {figure.unit} ({change:+.1%})")
        if (change if figure.less else -change) > WORSE_BY:
            worse.append(figure.name)
    return lines, worse


def _end(pick: Any, figure: Figure) -> str:
    return f"{pick(figure.samples):.4g}" if figure.samples else ""


def _aim(figure: Figure) -> str:
    if figure.aim is None:
        return ""
    return f"{'at most' if figure.less else 'at least'} {figure.aim:g}, {'met' if figure.met else 'MISSED'}"


def _save(path: Path, figures: Sequence[Figure], about: Mapping[str, Any]) -> None:
    facts = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "system": platform.platform(terse=True)},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("llama-cpp-python", "PySide6-Essentials")},
        },
        "about": dict(about),
        "figures": [asdict(figure) for figure in figures],
    }
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def processor() -> str:
    """The name that the system gives the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
