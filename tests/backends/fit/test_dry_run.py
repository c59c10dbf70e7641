"""llama.cpp is asked through a real worker process: exact sizes, clear refusals, nothing left behind."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import psutil
import pytest

from backends.errors import ModelMissing, ModelUnusable, NotAModel, WorkerDied, WorkerError, WorkerSilent
from backends.fit.dry_run import DryRun, dry_run, sparse_from_header, sparse_from_headers
from backends.fit.placement import place
from backends.fit.records import Wish
from backends.local.facts import LoadOptions
from backends.local.worker_io import BEAT_S
from backends.models.errors import FolderUnusable
from backends.models.shapes import LLAMA_1B, LLAMA_8B, LLAMA_70B
from tests.backends.fit.machines import GIB, MIB, gpu, machine, model
from tests.gguf_factory import write_random
from tests.gguf_shapes import split_model, write_sparse
from tests.stand_in_gpu import Card, worker_with

PAIR = (
    Card("NVIDIA GeForce RTX 3090", 24 * GIB, 24 * GIB, "0000:01:00.0", hollow=True),
    Card("NVIDIA GeForce RTX 3090", 24 * GIB, 24 * GIB, "0000:c1:00.0", hollow=True),
)
TWO_3090 = machine(64, *(gpu(card.name, 23.3, 936.0, pci_id=card.pci_id) for card in PAIR))


@pytest.fixture(scope="module")
def sparse_8b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sparse(tmp_path_factory.mktemp("sparse") / "8b.gguf", LLAMA_8B, "Q4_K_M")


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


async def test_a_plan_becomes_exact(stand_in: Path, tmp_path: Path) -> None:
    path = write_sparse(tmp_path / "70b.gguf", LLAMA_70B, "Q4_K_M")
    planned = place(model(LLAMA_70B), TWO_3090, Wish())
    exact = await dry_run(path, planned, command=worker_with(stand_in, PAIR))
    assert exact.exact
    assert exact.verdict == planned.verdict == "gpu"
    assert [part.layers for part in exact.gpus] == [part.layers for part in planned.gpus]
    for ours, theirs in zip((*planned.gpus, planned.host), (*exact.gpus, exact.host), strict=True):
        assert theirs.total_bytes == pytest.approx(ours.total_bytes, abs=16 * MIB)
        assert theirs.overhead_bytes == ours.overhead_bytes
    assert path.stat().st_blocks * 512 < 64 * MIB


async def test_a_plan_that_llama_cpp_finds_too_large_is_judged_anew(stand_in: Path, sparse_8b: Path) -> None:
    planned = place(model(LLAMA_8B), machine(64, gpu("GPU", 8.0, backend="CUDA0")), Wish())
    assert planned.verdict == "gpu"
    longer = await dry_run(
        sparse_8b, planned, Wish(n_batch=8192), command=worker_with(stand_in, [Card("GPU", hollow=True)])
    )
    assert longer.verdict == "no"
    assert longer.missing_bytes > 0


async def test_nothing_is_taken(sparse_8b: Path) -> None:
    """128k tokens of an 8B want 22 GiB; the process that says so stays small."""
    async with DryRun() as run:
        before = children()
        measured = await run.measure(sparse_8b, LoadOptions(n_ctx=131_072, devices=()))
        (worker,) = before
        assert psutil.Process(worker).memory_info().rss < 400 * MIB
    host = measured.devices[-1]
    assert host.weights_bytes + host.kv_bytes > 20 * GIB
    assert worker not in children()


async def test_a_gpu_that_this_build_does_not_see_is_said(sparse_8b: Path) -> None:
    planned = place(model(LLAMA_8B), machine(64, gpu("RTX 4090", 22.0)), Wish())
    with pytest.raises(ModelUnusable, match="does not see RTX 4090") as refused:
        await dry_run(sparse_8b, planned)
    assert refused.value.problem.safe == "Nothing was loaded."


async def test_one_worker_answers_about_many_models(stand_in: Path, sparse_8b: Path, tmp_path: Path) -> None:
    small = write_sparse(tmp_path / "1b.gguf", LLAMA_1B, "Q8_0")
    async with DryRun(worker_with(stand_in, PAIR)) as run:
        first = await run.measure(sparse_8b, LoadOptions(n_ctx=4096))
        again = await run.measure(sparse_8b, LoadOptions(n_ctx=8192))
        other = await run.measure(small, LoadOptions(n_ctx=4096))
        with pytest.raises(ModelMissing):
            await run.measure(tmp_path / "none.gguf", LoadOptions())
        assert await run.measure(sparse_8b, LoadOptions(n_ctx=4096)) == first
    assert [device.name for device in first.devices] == ["CUDA0", "CUDA1", "CPU"]
    assert sum(device.kv_bytes for device in again.devices) == 2 * sum(device.kv_bytes for device in first.devices)
    assert other.n_layers == 17


async def test_a_file_that_changes_is_read_anew(tmp_path: Path) -> None:
    path = write_sparse(tmp_path / "model.gguf", LLAMA_1B, "Q8_0")
    async with DryRun() as run:
        before = await run.measure(path, LoadOptions(devices=()))
        path.unlink()
        write_sparse(path, LLAMA_1B, "Q4_K_M")
        after = await run.measure(path, LoadOptions(devices=()))
    assert after.devices[-1].weights_bytes < before.devices[-1].weights_bytes


@pytest.mark.parametrize(
    ("content", "error"), [(b"<!doctype html>", NotAModel), (b"GGUF" + bytes(200), ModelUnusable), (b"", NotAModel)]
)
async def test_what_is_no_model_is_refused_before_native_code(
    content: bytes, error: type[Exception], tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    async with DryRun() as run:
        with pytest.raises(error):
            await run.measure(path, LoadOptions())
        assert (await run.measure(write_random(tmp_path / "good.gguf"), LoadOptions())).n_layers == 3


def opening_of(path: Path) -> tuple[int, bytes]:
    """A file's size and its first 16 MiB, as a range request brings them: the header and some more."""
    with path.open("rb") as file:
        return path.stat().st_size, file.read(16 * MIB)


