"""What this machine has, what the app may do on it, and what is wrong with its one fix.

Must not change anything but the cached speed of the memory. It names neither prompts nor keys, so a report can be
passed on.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from backends.cloud.ledger_files import file_now
from backends.devices.bandwidth import known_bandwidth, measure_and_keep, wait_until_quiet
from backends.devices.machine import machine_from, read_vendors
from backends.devices.nvml import read_nvidia
from backends.devices.records import CpuInfo, Device, MemoryInfo
from backends.devices.system import read_cpu, read_memory
from backends.egress import Contact, Snapshot
from backends.egress_log import read_contacts
from backends.errors import NearfarError, Problem
from backends.fit.learned import Learned
from backends.fit.learned_file import LearnedFile
from backends.keyring_state import KeyringState, read_keyring_state
from backends.local.facts import WorkerFacts
from backends.models.given_path import folder_in_use
from backends.models.home import missing
from backends.models.index import INDEX_FILE, IndexFile
from backends.paths import Paths
from backends.settings import Settings
from backends.version import APP_VERSION

GIB = 2**30
OTHER_HOME = "set NEARFAR_HOME to one that is"
PROBE_S = 30.0
MAX_CONTACTS = 50
PATIENCE_S = 1.5
LOW_DISK_BYTES = 2 * GIB
LOW_FREE_MEMORY_BYTES = 1 * GIB
LOW_MEMORY_BYTES = 4 * GIB

Probe = Callable[[], Awaitable[WorkerFacts]]


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """`llama_cpp` is None where the worker did not start; a problem then says why.

    `measured_now` where the memory's speed was measured for this report. `settings` None: they were not looked at.
    `paths` have the models folder that is in use. `learned` is what earlier loads and runs taught; `contacts` are the
    last connections that were kept, oldest first; `ledger_file` is this month's.
    """

    app: str
    python: str
    llama_cpp: WorkerFacts | None
    devices: tuple[Device, ...]
    cpu: CpuInfo
    memory: MemoryInfo
    keyring: KeyringState
    network: Snapshot
    paths: Paths
    problems: tuple[Problem, ...]
    settings: Settings | None = None
    measured_now: bool = False
    learned: Learned = field(default_factory=Learned)
    contacts: tuple[Contact, ...] = ()
    ledger_file: Path | None = None


async def examine(
    *,
    paths: Paths,
    network: Snapshot,
    probe: Probe,
    settings: Settings | None = None,
    measure: bool = False,
    unread: tuple[Problem, ...] = (),
) -> DoctorReport:
    """Look at everything, at most 30 s; never raises for what it finds. `probe` asks llama.cpp, in its own process.

    With `measure` the memory's speed is measured where that was never done, in some 2 s: not while a run is live.
    `unread` is what was met when settings and the like were read; it stands first.
    """
    paths, chosen_problems = _in_use(paths, settings)
    (facts, worker_problems), nvidia, keyring, memory, cpu = await asyncio.gather(
        _ask_worker(probe),
        asyncio.to_thread(read_nvidia),
        read_keyring_state(),
        asyncio.to_thread(read_memory),
        asyncio.to_thread(read_cpu),
    )
    bandwidth = await asyncio.to_thread(known_bandwidth, paths.cache, cpu, memory)
    measured_now = bandwidth is None and measure
    if measured_now:
        bandwidth = await _measured(paths.cache, cpu, memory)
    machine = machine_from(nvidia, facts, memory, cpu, bandwidth, await asyncio.to_thread(read_vendors))
    problems = (
        *unread,
        *worker_problems,
        *machine.problems,
        *chosen_problems,
        *_folder_problems(paths, chosen=settings is not None and settings.models_folder is not None),
        *await asyncio.to_thread(_missing_disk, paths),
        *_disk_problems(paths),
        *_memory_problems(memory),
        *_keyring_problems(keyring, settings),
        *pyside_problems(_pyside_version(), sys.version_info[:2]),
    )
    return DoctorReport(
        app=APP_VERSION,
        python=platform.python_version(),
        llama_cpp=facts,
        devices=(*machine.gpus, machine.cpu),
        cpu=cpu,
        memory=memory,
        keyring=keyring,
        network=network,
        paths=paths,
        problems=problems,
        settings=settings,
        measured_now=measured_now,
        learned=await asyncio.to_thread(LearnedFile.of(paths).load),
        contacts=await asyncio.to_thread(read_contacts, paths.contacts_file, MAX_CONTACTS),
        ledger_file=await asyncio.to_thread(file_now, paths.ledger_folder),
    )


async def _measured(cache: Path, cpu: CpuInfo, memory: MemoryInfo) -> float | None:
    """Alone, after everything else has answered, and in a quiet moment; a cancel ends it within a third of a second."""
    stop = threading.Event()

    def measure() -> float | None:
        quiet = wait_until_quiet(PATIENCE_S, stop)
        return measure_and_keep(cache, cpu, memory, stop, lasting=quiet)

    try:
        return await asyncio.to_thread(measure)
    finally:
        stop.set()


async def _ask_worker(probe: Probe) -> tuple[WorkerFacts | None, tuple[Problem, ...]]:
    try:
        return await asyncio.wait_for(probe(), PROBE_S), ()
    except NearfarError as error:
        return None, (error.problem,)
    except TimeoutError:
        problem = Problem(
            code="worker_silent",
            what=f"llama.cpp did not start in {PROBE_S:g} seconds.",
            safe="",
            fix="Close other programs and try again; if it stays so, run `make setup` to build it again.",
        )
        return None, (problem,)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there and may be looked at."""
    while folder != folder.parent and not _is_there(folder):
        folder = folder.parent
    return folder


