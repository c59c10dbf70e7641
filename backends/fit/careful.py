"""What to take while nobody has measured the memory that the CPU reads: a small one. Pure: must not measure anything.

The places are given by a rate that hardly a machine of its class stays under; the rate itself, and speeds made of it,
are shown to nobody. A busy machine, or one with little memory, may never be measured: then this stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from backends.devices.records import CpuInfo, Machine
from backends.fit.recommend import takes_words
from backends.fit.records import Choice

WIDE_GB_S, PLAIN_GB_S = 15.0, 6.0  # one channel of DDR4; a board with LPDDR4, or a machine without wide vectors
WIDE = frozenset({"AVX2", "AVX512", "AMX", "DOTPROD", "I8MM", "SVE"})


def needs_care(machine: Machine) -> bool:
    """Whether advice would rest on a CPU whose memory was not measured."""
    return machine.cpu.bandwidth_gb_s is None and not machine.gpus


def assumed(machine: Machine) -> Machine:
    """The machine with a cautious rate for its class of CPU."""
    rate = WIDE_GB_S if is_wide(machine.cpu_info) else PLAIN_GB_S
    return replace(machine, cpu=replace(machine.cpu, bandwidth_gb_s=rate))


def is_wide(cpu: CpuInfo) -> bool:
    return not WIDE.isdisjoint(cpu.vector_extensions)


def careful(choices: Iterable[Choice]) -> tuple[Choice, ...]:
    """Of choices for an assumed machine, the one to begin with alone, and no speed but that of own runs."""
    found = tuple(choices)
    first = next((each for each in found if each.rank == 1), None) or next((e for e in found if e.rank == 2), None)
    return tuple(_without_guesses(each, is_first=each is first) for each in found)


def _without_guesses(choice: Choice, *, is_first: bool) -> Choice:
    own = choice.speed is not None and choice.speed.basis == "own_runs"
    takes = takes_words(choice.fit)
    if is_first:
        reason = f"A small one to begin with: how fast this machine is was not measured yet. It takes {takes}."
    elif choice.fit.verdict == "no":
        reason = choice.reason
    else:
        reason = f"Fits in this machine's memory: takes {takes}. How fast it is was not measured yet."
    speed = choice.speed if own else None
    return replace(choice, rank=1 if is_first else None, speed=speed, reason=choice.reason if own else reason)