async def test_a_header_alone_is_enough(sparse_8b: Path, tmp_path: Path) -> None:
    size, header = opening_of(sparse_8b)
    folder = tmp_path / "scratch"
    folder.mkdir()
    options = LoadOptions(n_ctx=8192, devices=())
    async with DryRun() as run:
        whole = await run.measure(sparse_8b, options)
        with sparse_from_header(header, size, folder) as path:
            assert path.stat().st_size == size
            assert await run.measure(path, options) == whole
    assert not list(folder.iterdir())


async def test_a_model_in_parts_is_measured_as_one(tmp_path: Path) -> None:
    path = write_random(tmp_path / "model.gguf")
    parts = split_model(path, 3)
    options = LoadOptions(n_ctx=1024, devices=())
    async with DryRun() as run:
        whole = await run.measure(path, options)
        assert await run.measure(parts[0], options) == whole
        headers = [(part.read_bytes(), part.stat().st_size) for part in parts]
        with sparse_from_headers(headers, tmp_path) as first:
            assert await run.measure(first, options) == whole


def test_a_scratch_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(FolderUnusable, match="could not be measured"), sparse_from_header(b"GGUF", 10, tmp_path / "no"):
        pass
    with pytest.raises(FolderUnusable), sparse_from_header(b"GGUF", 2**62, tmp_path):
        pass
    assert not list(tmp_path.glob("measure-*"))


def test_a_scratch_file_goes_whatever_happens(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), sparse_from_header(b"GGUF", 2**30, tmp_path):
        raise RuntimeError
    assert not list(tmp_path.glob("measure-*"))


SILENT = (
    "import sys, time\n"
    "from backends.local import measure, worker\n"
    "def hang(*_):\n"
    "    time.sleep(600)\n"
    "measure.Measurer.measure = hang\n"
    "sys.exit(worker.main())\n"
)


async def test_a_worker_that_never_answers_is_ended(sparse_8b: Path) -> None:
    with pytest.raises(WorkerSilent, match="did not say within"):
        async with DryRun([sys.executable, "-P", "-c", SILENT]) as run:
            await run.measure(sparse_8b, LoadOptions(), limit_s=BEAT_S)
    assert not children()


async def test_cancelling_ends_the_worker(sparse_8b: Path) -> None:
    planned = place(model(LLAMA_8B), machine(64), Wish())
    task = asyncio.create_task(dry_run(sparse_8b, planned, command=[sys.executable, "-P", "-c", SILENT]))
    await asyncio.wait([task], timeout=1.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not children()


async def test_a_worker_that_dies_is_said(sparse_8b: Path) -> None:
    dying = SILENT.replace("time.sleep(600)", "__import__('os').abort()")
    with pytest.raises(WorkerDied):
        async with DryRun([sys.executable, "-P", "-c", dying]) as run:
            await run.measure(sparse_8b, LoadOptions())
    with pytest.raises(WorkerError):
        await DryRun().measure(sparse_8b, LoadOptions())
    with pytest.raises(WorkerDied):
        await dry_run(sparse_8b, place(model(LLAMA_8B), machine(64), Wish()), command=["/no/such/program"])


def test_a_folder_of_the_worker_is_not_where_a_path_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths are the caller's; the worker lives elsewhere."""
    write_random(tmp_path / "model.gguf")
    monkeypatch.chdir(tmp_path)

    async def measure() -> int:
        async with DryRun() as run:
            return (await run.measure(Path("model.gguf"), LoadOptions())).n_layers

    assert asyncio.run(measure()) == 3
