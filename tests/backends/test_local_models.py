"""What is known of this machine as its GPUs change: real workers on stand-in cards that llama.cpp alone can size."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from backends.devices import machine as devices
from backends.devices.nvml import Survey
from backends.devices.nvml_words import nvml_problem
from backends.devices.records import Machine
from backends.fit.placement import place
from backends.fit.records import Wish
from backends.load_plan import taken_bytes
from backends.local import asked
from backends.local.asked import AskedFacts
from backends.local.engine import LocalEngine
from backends.local_models import DEMO_FILE
from backends.models.shapes import LLAMA_8B
from backends.models.weights import facts_by_rule
from backends.paths import app_paths
from backends.workbench import Workbench
from resources import resource_path
from tests.stand_in_gpu import GIB, Card, compiled, worker_with

RADEON = "AMD Radeon RX 7900 XTX"
NEEDS_COMPILER = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


class Workers:
    """How the next worker is started; a test changes it between two questions."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.made: list[LocalEngine] = []

    def __call__(self) -> LocalEngine:
        self.made.append(LocalEngine(resource_path(*DEMO_FILE), command=self.command))
        return self.made[-1]

    def closed(self) -> bool:
        return all(engine.worker_pid is None for engine in self.made)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("stand-in"))


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Workbench]:
    made = Workbench(app_paths())
    yield made
    await made.close()


def with_workers(bench: Workbench, workers: Workers) -> None:
    bench.local._llama_cpp = AskedFacts(workers)


def free_gib(machine: Machine) -> list[float | None]:
    return [None if gpu.free_bytes is None else gpu.free_bytes / GIB for gpu in machine.gpus]


def silent() -> list[str]:
    return [sys.executable, "-c", "import time; time.sleep(60)"]


@NEEDS_COMPILER
async def test_free_memory_that_llama_cpp_alone_can_tell_is_asked_anew(
    bench: Workbench, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "read_nvidia", Survey)
    workers = Workers(worker_with(library, [Card(RADEON, free_bytes=20 * GIB)]))
    with_workers(bench, workers)
    assert free_gib(await bench.local.machine_now()) == [20]
    workers.command = worker_with(library, [Card(RADEON, free_bytes=6 * GIB)])
    assert free_gib(await bench.local.machine()) == [20], "a look a moment later starts no worker"
    assert free_gib(await bench.local.machine_now()) == [6], "a load must know"
    monkeypatch.setattr("backends.local_models.LOOK_AGAIN_S", 0.0)
    workers.command = worker_with(library, [Card(RADEON, free_bytes=9 * GIB)])
    assert free_gib(await bench.local.machine()) == [9], "and so must looks, every few"
    workers.command = [sys.executable, "-c", "raise SystemExit(3)"]
    after = await bench.local.machine_now()
    assert free_gib(after) == [None], "what was free before is not free now"
    assert after.gpus[0].total_bytes == 24 * GIB
    assert workers.closed()


@NEEDS_COMPILER
async def test_trouble_of_the_driver_makes_llama_cpp_be_asked_anew(
    bench: Workbench, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.local_models.LOOK_AGAIN_S", 0.0)
    monkeypatch.setattr(devices, "read_nvidia", Survey)
    card = Card("NVIDIA GeForce RTX 4090", pci_id="0000:01:00.0")
    workers = Workers(worker_with(library, [card]))
    with_workers(bench, workers)
    assert [gpu.backend for gpu in (await bench.local.machine()).gpus] == ["CUDA0"]
    monkeypatch.setattr(devices, "read_nvidia", lambda: Survey(problems=(nvml_problem("gpu_lost", "GPU 0"),)))
    workers.command = worker_with(library, [])
    lost = await bench.local.machine()
    assert (lost.gpus, lost.engine_known) == ((), True)
    facts = await bench.local._llama_cpp.known(time.monotonic() - 60)
    assert facts is not None
    assert not any(device.kind == "gpu" for device in facts.devices), "what was known before is dropped"
    monkeypatch.setattr(devices, "read_nvidia", Survey)
    workers.command = worker_with(library, [card])
    assert [gpu.backend for gpu in (await bench.local.machine()).gpus] == ["CUDA0"], "and it may come back"


async def test_a_worker_that_did_not_answer_is_asked_again_at_once_for_a_load(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "PROBE_S", 0.3)
    workers = Workers(silent())
    with_workers(bench, workers)
    assert not (await bench.local.machine()).engine_known
    assert not (await bench.local.machine()).engine_known
    assert len(workers.made) == 1, "looks wait a minute"
    monkeypatch.setattr(asked, "PROBE_S", 30.0)
    workers.command = LocalEngine(resource_path(*DEMO_FILE))._command
    assert (await bench.local.machine_now()).engine_known
    assert workers.closed()


async def test_a_question_that_was_cancelled_is_no_failure(bench: Workbench) -> None:
    workers = Workers(silent())
    with_workers(bench, workers)
    look = asyncio.create_task(bench.local.machine())
    await asyncio.sleep(0.3)
    look.cancel()
    with pytest.raises(asyncio.CancelledError):
        await look
    assert workers.closed()
    workers.command = LocalEngine(resource_path(*DEMO_FILE))._command
    assert (await bench.local.machine()).engine_known


@NEEDS_COMPILER
async def test_what_a_load_took_is_not_known_where_the_gpu_cannot_be_asked(
    bench: Workbench, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "read_nvidia", Survey)
    workers = Workers(worker_with(library, [Card(RADEON, free_bytes=20 * GIB)]))
    with_workers(bench, workers)
    before = await bench.local.machine_now()
    fit = place(facts_by_rule("Llama", "Q4_K_M", LLAMA_8B), before, Wish())
    assert fit.verdict == "gpu"
    workers.command = worker_with(library, [Card(RADEON, free_bytes=14 * GIB)])
    assert taken_bytes(fit, await bench.local.machine_now()) == 6 * GIB
    gone = replace(before, gpus=tuple(replace(gpu, free_bytes=None) for gpu in before.gpus))
    assert taken_bytes(fit, gone) is None
