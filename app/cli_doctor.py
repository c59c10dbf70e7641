"""`nearfar doctor`: what this machine has, and what is wrong with its fix. Must not import Qt; changes no setting."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import replace

from app.cli_print import StatusLine, json_text
from app.cli_words import typed
from app.exits import EXIT_OK
from backends.doctor import DoctorReport, examine
from backends.doctor_text import as_json, as_text
from backends.local.engine import LocalEngine
from backends.local_models import model_file
from backends.targets import DEMO
from backends.workbench import Workbench


def doctor(arguments: argparse.Namespace) -> int:
    """Always 0: a problem that was found is an answer, not a failure."""
    line = StatusLine("Looking at this machine, which takes some seconds…")
    try:
        report = asyncio.run(_examine())
    finally:
        line.wipe()
    report = replace(report, problems=tuple(map(typed, report.problems)))
    print(json_text(as_json(report)) if arguments.json else as_text(report).rstrip())
    return EXIT_OK


async def _examine() -> DoctorReport:
    bench = Workbench.open()
    engine = LocalEngine(model_file(DEMO))
    try:
        return await examine(
            paths=bench.paths,
            network=bench.egress.snapshot(),
            probe=engine.probe,
            settings=bench.settings,
            measure=True,
            unread=bench.unread(),
        )
    finally:
        await engine.close()
        await bench.close()
