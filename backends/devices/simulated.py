"""A machine that somebody means to buy, from what they typed. Must not ask the real one anything.

A device is written `NAME:TOTAL_GIB:FREE_GIB[:GBPS]`; the name `cpu` stands for the machine's own memory.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from backends.devices.gpu_table import bandwidth_by_name, shares_memory
from backends.devices.records import Device, Machine
from backends.errors import UsageError

GIB = 2**30
MAX_GIB, MAX_GB_S = 16_384.0, 100_000.0
MAX_NAME = 100
NUMBER = re.compile(r"\d{1,9}(\.\d{1,9})?")
PARTS = ("the name", "the total memory", "the free memory", "the bandwidth")
SERIES = ("", "RTX ", "GTX ", "RX ", "Arc ")  # what people leave out of a name, as in 4090
FIX = 'Write NAME:TOTAL_GIB:FREE_GIB[:GBPS], as in "RTX 4090:24:22.5" or "cpu:64:60:80".'


def parse_device(spec: str) -> Device:
    """One device; sizes in GiB, bandwidth in 10^9 bytes per second or, left out, by the name. Raises UsageError."""
    parts = [part.strip() for part in spec.split(":")]
    if len(parts) not in (3, 4):
        raise _refused(spec, "it has not three or four parts")
    if not all(parts):
        missing = next(words for words, part in zip(PARTS, parts, strict=False) if not part)
        raise _refused(spec, f"{missing} is missing")
    name = parts[0]
    if len(name) > MAX_NAME or not name.isprintable():
        raise _refused(spec, f"a name has at most {MAX_NAME} characters")
    total_gib = _number(spec, parts[1], "the total memory", MAX_GIB)
    free_gib = _number(spec, parts[2], "the free memory", MAX_GIB)
    if total_gib == 0:
        raise _refused(spec, "the total memory must be more than 0")
    if free_gib > total_gib:
        raise _refused(spec, "more memory is free than there is")
    total_bytes, free_bytes = round(total_gib * GIB), round(free_gib * GIB)
    given = _number(spec, parts[3], "the bandwidth", MAX_GB_S) if len(parts) == 4 else None
    if given == 0:
        raise _refused(spec, "the bandwidth must be more than 0")
    is_cpu = name.casefold() == "cpu"
    known = None if is_cpu or given is not None else _bandwidth(name, total_bytes)
    return Device(
        name=name,
        kind="cpu" if is_cpu else "gpu",
        total_bytes=total_bytes,
        used_bytes=total_bytes - free_bytes,
        free_bytes=free_bytes,
        memory="shared" if not is_cpu and shares_memory(name) else "own",
        bandwidth_gb_s=given if given is not None else known,
        bandwidth_source="given" if given is not None else "table" if known is not None else None,
        backend="CPU" if is_cpu else None,
    )


def simulated_machine(specs: Sequence[str], real: Machine) -> Machine:
    """A machine with the GPUs of `specs` and no others. Its CPU is the real one's where no `cpu` is among them.

    Where a GPU shares the computer's memory, that is the CPU's memory too. Raises UsageError.
    """
    devices = [parse_device(spec) for spec in specs]
    gpus = tuple(each for each in devices if each.kind == "gpu")
    cpus = [each for each in devices if each.kind == "cpu"]
    if len(cpus) > 1:
        raise UsageError("A machine has one cpu, and more than one was given.", fix=FIX)
    cpu = replace(cpus[0], name=real.cpu.name) if cpus else _own_cpu(gpus, real.cpu)
    return Machine(gpus=gpus, cpu=cpu, cpu_info=real.cpu_info, simulated=True)


def _bandwidth(name: str, total_bytes: int) -> float | None:
    """By the name, also without the word for its series; None where several series have such a number."""
    found = {rate for series in SERIES if (rate := bandwidth_by_name(series + name, total_bytes)) is not None}
    return bandwidth_by_name(name, total_bytes) or (found.pop() if len(found) == 1 else None)


def _own_cpu(gpus: Sequence[Device], real: Device) -> Device:
    shared = next((gpu for gpu in gpus if gpu.memory == "shared"), None)
    if shared is None:
        return real
    return replace(
        real,
        total_bytes=shared.total_bytes,
        used_bytes=shared.used_bytes,
        free_bytes=shared.free_bytes,
        bandwidth_gb_s=shared.bandwidth_gb_s,
        bandwidth_source=shared.bandwidth_source,
    )


def _number(spec: str, text: str, what: str, most: float) -> float:
    if not text.isascii() or not NUMBER.fullmatch(text):
        raise _refused(spec, f"{what} is no plain number")
    value = float(text)
    if value > most:
        raise _refused(spec, f"{what} is more than {most:,.0f}")
    return value


def _refused(spec: str, why: str) -> UsageError:
    shown = "".join(letter if letter.isprintable() else "?" for letter in spec[:MAX_NAME])
    return UsageError(f'"{shown}" is not a device: {why}.', fix=FIX)