def _is_there(folder: Path) -> bool:
    try:
        return folder.exists()
    except OSError:  # this user may not enter a folder above it, or no disk can hold such a name
        return False


def _in_use(paths: Paths, settings: Settings | None) -> tuple[Paths, tuple[Problem, ...]]:
    """`paths` with the models folder that the settings name; where it can be none, the usual one and why."""
    try:
        return replace(paths, models=folder_in_use(settings.models_folder if settings else None, paths.models)), ()
    except NearfarError as error:
        return paths, (error.problem,)


def _folder_problems(paths: Paths, *, chosen: bool) -> tuple[Problem, ...]:
    """`chosen`: the models folder is the person's own choice, which NEARFAR_HOME does not move."""
    found = []
    for folder in (paths.config, paths.data, paths.cache, paths.logs, paths.models):
        place = _existing(folder)
        if not place.is_dir():
            what = f"{folder} cannot be used: {place} is a file, not a folder."
        elif not os.access(place, os.W_OK | os.X_OK):
            what = f"{folder} cannot be used: this user may not write in {place}."
        else:
            continue
        other = "choose another folder for models in Settings" if chosen and folder == paths.models else OTHER_HOME
        fix = f"Make {place} a folder that you can write in, or {other}."
        found.append(Problem(code="folder", what=what, safe="", fix=fix))
    return tuple(found)


def _missing_disk(paths: Paths) -> tuple[Problem, ...]:
    try:
        absent = missing(paths.models, IndexFile(paths.data / INDEX_FILE).read())
    except OSError:
        return ()  # the folder's own problem says it
    return () if absent is None else (absent.problem,)


def _disk_problems(paths: Paths) -> tuple[Problem, ...]:
    """One sentence per disk that is nearly full."""
    found: dict[int, Problem] = {}
    for folder in (paths.data, paths.models):
        try:
            place = _existing(folder)
            free_bytes, disk = shutil.disk_usage(place).free, place.stat().st_dev
        except OSError:
            continue  # the folder's own problem says it
        if free_bytes < LOW_DISK_BYTES:
            what = f"Only {gib(free_bytes)} are free on the disk that holds {folder}."
            found.setdefault(disk, Problem("disk", what, "", "Free some space there: models take gigabytes."))
    return tuple(found.values())


def _memory_problems(memory: MemoryInfo) -> tuple[Problem, ...]:
    if memory.total_bytes < LOW_MEMORY_BYTES:
        what = f"This machine has {gib(memory.total_bytes)} of memory, enough for the smallest models only."
        return (Problem("memory", what, "", "Use the demo model or a model of about 1 GiB."),)
    if memory.free_bytes < LOW_FREE_MEMORY_BYTES:
        what = f"Only {gib(memory.free_bytes)} of {gib(memory.total_bytes)} of memory are free."
        return (Problem("memory", what, "", "Close other programs before you load a model."),)
    return ()


def _keyring_problems(keyring: KeyringState, settings: Settings | None) -> tuple[Problem, ...]:
    """Only where keys are kept in it: a machine without keyring is in order."""
    if keyring.usable or settings is None or not settings.kept_keys:
        return ()
    what = f"The keyring holds the key for {', '.join(settings.kept_keys)}, and cannot be used now. {keyring.reason}"
    return (Problem("keyring", what, "", "Unlock it, or enter the key again in Settings or with `nearfar key set`."),)


def pyside_problems(installed: str | None, python: tuple[int, ...]) -> tuple[Problem, ...]:
    """PySide6 6.12 drops references to True and None, which aborts Python before 3.12 after a few hundred signals."""
    if installed is None or python >= (3, 12) or not installed.startswith("6.12."):
        return ()
    what = f"PySide6 {installed} crashes on Python {python[0]}.{python[1]}: the window will close without a word."
    fix = 'Install another with `uv pip install "PySide6-Essentials>=6.11.3,<6.12"`, or use Python 3.12.'
    return (Problem("pyside", what, "", fix),)


def _pyside_version() -> str | None:
    try:
        return version("PySide6-Essentials")
    except PackageNotFoundError:
        return None


def gib(size_bytes: int) -> str:
    """For people: 12.0 GiB."""
    return f"{size_bytes / GIB:.1f} GiB"
