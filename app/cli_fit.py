"""`nearfar fit`: which models this machine can run, how fast, which to take. Must not import Qt; changes no setting."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from app.cli_parser import quoted
from app.cli_print import json_text
from app.exits import EXIT_OK

if TYPE_CHECKING:
    from app.cli_parser import Parser
    from backends.devices.records import Machine
    from backends.fit.learned import Learned
    from backends.fit.records import Choice, Fit, Lever, Wish
    from backends.fit.wire import Ranking
    from backends.models.records import CatalogueModel

MIN_CONTEXT, MAX_CONTEXT = 256, 1_048_576
KV_TYPES = ("f16", "q8_0", "q4_0")

FIT_EPILOG = (
    "Sizes are GiB (2^30 bytes), speeds tok/s. Exit status: 0 also where nothing fits, which is an answer; 2 bad usage."
)


def add_fit(commands: argparse._SubParsersAction[Parser]) -> None:
    """Declare the command and its arguments."""
    fit = commands.add_parser(
        "fit", help="which models this machine can run, and how fast", epilog=FIT_EPILOG, allow_abbrev=False
    )
    fit.add_argument(
        "model",
        metavar="MODEL[:QUANT]",
        nargs="?",
        help="one model, or one quant of it with all its figures, as llama-3.1-8b or llama-3.1-8b:Q4_K_M",
    )
    fit.add_argument(
        "--context",
        type=_context,
        metavar="N",
        help="tokens of context that are wanted (default: as in the settings, 8192 at first)",
    )
    fit.add_argument("--kv", choices=KV_TYPES, help="type of the KV cache (default: as in the settings, f16 at first)")
    fit.add_argument(
        "--device",
        dest="devices",
        action="append",
        default=[],
        metavar="NAME:TOTAL_GIB:FREE_GIB[:GBPS]",
        help='a machine that you mean to buy instead of this one, as "RTX 4090:24:22.5"; repeat for several GPUs; '
        '"cpu:64:60:80" gives it a memory of its own',
    )
    fit.add_argument("--json", action="store_true", help="one JSON object")


def _context(text: str) -> int:
    plain = text.replace(",", "").replace("_", "")
    if not (plain.isascii() and plain.isdecimal() and len(plain) < 10 and MIN_CONTEXT <= int(plain) <= MAX_CONTEXT):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a whole number from {MIN_CONTEXT} to {MAX_CONTEXT}")
    return int(plain)


def fit(arguments: argparse.Namespace) -> int:
    """Returns 0; raises UsageError for a device or a model that is none."""
    from app.fit_text import as_text
    from backends.fit.wire import ranking_as_json

    found = asyncio.run(_find(arguments))
    print(json_text(ranking_as_json(found)) if arguments.json else as_text(found).rstrip())
    return EXIT_OK


async def _find(arguments: argparse.Namespace) -> Ranking:
    from app.models_ranking import headers_of
    from backends.devices.simulated import parse_device, simulated_machine
    from backends.fit.ranking import counted_on, rank
    from backends.fit.wire import Ranking
    from backends.workbench import Workbench

    models, ref = _meant(arguments.model)
    for spec in arguments.devices:
        parse_device(spec)  # before the machine is read, which takes a second
    bench = Workbench.open()
    try:
        wish = _wish(arguments, bench.local.wish())
        await bench.local.measure_memory()
        machine = await bench.local.machine()
        if arguments.devices:
            machine = simulated_machine(arguments.devices, machine)
        learned = None if machine.simulated else await bench.local.plans.learned()
        here = await bench.models.installed()
        headers = await asyncio.to_thread(headers_of, here, models)
    finally:
        await bench.close()
    installed = frozenset(each.ref for each in here)
    choices = rank(models, machine, wish, learned, installed, headers)
    shown = tuple(each for each in choices if ref in ("", each.ref))
    return Ranking(
        machine=machine,
        wish=wish,
        choices=shown,
        summary=_summary(choices, shown, simulated=machine.simulated, one=ref != ""),
        levers={ref: _levers(ref, shown[0].fit, counted_on(machine), wish, learned)} if ref else {},
        installed=installed,
        not_runnable=() if arguments.model else tuple(each for each in models if each.not_runnable),
    )


def _wish(arguments: argparse.Namespace, usual: Wish) -> Wish:
    return replace(usual, n_ctx=arguments.context or usual.n_ctx, kv_type=arguments.kv or usual.kv_type)


def _meant(name: str | None) -> tuple[Sequence[CatalogueModel], str]:
    """The models to rank, and the ref to show where only one is meant. Raises BadReference, NotRunnable."""
    from backends.models.catalogue import catalogue, find, find_model
    from backends.models.errors import NotRunnable

    if name is None:
        return catalogue(), ""
    if ":" in name:
        return catalogue(), find(name)[1].ref
    model = find_model(name)
    if model.not_runnable:
        raise NotRunnable(f"{model.name} cannot be used. {model.not_runnable}")
    return (model,), ""


def _levers(ref: str, fit: Fit, machine: Machine, wish: Wish, learned: Learned | None) -> tuple[Lever, ...]:
    from backends.fit.ranking import levers_of
    from backends.models.catalogue import find

    return levers_of(*find(ref), fit, machine, wish, learned)


def _summary(choices: Sequence[Choice], shown: Sequence[Choice], *, simulated: bool, one: bool) -> str:
    from backends.fit.recommend import headline

    if one:
        (choice,) = shown
        return f"{choice.model} {choice.quant}: {choice.reason}"
    return headline(choices, "On such a machine" if simulated else "On this machine")
